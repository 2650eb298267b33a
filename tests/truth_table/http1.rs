//! HTTP/1: requests and their bodies as an independent reader of the reassembled bytes found them, and as tshark
//! lists them; responses and objects as tshark lists them.

use std::collections::BTreeSet;

use exhibit::findings::inspection::{Body, Flow, Response, Transaction};
use serde_json::Value;

use crate::{
    pair::{Pair, Sum, aligned, list, normal, text},
    tally::Tally,
};

const REQUESTS: &str = "HTTP/1 requests";
const TSHARK: &str = "HTTP/1 requests, tshark";
const RESPONSES: &str = "HTTP/1 responses, tshark";
const OBJECTS: &str = "HTTP objects, tshark";

pub(crate) fn compare(pair: &Pair<'_>, tally: &mut Tally) {
    from_bytes(pair, tally);
    by_tshark(pair, tally);
    responses(pair, tally);
    objects(pair, tally);
}

/// The numbers of TCP streams that a list speaks of, and of those in which we see HTTP/1.
fn streams(pair: &Pair<'_>, truth: &Value) -> BTreeSet<u64> {
    let theirs = list(truth).iter().filter_map(|item| item["tcp_stream"].as_u64());
    let ours =
        pair.tcp().filter(|(_, flow)| !requests(pair, flow, None).is_empty()).map(|(number, _)| number);
    theirs.chain(ours).collect()
}

/// Requests of a flow, or those that one end sent.
fn requests<'a>(pair: &Pair<'a>, flow: &Flow, from: Option<&str>) -> Vec<&'a Transaction> {
    let sent = |request: &&Transaction| {
        let sender = if request.from == "initiator" { &flow.initiator } else { &flow.responder };
        from.is_none_or(|from| sender == from)
    };
    let is_request = |t: &&Transaction| t.protocol == "http1" && !t.method.is_empty();
    pair.transactions(flow).into_iter().filter(is_request).filter(sent).collect()
}

fn from_bytes(pair: &Pair<'_>, tally: &mut Tally) {
    let all = &pair.truth["http_requests_from_bytes"];
    for stream in streams(pair, all) {
        let flow = pair.flow(&stream.into());
        let theirs: Vec<&Value> =
            list(all).iter().filter(|request| request["tcp_stream"] == stream).collect();
        // Each sender apart; what stood inside TLS has none in the truth file.
        let senders: BTreeSet<Option<String>> =
            theirs.iter().map(|request| request["from"].as_str().map(normal)).collect();
        if senders.is_empty()
            && let Some(flow) = flow
        {
            beside(pair, REQUESTS, stream, &requests(pair, flow, None), tally);
        }
        for from in &senders {
            let of_it = |r: &&&Value| r["from"].as_str().map(normal) == *from;
            let mut theirs: Vec<&Value> = theirs.iter().filter(of_it).copied().collect();
            let ours = flow.map_or_else(Vec::new, |flow| requests(pair, flow, from.as_deref()));
            // A head that has no end in the capture is no request, and its bytes stay as they are.
            let cut_off = |request: &&Value| request["why"] == "headers incomplete";
            let parts: Vec<&Value> = theirs.iter().copied().filter(cut_off).collect();
            theirs.retain(|request| !cut_off(request));
            let of_ours: Vec<_> = ours.iter().map(|r| (r.method.as_str(), r.uri.as_str())).collect();
            let of_theirs: Vec<_> = theirs.iter().map(|r| (text(&r["method"]), text(&r["uri"]))).collect();
            let mut alone = Vec::new();
            for (our, their) in aligned(&of_ours, &of_theirs) {
                match (our, their) {
                    (our, Some(their)) => {
                        let item = format!("{stream}/{}", theirs[their]["n"]);
                        request(pair, &item, our.map(|our| ours[our]), theirs[their], tally);
                    }
                    (Some(our), None) => alone.push(ours[our]),
                    (None, None) => {}
                }
            }
            for part in parts {
                let read = |ours: &&&Transaction| ours.method == part["method"] && ours.uri == part["uri"];
                let how = alone.iter().find(read).map(|ours| format!("{} was read from a part", ours.uri));
                tally.compared(REQUESTS, pair.name, format!("{stream}/cut off {}", part["n"]), how);
            }
            beside(pair, REQUESTS, stream, &alone, tally);
        }
    }
}

fn beside(
    pair: &Pair<'_>,
    category: &'static str,
    stream: u64,
    requests: &[&Transaction],
    tally: &mut Tally,
) {
    for request in requests {
        let what = format!("{} {}", request.method, request.uri);
        tally.beside(category, pair.name, format!("{stream}/{}", request.n), what);
    }
}

fn request(pair: &Pair<'_>, item: &str, ours: Option<&Transaction>, truth: &Value, tally: &mut Tally) {
    let name = pair.name;
    let names = ["content-type", "content-encoding", "transfer-encoding", "content-length", "expect"];
    let head = |ours: &Transaction| {
        let fields = names.map(|name| {
            let line = ours.fields.iter().find(|[field, _]| field.eq_ignore_ascii_case(name));
            line.map_or("", |[_, value]| value).trim().to_owned()
        });
        format!(
            "{} {} {} {} {}+{} {fields:?}",
            ours.method, ours.uri, ours.version, ours.host, ours.stream_offset, ours.header_bytes
        )
    };
    // A control character is written as an escape here.
    let field = |name: &str| {
        let value = &truth[name.replace('-', "_")];
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        value.trim().replace('\t', "\\u{9}").replace("null", "")
    };
    let theirs = format!(
        "{} {} {} {} {}+{} {:?}",
        text(&truth["method"]),
        text(&truth["uri"]),
        text(&truth["version"]),
        text(&truth["host"]),
        truth["stream_offset"],
        truth["header_bytes"],
        names.map(field)
    );
    let missing = || "no such request".to_owned();
    tally.same(REQUESTS, name, item, ours.map_or_else(missing, head), theirs);
    let theirs = &truth["body"];
    let body = ours.and_then(|ours| ours.body.as_ref());
    if theirs.is_null() {
        if let Some(body) = body {
            let what = format!("a body of {} bytes, complete {}", body.wire_len, body.complete);
            tally.beside("  bodies, wire", name, item, what);
        }
        return;
    }
    let complete = |complete: bool| if complete { "complete" } else { "incomplete" };
    let said = |what: fn(&Body) -> Sum| {
        body.map_or_else(
            || "no body".to_owned(),
            |body| format!("{}, {}", what(body), complete(body.complete)),
        )
    };
    let announced = complete(truth["complete"] == true);
    let form = |len: &str, sha256: &str| format!("{}, {announced}", Sum::truth(theirs, len, sha256));
    let wire = said(|body| Sum::ours(body.wire_len, body.wire_sha256));
    tally.same("  bodies, wire", name, item, wire, form("wire_len", "wire_sha256"));
    let content = said(|body| Sum::ours(body.len, body.sha256));
    tally.same("  bodies, dechunked", name, item, content, form("len", "sha256"));
    let decoded = body.and_then(|body| Some(Sum::ours(body.decoded_len?, body.decoded_sha256)));
    match (theirs["decoded_len"].is_u64(), decoded) {
        (true, decoded) => {
            let ours = decoded.map_or_else(|| "not decoded".to_owned(), |sum| sum.to_string());
            let theirs = Sum::truth(theirs, "decoded_len", "decoded_sha256");
            tally.same("  bodies, decoded", name, item, ours, theirs);
        }
        (false, Some(decoded)) => tally.beside("  bodies, decoded", name, item, decoded.to_string()),
        (false, None) => {}
    }
    parts(pair, item, body, list(&theirs["multipart"]), tally);
}

fn parts(pair: &Pair<'_>, item: &str, body: Option<&Body>, truth: &[Value], tally: &mut Tally) {
    let ours = body.map_or(&[][..], |body| &body.multipart);
    for (n, part) in truth.iter().enumerate() {
        let names = [text(&part["name"]), text(&part["filename"])];
        let theirs = format!("{} {}", names[0], Sum::truth(part, "len", "sha256"));
        let said = ours.get(n).map_or_else(
            || "no such part".to_owned(),
            |part| {
                // A part is called by its name, or by its file's where it has none.
                let called = if names.contains(&part.name.as_str()) { names[0] } else { &part.name };
                format!("{called} {}", Sum(part.len, part.sha256.to_string()))
            },
        );
        tally.same("  multipart parts", pair.name, format!("{item} part {n}"), said, theirs);
    }
    for part in ours.iter().skip(truth.len()) {
        let item = format!("{item} {}", part.name);
        tally.beside("  multipart parts", pair.name, item, format!("{} bytes", part.len));
    }
}

/// tshark's own list: the same requests, as a second witness.
fn by_tshark(pair: &Pair<'_>, tally: &mut Tally) {
    let all = &pair.truth["http_requests_tshark"];
    for stream in streams(pair, all) {
        let flow = pair.flow(&stream.into());
        let theirs: Vec<&Value> =
            list(all).iter().filter(|request| request["tcp_stream"] == stream).collect();
        let ours = flow.map_or_else(Vec::new, |flow| requests(pair, flow, None));
        let of_ours: Vec<_> = ours.iter().map(|r| (r.method.as_str(), r.uri.as_str())).collect();
        let of_theirs: Vec<_> = theirs.iter().map(|r| (text(&r["method"]), text(&r["uri"]))).collect();
        let mut alone = Vec::new();
        for (our, their) in aligned(&of_ours, &of_theirs) {
            match (our.map(|our| ours[our]), their.map(|their| theirs[their])) {
                (ours, Some(theirs)) => {
                    let body = ours.and_then(|ours| ours.body.as_ref());
                    let data = file_data(theirs, body);
                    let said = ours.map_or_else(
                        || "no such request".to_owned(),
                        |ours| format!("{} {} {} {}", ours.method, ours.uri, ours.host, data.0),
                    );
                    let [method, uri, host] = ["method", "uri", "host"].map(|field| text(&theirs[field]));
                    let item = format!("{stream}/{}", theirs["frame"]);
                    tally.same(TSHARK, pair.name, item, said, format!("{method} {uri} {host} {}", data.1));
                }
                (Some(ours), None) => alone.push(ours),
                (None, None) => {}
            }
        }
        beside(pair, TSHARK, stream, &alone, tally);
    }
}

/// The body that tshark gives (without chunks, not decoded), and ours where it gives one.
fn file_data(truth: &Value, body: Option<&Body>) -> (String, String) {
    if !truth["file_data_len"].is_u64() {
        return (String::new(), String::new());
    }
    let ours = body.map_or_else(|| "no body".to_owned(), |body| Sum::ours(body.len, body.sha256).to_string());
    (ours, Sum::truth(truth, "file_data_len", "file_data_sha256").to_string())
}

struct Answer<'a> {
    status: u16,
    response: Option<&'a Response>,
}

fn responses(pair: &Pair<'_>, tally: &mut Tally) {
    let all = &pair.truth["http_responses_tshark"];
    let theirs = list(all).iter().filter_map(|item| item["tcp_stream"].as_u64());
    let ours = pair.tcp().filter(|(_, flow)| !answers(pair, flow).is_empty()).map(|(number, _)| number);
    let streams: BTreeSet<u64> = theirs.chain(ours).collect();
    for stream in streams {
        let ours = pair.flow(&stream.into()).map_or_else(Vec::new, |flow| answers(pair, flow));
        let theirs: Vec<&Value> = list(all).iter().filter(|item| item["tcp_stream"] == stream).collect();
        let of_ours: Vec<String> = ours.iter().map(|answer| answer.status.to_string()).collect();
        let of_theirs: Vec<String> = theirs.iter().map(|answer| text(&answer["status"]).to_owned()).collect();
        for (our, their) in aligned(&of_ours, &of_theirs) {
            match (our.map(|our| &ours[our]), their.map(|their| theirs[their])) {
                (ours, Some(theirs)) => {
                    let item = format!("{stream}/{}", theirs["frame"]);
                    response(pair, item, ours, theirs, tally);
                }
                (Some(ours), None) => {
                    let frame = ours.response.and_then(|response| response.frame);
                    let item = frame.map_or_else(|| "interim".to_owned(), |frame| frame.to_string());
                    let what = ours.status.to_string();
                    tally.beside(RESPONSES, pair.name, format!("{stream}/{item}"), what);
                }
                (None, None) => {}
            }
        }
    }
}

/// Responses of a flow in order, interim ones before theirs.
fn answers<'a>(pair: &Pair<'a>, flow: &Flow) -> Vec<Answer<'a>> {
    let http1 = pair.transactions(flow).into_iter().filter(|transaction| transaction.protocol == "http1");
    let mut all: Vec<&Response> = http1.filter_map(|transaction| transaction.response.as_ref()).collect();
    all.sort_by_key(|response| response.frame);
    let each = |response: &'a Response| {
        let interim = response.interim.iter().map(|&status| Answer { status, response: None });
        // After an upgrade to h2c the final response is one of HTTP/2.
        let last = Answer { status: response.status, response: Some(response) };
        interim.chain((!response.interim.contains(&101)).then_some(last))
    };
    all.into_iter().flat_map(each).collect()
}

fn response(pair: &Pair<'_>, item: String, ours: Option<&Answer<'_>>, truth: &Value, tally: &mut Tally) {
    let Some(ours) = ours else {
        let how = format!("no such response: {}", text(&truth["status"]));
        return tally.compared(RESPONSES, pair.name, item, Some(how));
    };
    let Some(response) = ours.response else {
        return tally.same(RESPONSES, pair.name, item, ours.status, text(&truth["status"]));
    };
    let field = |name: &str| {
        let line = response.fields.iter().find(|[field, _]| field.eq_ignore_ascii_case(name));
        line.map_or("", |[_, value]| value).trim().to_owned()
    };
    let names = ["content-type", "content-encoding", "transfer-encoding", "content-length"];
    let theirs = names.map(|name| text(&truth[name.replace('-', "_")]).trim().to_owned());
    let data = file_data(truth, response.body.as_ref());
    let said = format!("{} {:?} {}", ours.status, names.map(field), data.0);
    tally.same(RESPONSES, pair.name, item, said, format!("{} {theirs:?} {}", text(&truth["status"]), data.1));
}

/// What tshark exports must be a body of ours, in one of its forms.
fn objects(pair: &Pair<'_>, tally: &mut Tally) {
    let bodies = pair.ours.transactions.iter().flat_map(|transaction| {
        let response = transaction.response.as_ref().and_then(|response| response.body.as_ref());
        transaction.body.iter().chain(response)
    });
    let forms: BTreeSet<(u64, String)> = bodies
        .flat_map(|body| {
            let decoded = body.decoded_len.map(|len| (len, body.decoded_sha256));
            [(body.wire_len, body.wire_sha256), (body.len, body.sha256)].into_iter().chain(decoded)
        })
        .filter_map(|(len, digest)| Some((len, digest?.to_string())))
        .collect();
    for (n, object) in list(&pair.truth["export_objects_http"]).iter().enumerate() {
        let Sum(len, sha256) = Sum::truth(object, "size", "sha256");
        let item = format!("{n} {}", text(&object["name"]));
        let found = forms.contains(&(len, sha256));
        tally.compared(OBJECTS, pair.name, item, (!found).then(|| format!("no body of {len} bytes is it")));
    }
}
