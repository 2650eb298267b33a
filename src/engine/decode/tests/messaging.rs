//! MQTT, IMAP and FTP conversations.

use super::*;

fn kinds(got: &Collected) -> Vec<&str> {
    got.messages.iter().map(|message| message.kind.as_str()).collect()
}

fn one_frame(mut got: Collected) -> Collected {
    got.messages.iter_mut().for_each(|message| message.frame = Some(FrameNo(1)));
    got
}

/// Cut at every byte it gives the same, and with a gap anywhere every other byte is searched.
#[track_caller]
fn holds_however_it_is_cut(up: &[u8], down: &[u8], port: u16) -> Collected {
    let server = Stream::of_bytes(down);
    let walk = |up: &Stream| one_frame(walked(up, &server, Transport::Tcp, port));
    let whole = walk(&Stream::of_bytes(up));
    properties::assert_all_searched(&whole, &Stream::of_bytes(up), &server);
    for at in 0..=up.len() {
        let (left, right) = up.split_at(at);
        assert_same(walk(&stream(&[Ok(left), Ok(right)])), &whole, &format!("cut at {at}"));
        let gapped = stream(&[Ok(left), Err(3), Ok(&right[right.len().min(3)..])]);
        properties::assert_all_searched(&walk(&gapped), &gapped, &server);
    }
    whole
}

#[test]
fn mqtt_payloads_are_leaves_named_by_their_topic() {
    let up = [
        &b"\x10\x20\0\x04MQTT\x04\xc4\0\x3c\0\x02id\0\x01w\0\x04will\0\x01u\0\x04pass"[..],
        b"\x32\x0b\0\x03a/b\0\x01\xff\xd8\xff\xe0",
        b"\x30\x07\0\x03a/b\xff\xd9",
        b"\xe0\0",
    ]
    .concat();
    let got = holds_however_it_is_cut(&up, b"\x20\x02\0\0\x40\x02\0\x01", 1883);
    assert_eq!(got.protocols, ["mqtt"]);
    assert_eq!(kinds(&got), ["CONNECT", "PUBLISH", "PUBLISH", "DISCONNECT", "CONNACK", "PUBACK"]);
    let payloads = got.leaves.iter().filter(|leaf| leaf.path() == "mqtt.payload(a/b)");
    let payloads: Vec<&[u8]> = payloads.map(|leaf| leaf.bytes.as_slice()).collect();
    assert_eq!(payloads, [&b"\xff\xd8\xff\xe0"[..], b"\xff\xd9"]);
    assert_eq!(got.leaf("mqtt.connect(will)").bytes, b"will");
    assert_eq!(got.leaf("mqtt.connect(password)").bytes, b"pass");
    assert_eq!(got.anomalies, []);
}

#[test]
fn what_only_resembles_mqtt_is_none() {
    for up in [&b"\x10\x10\0\x04MQTX\x04\0\0\0"[..], b"\xc0\0", b"\x30\x03\0\x01t"] {
        assert_eq!(tcp(up, b"").protocols, [""; 0]);
    }
}

#[test]
fn an_appended_mail_is_peeled_and_a_fetched_one_too() {
    let mail = "Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\n/9j/4A==\r\n";
    let up = format!(
        "a1 LOGIN u p\r\na2 APPEND Sent (\\Seen) {{{}+}}\r\n{mail}\r\na3 FETCH 1 BODY[]\r\n",
        mail.len()
    );
    let down = format!(
        "* OK ready\r\na1 OK in\r\na2 OK\r\n* 1 FETCH (BODY[] {{{}}}\r\n{mail})\r\na3 OK\r\n",
        mail.len()
    );
    let got = holds_however_it_is_cut(up.as_bytes(), down.as_bytes(), 143);
    assert_eq!(got.protocols, ["imap"]);
    assert_eq!(kinds(&got), ["LOGIN", "APPEND", "APPEND", "FETCH", "FETCH"]);
    let images = got.leaves.iter().filter(|leaf| leaf.path() == "imap.literal > mime.body > base64");
    let images: Vec<_> = images.map(|leaf| (leaf.direction, leaf.bytes.as_slice())).collect();
    assert_eq!(images, [(Direction::Up, &b"\xff\xd8\xff\xe0"[..]), (Direction::Down, b"\xff\xd8\xff\xe0")]);
    let ends: Vec<_> = got.ends.iter().map(|(_, _, end, len)| (*end, *len)).collect();
    assert_eq!(ends, [(BodyEnd::Complete, mail.len() as u64); 2]);
}

/// Walks conversations of one group, each with its ends' ports: the client's and the server's.
fn group(flows: &[(&Stream, &Stream, u16, u16)]) -> Vec<Collected> {
    let mut shared = Shared::default();
    let walk_one = |(up, down, here, there): &(&Stream, &Stream, u16, u16)| {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let conversation = Conversation {
            transport: Transport::Tcp,
            up,
            down,
            local: address(*here),
            remote: address(*there),
        };
        let mut collected = Collected::default();
        let (limits, keys, scratch) = (Limits::default(), KeyLog::default(), Scratch::new("."));
        walk(&conversation, &Context::new(&limits, &keys, &scratch), &mut shared, &mut collected).unwrap();
        collected.settled()
    };
    flows.iter().map(walk_one).collect()
}

const FTP: &[u8] = b"USER a\r\nPASS b\r\nTYPE I\r\nPASV\r\nSTOR photo.jpg\r\nQUIT\r\n";
const FTP_SERVER: &[u8] =
    b"220 ftp\r\n331 ok\r\n230 in\r\n200 I\r\n227 ok (127,0,0,1,156,67)\r\n150 go\r\n226 ok\r\n221 bye\r\n";

#[test]
fn a_data_connection_is_the_file_that_was_announced() {
    // What looks like a request is a file here.
    let data = Stream::of_bytes(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let nothing = Stream::of_bytes(b"");
    let (up, down) = (Stream::of_bytes(FTP), Stream::of_bytes(FTP_SERVER));
    let got = group(&[
        (&up, &down, 50_000, 2121),
        (&data, &nothing, 50_001, 40_003),
        (&data, &nothing, 50_002, 40_004),
    ]);
    assert_eq!(got[0].protocols, ["ftp"]);
    assert_eq!(kinds(&got[0]), ["USER", "PASS", "TYPE", "PASV", "STOR", "QUIT"]);
    assert_eq!(got[1].leaf("ftp.data(STOR photo.jpg)").bytes, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((got[1].requests.len(), kinds(&got[1])), (0, vec!["STOR"]));
    assert!(got[1].places.is_empty(), "what is in a file is undetermined: {:?}", got[1].places);
    assert_eq!(got[2].requests.len(), 1, "nobody announced this one");
    // Without the control session nobody knows.
    assert_eq!(group(&[(&data, &nothing, 50_001, 40_003)])[0].requests.len(), 1);
    holds_however_it_is_cut(FTP, FTP_SERVER, 21);
}

#[test]
fn a_file_that_begins_as_tls_does_is_a_file_unless_tls_protects_it() {
    let session = b"USER a\r\nPASS b\r\nTYPE I\r\nPROT P\r\nPASV\r\nSTOR x\r\n";
    let back = b"USER a\r\nPASS b\r\nTYPE I\r\nPROT P\r\nPROT C\r\nPASV\r\nSTOR x\r\n";
    let data = Stream::of_bytes(b"\x16\x03\x01\0\x04\x01\0\0\0");
    let nothing = Stream::of_bytes(b"");
    let flow = (&data, &nothing, 50_001, 40_003);
    let down = Stream::of_bytes(FTP_SERVER);
    let protocols = |session: &[u8]| {
        let up = Stream::of_bytes(session);
        group(&[(&up, &down, 50_000, 2121), flow])[1].protocols.clone()
    };
    assert_eq!((protocols(FTP), protocols(back)), (vec!["ftp-data"], vec!["ftp-data"]));
    // RFC 4217 section 9.
    assert_eq!(protocols(session), ["tls"]);
}

#[test]
fn ascii_mode_is_undone_beside_what_was_sent() {
    let session = b"USER a\r\nEPRT |1|127.0.0.1|40003|\r\nSTOR notes.txt\r\n";
    let (up, down) =
        (Stream::of_bytes(session), Stream::of_bytes(b"220 ftp\r\n331 ok\r\n200 ok\r\n150 go\r\n"));
    let (data, nothing) = (Stream::of_bytes(b"a\r\nb\r\n"), Stream::of_bytes(b""));
    let got = group(&[(&up, &down, 50_000, 21), (&data, &nothing, 40_003, 20)]);
    assert_eq!(got[1].leaf("ftp.data(STOR notes.txt)").bytes, b"a\r\nb\r\n");
    assert_eq!(got[1].leaf("ftp.data(STOR notes.txt) > ftp.ascii").bytes, b"a\nb\n");
}

const XMPP: &str = "<?xml version='1.0'?><stream:stream to='h' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

#[test]
fn texts_of_stanzas_are_leaves() {
    let up =
        format!("{XMPP}<message to='a@h'><body>gr&#252;&#223;e &amp; more</body></message><iq type='get'/>");
    let down = format!("{XMPP}<stream:features/>");
    let got = holds_however_it_is_cut(up.as_bytes(), down.as_bytes(), 4711);
    assert_eq!(got.protocols, ["xmpp"]);
    assert_eq!(kinds(&got), ["message", "iq", "stream:features"]);
    assert!(got.leaves.iter().any(|leaf| leaf.bytes == "grüße & more".as_bytes()), "{:?}", got.leaves);
    assert_eq!(got.ends.len(), 3);
}

#[test]
fn xmpp_goes_on_under_tls_and_is_told_by_its_bytes_alone() {
    let hello = "\u{16}\u{3}\u{1}\0\u{4}\u{1}\0\0\0";
    let up = format!("{XMPP}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{hello}");
    let down = format!("{XMPP}<stream:features/><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    let got = holds_however_it_is_cut(up.as_bytes(), down.as_bytes(), 5222);
    assert_eq!(got.protocols, ["xmpp", "tls"]);
    // Refused, it is no TLS.
    let down = format!("{XMPP}<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>");
    assert_eq!(holds_however_it_is_cut(up.as_bytes(), down.as_bytes(), 5222).protocols, ["xmpp"]);
    for other in [&b"<?xml version='1.0'?><html>"[..], b"\xc2\xfe\0\x05\0\0\0\x1c"] {
        let got = walked(&Stream::of_bytes(other), &Stream::of_bytes(b""), Transport::Tcp, 5222);
        assert!(!got.protocols.contains(&"xmpp"));
    }
}

#[test]
fn stanzas_are_found_where_the_start_of_a_stream_is_missing() {
    let late = |bytes: &[u8]| {
        let mut stream = Stream::of_bytes(bytes);
        stream.from_start = false;
        stream
    };
    let up = late(b"<iq type='set'><q/></iq> <message><body>hello to you</body></message>");
    let down = late(b"<presence/>");
    let got = walked(&up, &down, Transport::Tcp, 4711);
    assert_eq!((got.protocols.as_slice(), kinds(&got)), (&["xmpp"][..], vec!["iq", "message", "presence"]));
    properties::assert_all_searched(&got, &up, &down);
    let got = walked(&late(b"<message a='b'>"), &late(b"<reply/>"), Transport::Tcp, 5222);
    assert!(!got.protocols.contains(&"xmpp"));
}
