use super::*;

/// `a.example`, A, with the answer 192.0.2.1.
fn message(response: bool) -> Vec<u8> {
    let mut bytes = vec![0, 7, if response { 0x80 } else { 0 }, 0, 0, 1, 0, u8::from(response), 0, 0, 0, 0];
    bytes.extend(b"\x01a\x07example\0\0\x01\0\x01");
    if response {
        bytes.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01");
    }
    bytes
}

#[test]
fn each_datagram_on_a_port_of_dns_is_a_message() {
    let (query, response) = (message(false), message(true));
    let up = stream(&[Ok(&query), Ok(b"junk"), Ok(&query)]);
    let down = Stream::of_bytes(&response);
    let got = walked(&up, &down, Transport::Udp, 53);
    assert_eq!(got.protocols, ["dns"]);
    assert_eq!(
        got.dns.iter().map(|m| (m.frame.0, m.response)).collect::<Vec<_>>(),
        [(1, false), (3, false), (1, true)]
    );
    assert_eq!(got.dns[2].answers, [("a.example".to_owned(), "A".to_owned(), "192.0.2.1".to_owned())]);
    assert_eq!(got.kinds(), [AnomalyKind::DnsMalformed]);
    assert_eq!(got.paths(), ["stream", "stream"]);
    properties::assert_all_searched(&got, &up, &down);
    // The same bytes on another port are nothing that is known.
    let other = walked(&up, &down, Transport::Udp, 4000);
    assert_eq!((other.dns.len(), other.protocols.len()), (0, 0));
    assert!(other.places.iter().all(|(_, _, place)| *place == Place::Opaque));
}

#[test]
fn messages_over_tcp_may_be_cut_anywhere() {
    let query = message(false);
    let framed = [&[0, u8::try_from(query.len()).unwrap()], query.as_slice()].concat().repeat(2);
    let down = Stream::of_bytes(b"");
    let whole = walked(&Stream::of_bytes(&framed), &down, Transport::Tcp, 53);
    assert_eq!(whole.dns.len(), 2);
    for at in 1..framed.len() {
        let (left, right) = framed.split_at(at);
        let mut got = walked(&stream(&[Ok(left), Ok(right)]), &down, Transport::Tcp, 53);
        let last = got.dns.iter().map(|message| message.frame.0).collect::<Vec<_>>();
        assert_eq!(last[1], 2, "the second message ends in the second frame");
        got.dns.iter_mut().for_each(|message| message.frame = FrameNo(1));
        assert_same(got, &whole, &format!("cut at {at}"));
    }
}

/// An answer to `question`, A, with records as owner, type and data in the answer section and the additional one.
fn answer(question: &str, answers: &[(&str, u8, &[u8])], additional: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let counts = [answers.len(), additional.len()].map(|len| u8::try_from(len).unwrap());
    let mut bytes = vec![0, 7, 0x80, 0, 0, 1, 0, counts[0], 0, 0, 0, counts[1]];
    bytes.extend([labels(question).as_slice(), &[0, 1, 0, 1]].concat());
    for (owner, kind, data) in answers.iter().chain(additional) {
        bytes.extend(labels(owner));
        bytes.extend([0, *kind, 0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
        bytes.extend(*data);
    }
    bytes
}

/// A name as RFC 1035 section 3.1 writes it.
fn labels(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    let mut bytes: Vec<u8> = name.split('.').filter(|text| !text.is_empty()).flat_map(label).collect();
    bytes.push(0);
    bytes
}

/// Which addresses an answer on a port gives a name.
fn named(answer: &[u8], port: u16) -> Vec<(String, String)> {
    let got = walked(&Stream::of_bytes(b""), &Stream::of_bytes(answer), Transport::Udp, port);
    assert_eq!((got.protocols.as_slice(), got.dns.len(), got.kinds()), (&["dns"][..], 1, vec![]));
    got.dns[0].resolved().map(|(address, name)| (address.to_string(), name.to_owned())).collect()
}

fn pair(address: &str, name: &str) -> (String, String) {
    (address.to_owned(), name.to_owned())
}

const A: u8 = 1;
const CNAME: u8 = 5;
const AAAA: u8 = 28;
const HTTPS: u8 = 65;

#[test]
fn addresses_of_name_servers_are_not_those_of_the_name_asked_for() {
    let [b, c, a] = ["b.example", "c.example", "a.example"].map(labels);
    let additional: &[(&str, u8, &[u8])] =
        &[("ns.example", A, &[192, 0, 2, 53]), ("mx.a.example", AAAA, &[0xfd; 16])];
    // The order of aliases does not matter, and they may go round.
    let answers: &[(&str, u8, &[u8])] = &[
        ("c.example", A, &[192, 0, 2, 1]),
        ("b.example", CNAME, &c),
        ("A.example", CNAME, &b),
        ("c.example", CNAME, &a),
        ("other.example", A, &[192, 0, 2, 2]),
    ];
    assert_eq!(named(&answer("a.example", answers, additional), 53), [pair("192.0.2.1", "a.example")]);
    assert_eq!(named(&answer("a.example", &[], additional), 53), []);
}

#[test]
fn a_service_record_leads_to_its_target_and_its_hints() {
    // RFC 9460 section 2.2: priority, target, then key 4 (ipv4hint) with four bytes.
    let hinted = |target: &str| [&[0, 1], labels(target).as_slice(), &[0, 4, 0, 4, 192, 0, 2, 7]].concat();
    let additional: &[(&str, u8, &[u8])] =
        &[("svc.example", A, &[192, 0, 2, 8]), ("ns.example", A, &[192, 0, 2, 53])];
    let to = |target: &str, owner: &str| {
        named(&answer("a.example", &[(owner, HTTPS, &hinted(target))], additional), 53)
    };
    let name = |address| pair(address, "a.example");
    assert_eq!(to("svc.example", "a.example"), [name("192.0.2.7"), name("192.0.2.8")]);
    assert_eq!(to("", "a.example"), [name("192.0.2.7")]);
    assert_eq!(to("svc.example", "b.example"), []);
}

#[test]
fn what_is_said_on_the_link_names_no_address_elsewhere() {
    let answers: &[(&str, u8, &[u8])] = &[
        ("cloud.example", A, &[203, 0, 113, 9]),
        ("cloud.example", A, &[192, 168, 43, 5]),
        ("cloud.example", AAAA, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("cloud.example", AAAA, &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ];
    let said = answer("cloud.example", answers, &[]);
    let of_link = [pair("192.168.43.5", "cloud.example"), pair("fe80::1", "cloud.example")];
    assert_eq!(named(&said, 5353), of_link);
    assert_eq!(named(&said, 5355), of_link);
    assert_eq!(named(&said, 53).len(), 4);
}

/// The names of messages in HTTP, with whether they are answers.
fn in_http(got: &Collected) -> Vec<(&str, bool)> {
    assert!(got.dns.iter().all(|message| message.over == DnsOver::Https));
    got.dns.iter().map(|message| (message.questions[0].0.as_str(), message.response)).collect()
}

fn post(message: &[u8], media: &str) -> Vec<u8> {
    let head = format!(
        "POST /dns-query HTTP/1.1\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n",
        message.len()
    );
    [head.as_bytes(), message].concat()
}

#[test]
fn bodies_of_http_may_be_dns_messages() {
    let (query, response) = (message(false), message(true));
    let up = post(&query, "Application/DNS-message; x=y");
    let answer = |head: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\n{head}\r\n\r\n");
        head.into_bytes()
    };
    let down = [answer(&format!("Content-Length: {}", response.len())), response.clone()].concat();
    let got = tcp(&up, &down);
    assert_eq!(in_http(&got), [("a.example", false), ("a.example", true)]);
    let resolved: Vec<_> = got.dns.iter().flat_map(|message| message.resolved()).collect();
    assert_eq!(resolved, [("192.0.2.1".parse().unwrap(), "a.example")]);
    // The header of the question is grammar, its name is not.
    let at = (up.len() - query.len()) as u64;
    let said = |at: u64| {
        let holds = |range: &ByteRange| range.start <= at && at < range.end;
        got.places
            .iter()
            .any(|(way, range, place)| (*way, *place) == (Direction::Up, Place::Understood) && holds(range))
    };
    let understood: Vec<u64> = (0..27).filter(|byte| said(at + byte)).collect();
    assert_eq!(understood, (0..12).chain(23..27).collect::<Vec<_>>());
    properties::assert_all_searched(&got, &Stream::of_bytes(&up), &Stream::of_bytes(&down));
    // In chunks it stands nowhere as it is, and is read all the same.
    let (first, second) = response.split_at(20);
    let chunk = |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
    let chunked =
        [answer("Transfer-Encoding: chunked"), chunk(first), chunk(second), b"0\r\n\r\n".to_vec()].concat();
    assert_eq!(in_http(&tcp(&up, &chunked)).len(), 2);
    // Another type is another thing, half a message an anomaly.
    assert_eq!(tcp(&post(&query, "application/octet-stream"), b"").dns, []);
    let half = tcp(&post(&query[..14], "application/dns-message"), b"");
    assert_eq!((half.dns.len(), half.kinds()), (0, vec![AnomalyKind::DnsMalformed]));
}

#[test]
fn the_target_of_a_get_may_hold_a_question() {
    // `a.example`, A: the message above in base64url without padding (RFC 8484 section 4.1.1).
    let question = "AAcAAAABAAAAAAAAAWEHZXhhbXBsZQAAAQAB";
    let get = |target: &str| tcp(format!("GET {target} HTTP/1.1\r\nHost: h.example\r\n\r\n").as_bytes(), b"");
    assert_eq!(in_http(&get(&format!("/dns-query?ct&dns={question}"))), [("a.example", false)]);
    for other in [
        format!("/dns-query?xdns={question}"),
        format!("/dns-query/{question}"),
        "/?dns=192.0.2.1".to_owned(),
        "/?dns=".to_owned(),
        // An answer in a question's place.
        format!("/?dns=AAeAAA{}", &question[6..]),
    ] {
        assert_eq!(get(&other).dns, [], "{other}");
    }
}

#[test]
fn a_stream_inside_tls_may_be_dns() {
    let query = message(false);
    let framed = [&[0, u8::try_from(query.len()).unwrap()], query.as_slice()].concat();
    let inside = |hint: Option<&str>, port: u16, depth: u8| {
        let (up, down) = (Stream::of_bytes(&framed), Stream::of_bytes(b""));
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let conversation = Conversation {
            transport: Transport::Tcp,
            up: &up,
            down: &down,
            local: address(40_000),
            remote: address(port),
        };
        let mut collected = Collected::default();
        let (limits, keys, scratch) = (Limits::default(), KeyLog::default(), Scratch::new("."));
        let context = Context { depth, hint, ..Context::new(&limits, &keys, &scratch) };
        super::super::application(&conversation, &context, &mut Shared::default(), &mut collected).unwrap();
        collected.settled().dns.len()
    };
    assert_eq!(
        [inside(Some("dot"), 443, 1), inside(None, 853, 1), inside(None, 443, 1), inside(None, 853, 0)],
        [1, 1, 0, 0]
    );
}

/// A ClientHello for `h.example`, without anything that is not needed.
fn hello() -> Vec<u8> {
    let name = b"h.example";
    let mut sni = vec![0, 0, 0, 14, 0, 12, 0, 0, 9];
    sni.extend(name);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0, 0, u8::try_from(sni.len()).unwrap()]);
    body.extend(sni);
    let mut bytes = vec![22, 3, 1, 0, u8::try_from(body.len() + 4).unwrap(), 1, 0, 0];
    bytes.push(u8::try_from(body.len()).unwrap());
    bytes.extend(body);
    bytes
}

#[test]
fn a_hello_names_the_server_and_records_after_it_are_opaque() {
    let up = [hello(), vec![23, 3, 3, 0, 2, 9, 9]].concat();
    let got = tcp(&up, b"");
    assert_eq!(got.protocols, ["tls"]);
    assert_eq!(got.hellos[0].sni.as_deref(), Some("h.example"));
    assert_eq!(got.hellos[0].ciphers, [0x1301]);
    let end = up.len() as u64;
    let places = [
        (Direction::Up, ByteRange::new(0, 5), Place::Understood),
        (Direction::Up, ByteRange::new(end - 7, end - 2), Place::Understood),
        (Direction::Up, ByteRange::new(end - 2, end), Place::Opaque),
    ];
    assert_eq!(got.places, places);
    assert_eq!(got.leaf("stream").bytes, up);
}

#[test]
fn a_hello_behind_connect_is_seen() {
    let up = [b"CONNECT h.example:443 HTTP/1.1\r\n\r\n".to_vec(), hello()].concat();
    for at in 0..up.len() {
        let (left, right) = up.split_at(at);
        let got = walked(&stream(&[Ok(left), Ok(right)]), &Stream::of_bytes(b""), Transport::Tcp, 8080);
        assert_eq!(got.hellos.len(), 1, "cut at {at}");
    }
    assert_eq!(tcp(&up, b"HTTP/1.1 407 No\r\n\r\n").hellos[0].sni.as_deref(), Some("h.example"));
}
