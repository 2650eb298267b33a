//! HTTP/1.1 requests and answers (RFC 9112), forms (WHATWG URL, section 5.2) and multipart bodies (RFC 7578).

use std::fmt::Write as _;

use crate::evidence::ByteRange;

/// A request and where the things of interest lie in it.
pub(in crate::lab) struct Encoded {
    /// The request's bytes.
    pub(in crate::lab) bytes: Vec<u8>,
    /// What lies where, by label, counted from the request's first byte.
    pub(in crate::lab) places: Vec<(String, ByteRange)>,
}

/// A field of a form or query.
pub(in crate::lab) struct Field {
    /// Its name.
    pub(in crate::lab) name: String,
    /// Its value before any encoding.
    pub(in crate::lab) value: String,
    /// What to call it in [`Encoded::places`], if it is of interest.
    pub(in crate::lab) label: Option<String>,
}

/// A file that is sent.
pub(in crate::lab) struct Part<'a> {
    /// The field's name in a multipart body.
    pub(in crate::lab) field: &'a str,
    /// The name the phone gives it.
    pub(in crate::lab) filename: &'a str,
    /// Its bytes.
    pub(in crate::lab) bytes: &'a [u8],
    /// What to call it in [`Encoded::places`].
    pub(in crate::lab) label: String,
}

/// What a request carries behind its head.
pub(in crate::lab) enum Body<'a> {
    /// Nothing: a GET.
    None,
    /// `application/x-www-form-urlencoded`.
    Form(Vec<Field>),
    /// The file alone.
    File(Part<'a>),
    /// `multipart/form-data`: fields, then the file.
    Multipart { boundary: &'a str, fields: Vec<Field>, file: Part<'a> },
}

/// Writes a request.
pub(in crate::lab) fn request(
    host: &str,
    path: &str,
    query: &[Field],
    body: &Body<'_>,
    last: bool,
) -> Encoded {
    let method = method(body);
    let (target, mut places) = target(path, query);
    let before = method.len() as u64 + 1;
    places.iter_mut().for_each(|(_, at)| *at = ByteRange::new(at.start + before, at.end + before));
    let mut head = format!("{method} {target}");
    let _ = write!(head, " HTTP/1.1\r\nHost: {host}\r\nUser-Agent: SimulatedPhone/1.0 (exhibit lab)\r\n");
    let connection = if last { "close" } else { "keep-alive" };
    let _ = write!(head, "Accept: */*\r\nConnection: {connection}\r\n");

    let Some(Content { kind, bytes: content, places: in_body }) = content(body) else {
        head.push_str("\r\n");
        return Encoded { bytes: head.into_bytes(), places };
    };
    let _ = write!(head, "Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n", content.len());
    let mut bytes = head.into_bytes();
    let start = bytes.len() as u64;
    places.extend(
        in_body.into_iter().map(|(label, at)| (label, ByteRange::new(start + at.start, start + at.end))),
    );
    bytes.extend(content);
    Encoded { bytes, places }
}

/// `GET` or `POST`.
pub(in crate::lab) fn method(body: &Body<'_>) -> &'static str {
    if matches!(body, Body::None) { "GET" } else { "POST" }
}

/// A path with its query, and what lies where in it.
pub(in crate::lab) fn target(path: &str, query: &[Field]) -> (String, Vec<(String, ByteRange)>) {
    let (mut target, mut places) = (path.to_owned(), Vec::new());
    if !query.is_empty() {
        target.push('?');
        urlencoded(&mut target, query, &mut places);
    }
    (target, places)
}

/// What follows a head.
pub(in crate::lab) struct Content {
    /// Its media type.
    pub(in crate::lab) kind: String,
    /// Its bytes.
    pub(in crate::lab) bytes: Vec<u8>,
    /// What lies where, counted from its first byte.
    pub(in crate::lab) places: Vec<(String, ByteRange)>,
}

/// Writes what follows a head; nothing for a GET.
pub(in crate::lab) fn content(body: &Body<'_>) -> Option<Content> {
    let mut places = Vec::new();
    let (kind, bytes) = match body {
        Body::None => return None,
        Body::Form(fields) => {
            let mut text = String::new();
            urlencoded(&mut text, fields, &mut places);
            ("application/x-www-form-urlencoded".to_owned(), text.into_bytes())
        }
        Body::File(file) => {
            places.push((file.label.clone(), ByteRange::new(0, file.bytes.len() as u64)));
            ("image/jpeg".to_owned(), file.bytes.to_vec())
        }
        Body::Multipart { boundary, fields, file } => {
            let bytes = multipart(boundary, fields, file, &mut places);
            (format!("multipart/form-data; boundary={boundary}"), bytes)
        }
    };
    Some(Content { kind, bytes, places })
}

/// Writes an answer; without a body its status must be 204.
pub(in crate::lab) fn response(status: &str, body: &str, last: bool) -> Vec<u8> {
    let connection = if last { "close" } else { "keep-alive" };
    let mut text =
        format!("HTTP/1.1 {status}\r\nServer: SimulatedServer (exhibit lab)\r\nConnection: {connection}\r\n");
    if body.is_empty() {
        text.push_str("\r\n"); // 204: no Content-Length (RFC 9110, section 8.6)
    } else {
        let _ =
            write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    }
    text.into_bytes()
}

/// How many bytes the first message in `bytes` has, once its head is there.
pub(in crate::lab) fn message_len(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(bytes.get(..head)?);
    let body = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    Some(head + body.and_then(|len| len.parse().ok()).unwrap_or(0))
}

fn urlencoded(to: &mut String, fields: &[Field], places: &mut Vec<(String, ByteRange)>) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            to.push('&');
        }
        percent(to, &field.name);
        to.push('=');
        let start = to.len() as u64;
        percent(to, &field.value);
        if let Some(label) = &field.label {
            places.push((label.clone(), ByteRange::new(start, to.len() as u64)));
        }
    }
}

fn percent(to: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'*' | b'-' | b'.' | b'_' => to.push(char::from(byte)),
            b' ' => to.push('+'),
            _ => {
                let _ = write!(to, "%{byte:02X}");
            }
        }
    }
}

fn multipart(
    boundary: &str,
    fields: &[Field],
    file: &Part<'_>,
    places: &mut Vec<(String, ByteRange)>,
) -> Vec<u8> {
    let mut body = Vec::new();
    let mut place = |body: &mut Vec<u8>, label: Option<&String>, bytes: &[u8]| {
        let start = body.len() as u64;
        body.extend(bytes);
        if let Some(label) = label {
            places.push((label.clone(), ByteRange::new(start, body.len() as u64)));
        }
    };
    for field in fields {
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n", field.name);
        body.extend(head.into_bytes());
        place(&mut body, field.label.as_ref(), field.value.as_bytes());
        body.extend(b"\r\n");
    }
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: image/jpeg\r\n\r\n",
        file.field, file.filename
    );
    body.extend(head.into_bytes());
    place(&mut body, Some(&file.label), file.bytes);
    body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &str, label: Option<&str>) -> Field {
        Field { name: name.into(), value: value.into(), label: label.map(Into::into) }
    }

    fn at(encoded: &Encoded, index: usize) -> &[u8] {
        let range = encoded.places[index].1;
        &encoded.bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
    }

    #[test]
    fn a_form_is_percent_encoded_and_its_places_are_where_it_says() {
        let fields = vec![field("n", "+852 1", Some("own_number")), field("v", "1", None)];
        let encoded =
            request("h.example", "/p", &[field("q", "867", Some("imei"))], &Body::Form(fields), true);
        let text = String::from_utf8(encoded.bytes.clone()).unwrap();
        assert!(text.starts_with("POST /p?q=867 HTTP/1.1\r\nHost: h.example\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 14\r\n\r\nn=%2B852+1&v=1"), "{text}");
        assert_eq!(encoded.places.len(), 2);
        assert_eq!(at(&encoded, 0), b"867");
        assert_eq!(at(&encoded, 1), b"%2B852+1");
        assert_eq!(message_len(&encoded.bytes), Some(encoded.bytes.len()));
    }

    #[test]
    fn a_multipart_body_has_its_parts_between_boundaries() {
        let part = Part { field: "photo", filename: "a.jpg", bytes: b"\xff\xd8\r\n--B", label: "a".into() };
        let fields = vec![field("imei", "867", Some("imei"))];
        let body = Body::Multipart { boundary: "BOUND", fields, file: part };
        let encoded = request("h.example", "/p", &[], &body, false);
        assert_eq!(at(&encoded, 0), b"867");
        assert_eq!(at(&encoded, 1), b"\xff\xd8\r\n--B");
        assert!(encoded.bytes.ends_with(b"\xff\xd8\r\n--B\r\n--BOUND--\r\n"));
    }

    #[test]
    fn a_message_has_no_length_before_its_head_is_whole() {
        let answer = response("200 OK", "{}", true);
        assert_eq!(message_len(&answer), Some(answer.len()));
        assert_eq!(message_len(&answer[..30]), None);
    }
}
