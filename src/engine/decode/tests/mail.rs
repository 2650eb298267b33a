use super::*;

const SERVER: &[u8] = b"220 mx ESMTP\r\n250-mx\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n221 bye\r\n";

/// A mail with a text, an image in base64 and a forwarded mail, sent with AUTH.
fn client() -> Vec<u8> {
    let mail = b"From: a@x\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n =?utf-8?q?_dir?=\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed;\r\n\tboundary=\"b 1\"\r\n\r\npreamble\r\n--b 1\r\n\r\n..one dot\r\n..\r\n--b 1\r\n\
        Content-Type: image/jpeg;\r\n name=\"x.jpg\"\r\nContent-Disposition: attachment;\r\n filename*0=\"pho\";\r\n filename*1=\"to.jpg\"\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n/9j/4AAQSkZJRg==\r\n--b 1\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: inner\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BC=\r\n\xc3\x9fe\r\n--b 1--\r\n";
    let session =
        b"EHLO phone\r\nAUTH PLAIN AHVzZXIAcGFzcw==\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n";
    [&session[..], mail, b".\r\nQUIT\r\n"].concat()
}

/// What the messages are.
fn kinds(got: &Collected) -> Vec<&str> {
    got.messages.iter().map(|message| message.kind.as_str()).collect()
}

fn mail(up: &[u8], down: &[u8]) -> Collected {
    walked(&Stream::of_bytes(up), &Stream::of_bytes(down), Transport::Tcp, 25)
}

#[test]
fn a_mail_is_peeled_to_its_parts() {
    let client = client();
    let got = mail(&client, SERVER);
    assert_eq!(got.protocols, ["smtp"]);
    assert_eq!(got.anomalies, []);
    let text = |path: &str| String::from_utf8_lossy(&got.leaf(path).bytes).into_owned();
    let body = "smtp.data > mime.body";
    assert_eq!(text(&format!("{body} > mime.part")), ".one dot\r\n.");
    assert_eq!(
        got.leaf(&format!("{body} > mime.part(photo.jpg) > base64")).bytes,
        b"\xff\xd8\xff\xe0\0\x10JFIF"
    );
    let inner = format!("{body} > mime.part");
    assert_eq!(
        text(&format!("{inner} > mime.head")),
        "Subject: inner\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    );
    assert_eq!(text(&format!("{inner} > mime.body > quoted-printable")), "grüße");
    assert_eq!(text("smtp.data > mime.head > mime.words(Subject)"), "grüße dir");
    assert_eq!(got.leaf("sasl > base64").bytes, b"\0user\0pass");
    let (sent, data) = (got.leaf("digest mail.sent"), got.leaf("digest smtp.data"));
    assert_eq!(sent.bytes.len(), data.bytes.len() + 2, "two stuffed dots");
    assert_eq!(text("smtp.framing"), "...\r\n");
    properties::assert_all_searched(&got, &Stream::of_bytes(&client), &Stream::of_bytes(SERVER));
    assert_eq!(kinds(&got), ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]);
    let carrier = got.messages[4].transaction;
    assert_eq!(got.ends, [(carrier, Direction::Up, BodyEnd::Complete, sent.bytes.len() as u64)]);
    assert!(
        got.leaves
            .iter()
            .filter(|leaf| leaf.transaction == Some(carrier))
            .all(|leaf| leaf.path().contains("smtp.") || leaf.path().contains("mail."))
    );
}

#[test]
fn only_words_of_the_grammar_are_understood() {
    let client = client();
    let got = mail(&client, SERVER);
    let understood: Vec<u8> = got
        .places
        .iter()
        .filter(|(direction, _, place)| *direction == Direction::Up && *place == Place::Understood)
        .flat_map(|(_, range, _)| part(&client, *range).to_vec())
        .collect();
    let understood = String::from_utf8(understood).unwrap();
    for secret in ["phone", "a@x", "AHVz", "preamble", "one dot", "photo", "JRg", "inner", "C3"] {
        assert!(!understood.contains(secret), "{secret} in {understood:?}");
    }
    for word in ["EHLO ", "MAIL ", "\r\n--b 1\r\n", "Content-Type: ", "..", ".\r\nQUIT\r\n"] {
        assert!(understood.contains(word), "no {word:?} in {understood:?}");
    }
    assert!(got.places.iter().all(|(_, _, place)| *place != Place::Opaque));
}

#[test]
fn cutting_a_session_at_every_byte_changes_nothing() {
    let client = client();
    let down = Stream::of_bytes(SERVER);
    let whole = mail(&client, SERVER);
    for at in 0..=client.len() {
        let (left, right) = client.split_at(at);
        let mut cut = walked(&stream(&[Ok(left), Ok(right)]), &down, Transport::Tcp, 25);
        one_frame(&mut cut);
        assert_same(cut, &whole, &format!("cut at {at}"));
    }
    let single: Vec<Result<&[u8], u64>> = client.chunks(1).map(Ok).collect();
    let mut cut = walked(&stream(&single), &down, Transport::Tcp, 25);
    one_frame(&mut cut);
    assert_same(cut, &whole, "byte by byte");
}

/// Frames follow the cut.
fn one_frame(got: &mut Collected) {
    got.messages.iter_mut().for_each(|message| message.frame = Some(FrameNo(1)));
}

#[test]
fn a_gap_anywhere_leaves_every_other_byte_searched() {
    let client = client();
    let down = Stream::of_bytes(SERVER);
    for at in 1..client.len() {
        let (left, right) = client.split_at(at);
        let up = stream(&[Ok(left), Err(3), Ok(&right[right.len().min(3)..])]);
        let got = walked(&up, &down, Transport::Tcp, 25);
        properties::assert_all_searched(&got, &up, &down);
    }
}

#[test]
fn chunks_make_one_mail() {
    let client = b"EHLO a\r\nBDAT 20\r\nSubject: x\r\n\r\n.dot\r\nBDAT 9 LAST\r\nBDAT 4\r\n\nQUIT\r\n";
    let got = mail(client, b"");
    assert_eq!(got.leaf("smtp.bdat > mime.body").bytes, b".dot\r\nBDAT 4\r\n\n"[..15]);
    assert_eq!((kinds(&got)[1], got.ends[0].0), ("BDAT", got.messages[1].transaction));
    properties::assert_all_searched(&got, &Stream::of_bytes(client), &Stream::of_bytes(b""));
}

#[test]
fn what_only_resembles_smtp_is_none() {
    for (up, down, port) in [
        (&b"HELO world"[..], &b""[..], 8080),
        (b"USER a\r\n", b"220 ftp ready\r\n", 21),
        (b"MAIL FROM:<a>\r\n", b"", 8080),
        (b"hello there\r\n", b"220 SMTP\r\n", 25),
        (b"EHLO a\r\n", b"\0\x01binary\n", 25),
    ] {
        let got = walked(&Stream::of_bytes(up), &Stream::of_bytes(down), Transport::Tcp, port);
        assert!(!got.protocols.contains(&"smtp"), "{}", String::from_utf8_lossy(up));
    }
}

#[test]
fn after_starttls_both_directions_are_tls_in_their_places() {
    let up = b"EHLO a\r\nSTARTTLS\r\n\x16\x03\x01\0\x04\x01\0\0\0\x17\x03\x03\0\x02zz";
    let down = b"220 a\r\n250 STARTTLS\r\n220 go\r\n\x17\x03\x03\0\x02yy";
    let got = mail(up, down);
    assert_eq!(got.protocols, ["smtp", "tls"]);
    let tls =
        got.leaves.iter().filter(|leaf| leaf.path() == "starttls > stream").map(|leaf| leaf.bytes.as_slice());
    assert_eq!(tls.collect::<Vec<_>>(), [&up[18..], &down[29..]]);
    assert_eq!(got.leaves.iter().filter(|leaf| leaf.path() == "replies").count(), 1);
    assert!(got.places.contains(&(Direction::Up, ByteRange::new(32, 34), Place::Opaque)), "{:?}", got.places);
    assert!(
        got.places.contains(&(Direction::Down, ByteRange::new(34, 36), Place::Opaque)),
        "{:?}",
        got.places
    );
    properties::assert_all_searched(&got, &Stream::of_bytes(up), &Stream::of_bytes(down));
    // Refused, it goes on as SMTP.
    let got = mail(b"EHLO a\r\nSTARTTLS\r\nQUIT\r\n", b"220 a\r\n250 a\r\n454 no\r\n221 bye\r\n");
    assert_eq!((got.protocols.len(), got.messages.len()), (1, 3));
}

#[test]
fn what_is_injected_before_tls_is_said_and_searched() {
    let up = b"EHLO a\r\nSTARTTLS\r\nRCPT TO:<evil>\r\n\x16\x03\x01\0\x04\x01\0\0\0\x17\x03\x03\0\x02zz";
    let down = b"220 a\r\n250 STARTTLS\r\n220 go\r\n\x17\x03\x03\0\x02yy";
    let got = mail(up, down);
    assert_eq!(got.protocols, ["smtp", "tls"]);
    assert_eq!(got.leaf("starttls.clear").bytes, b"RCPT TO:<evil>\r\n");
    assert_eq!(got.anomalies.iter().filter(|(kind, _)| *kind == AnomalyKind::ClearBeforeTls).count(), 1);
    assert_eq!(got.leaves.iter().filter(|leaf| leaf.path() == "starttls > stream").count(), 2);
    properties::assert_all_searched(&got, &Stream::of_bytes(up), &Stream::of_bytes(down));
    // Nothing stands there: nothing is said.
    let got = mail(b"EHLO a\r\nSTARTTLS\r\n\x16\x03\x01\0\x04\x01\0\0\0", down);
    assert!(got.anomalies.iter().all(|(kind, _)| *kind != AnomalyKind::ClearBeforeTls));
}

#[test]
fn mails_that_are_fetched_are_peeled() {
    let up = b"USER a\r\nPASS secret\r\nRETR 1\r\nQUIT\r\n";
    let mail = "Subject: x\r\nContent-Transfer-Encoding: base64\r\nContent-Type: image/jpeg\r\n\r\n/9j/4AAQSkZJRg==\r\n";
    let down = format!("+OK POP3\r\n+OK\r\n+OK\r\n+OK\r\n{mail}.\r\n+OK bye\r\n");
    let (up, down) = (Stream::of_bytes(up), Stream::of_bytes(down.as_bytes()));
    let got = walked(&up, &down, Transport::Tcp, 4711);
    assert_eq!(got.protocols, ["pop3"]);
    let body = got.leaves.iter().find(|leaf| leaf.bytes == b"\xff\xd8\xff\xe0\0\x10JFIF").unwrap();
    assert_eq!(body.path(), "pop3.message > mime.body > base64");
    assert_eq!(got.leaf("digest pop3.message").bytes, mail.as_bytes());
    assert_eq!(
        got.ends.iter().map(|end| (end.1, end.2)).collect::<Vec<_>>(),
        [(Direction::Down, BodyEnd::Complete)]
    );
    properties::assert_all_searched(&got, &up, &down);
    // Redis has the same answer.
    for up in [&b"*1\r\n$4\r\nPING\r\n"[..], b"AUTH secret\r\n"] {
        let got = walked(&Stream::of_bytes(up), &Stream::of_bytes(b"+OK\r\n"), Transport::Tcp, 6379);
        assert!(!got.protocols.contains(&"pop3"));
    }
}
