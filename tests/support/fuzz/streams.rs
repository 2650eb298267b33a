//! Parsers of streams, each by itself.

use exhibit::{
    engine::{
        codec::{Chunked, Dots, Part},
        net::stream::Chunk,
        proto::{
            dns, ftp, hpack, http1, http2, http3, huffman, imap,
            keylog::{KeyLog, Label},
            lines::{Lines, Text, reply_code},
            mqtt, pop3, qpack, quic, replies, services, smtp, socks, tls, websocket, xmpp,
        },
    },
    evidence::{ByteRange, FrameNo},
};

use super::{Random, Target, Told, however_cut, pieces, split};

pub const TARGETS: &[(&str, Target)] = &[
    ("chunked", chunked),
    ("dns", dns),
    ("dots", dots),
    ("ftp", ftp),
    ("hpack", hpack),
    ("http1", http1),
    ("http2", http2),
    ("http3", http3),
    ("huffman", huffman),
    ("imap", imap),
    ("keylog", keylog),
    ("lines", lines),
    ("mqtt", mqtt),
    ("pop3", pop3),
    ("qpack", qpack),
    ("quic_assemble", quic_assemble),
    ("quic_frames", quic_frames),
    ("quic_packet", quic_packet),
    ("services", services),
    ("smtp", smtp),
    ("socks", socks),
    ("tls_clear", tls_clear),
    ("tls_hello", tls_hello),
    ("websocket", websocket),
    ("xmpp", xmpp),
];

pub fn dns(data: &[u8]) {
    if let Ok(message) = dns::parse(data) {
        assert_eq!(Ok(&message), dns::parse(data).as_ref());
        assert!(
            message.understood.iter().all(|range| range.start <= range.end && range.end <= data.len() as u64)
        );
        assert!(message.questions.len() * 5 + message.answers.len() * 11 <= data.len());
    }
    let framed = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut framer, mut messages) = (dns::Framer::default(), Vec::new());
        pieces.for_each(|piece| framer.push(piece, &mut |message| messages.push(message.to_vec())));
        (messages, framer.is_inside())
    };
    let cut = pieces(data, &mut Random::of(data));
    assert_eq!(framed(&mut [data].into_iter()), framed(&mut cut.into_iter().map(|piece| &data[piece])));
}

pub fn chunked(data: &[u8]) {
    let run = |pieces: &[std::ops::Range<usize>]| {
        let (mut chunked, mut told) = (Chunked::new(), Told::default());
        for piece in pieces {
            let mut at = piece.start;
            while at < piece.end {
                match chunked.take(&data[at..piece.end]) {
                    Ok((0, _)) => {
                        assert!(chunked.is_done(), "nothing taken");
                        told.say(format!("done at {at}"));
                        return told;
                    }
                    Ok((taken, part)) => {
                        let kind = match part {
                            Part::Data => "data",
                            Part::Framing => "framing",
                            Part::Free => "free",
                        };
                        let range = ByteRange::new(at as u64, (at + taken) as u64);
                        told.run(kind, &data[at..at + taken], range);
                        at += taken;
                    }
                    Err(damage) => {
                        told.say(format!("{damage} at {at}"));
                        return told;
                    }
                }
            }
        }
        told
    };
    assert_eq!(run(std::slice::from_ref(&(0..data.len()))), run(&pieces(data, &mut Random::of(data))));
}

pub fn dots(data: &[u8]) {
    however_cut(data, |chunks| {
        let (mut dots, mut told) = (Dots::new(), Told::default());
        for chunk in chunks {
            let mut out = |part: Part, bytes: &[u8], range: ByteRange| {
                told.run(if part == Part::Data { "data" } else { "framing" }, bytes, range);
            };
            match chunk {
                Chunk::Gap(_) => dots.gap(&mut out),
                Chunk::Bytes { range, data } => {
                    let taken = dots.take(data, range.start, &mut out);
                    assert!(taken == data.len() || dots.is_done());
                }
            }
        }
        dots.end(&mut |part, bytes, range| {
            told.run(if part == Part::Data { "data" } else { "framing" }, bytes, range);
        });
        told
    });
}

pub fn lines(data: &[u8]) {
    let Some((&options, data)) = data.split_first() else { return };
    however_cut(data, |chunks| {
        let (mut lines, mut told) = (Lines::new(options & 1 == 0), Told::default());
        let give = |told: &mut Told, text: Text<'_>| match text {
            Text::Line(line, range) => {
                told.run("line", line, range);
                told.say(format!("{:?}", reply_code(line)));
            }
            Text::Part(part, range) => told.run("part", part, range),
        };
        for chunk in chunks {
            match chunk {
                Chunk::Gap(_) => lines.cut(&mut |text| give(&mut told, text)),
                Chunk::Bytes { range, data } => {
                    let mut taken = 0;
                    while taken < data.len() {
                        let at = range.start + taken as u64;
                        taken += lines.take(&data[taken..], at, &mut |text| give(&mut told, text));
                    }
                }
            }
        }
        lines.cut(&mut |text| give(&mut told, text));
        told
    });
}

pub fn ftp(data: &[u8]) {
    let (word, rest) = exhibit::engine::proto::lines::split_word(data);
    let _ = (ftp::is_verb(word), ftp::begins(word), ftp::Transfer::of(word), ftp::active(word, rest));
    for code in [227, 228, 229] {
        let _ = ftp::passive(code, data);
    }
}

pub fn huffman(data: &[u8]) {
    let mut out = Vec::new();
    let _ = huffman::decode(data, &mut out);
    // The shortest code has five bits (RFC 7541 appendix B).
    assert!(out.len() * 5 <= data.len() * 8);
}

/// Blocks that one connection sends, one after the other.
pub fn hpack(data: &[u8]) {
    let run = || {
        let (mut decoder, mut fields) = (hpack::Decoder::new(), Vec::new());
        for block in split(data, b"|||") {
            let mut end = 0;
            let result = decoder.decode(block, &mut |field| {
                assert!(end <= field.place.start && field.place.end <= block.len());
                end = field.place.end;
                fields.push(format!("{field:?}"));
            });
            fields.push(format!("{result:?}"));
        }
        fields
    };
    assert_eq!(run(), run());
}

/// The encoder stream, then sections.
pub fn qpack(data: &[u8]) {
    let parts = split(data, b"|||");
    let (stream, sections) = parts.split_first().unwrap();
    let run = |pieces: &[std::ops::Range<usize>]| {
        let (mut table, mut told) = (qpack::Table::default(), Vec::new());
        for piece in pieces {
            let result = table.push(&stream[piece.clone()], FrameNo(1), &mut |insert| {
                told.push(format!("{insert:?}"));
            });
            if let Err(why) = result {
                told.push(why.to_owned());
            }
        }
        (table, told)
    };
    let (table, told) = run(std::slice::from_ref(&(0..stream.len())));
    let (cut_table, cut_told) = run(&pieces(stream, &mut Random::of(data)));
    assert_eq!((told, table.count()), (cut_told, cut_table.count()));
    for section in sections {
        for capacity in [None, Some(4_096)] {
            let read = |table: &qpack::Table| {
                let mut fields = Vec::new();
                let result = table.decode(section, FrameNo(2), capacity, &mut |field| {
                    assert!(field.place.end <= section.len());
                    fields.push(format!("{field:?}"));
                });
                (fields, result)
            };
            assert_eq!(read(&table), read(&cut_table));
        }
    }
}

pub fn keylog(data: &[u8]) {
    let mut log = KeyLog::default();
    log.add(data);
    for label in [Label::ClientRandom, Label::RsaPremaster, Label::ClientTraffic, Label::SessionId] {
        let _ = log.get(label, data.get(..32).unwrap_or(data));
    }
}

pub fn quic_packet(data: &[u8]) {
    let _ = quic::packet::probe(data);
    let Some(header) = quic::packet::Long::parse(data) else { return };
    assert!(header.number <= header.end && header.end <= data.len());
    for range in [&header.destination, &header.source, &header.token, &header.length] {
        assert!(range.start <= range.end && range.end <= header.end);
    }
    let destination = &data[header.destination.clone()];
    let _ = (header.offered(data), quic::retry_is_genuine(header.version, destination, data));
    let mut connection = quic::Connection::new(header.version, destination);
    connection.retry(&data[header.source.clone()]);
}

pub fn quic_frames(data: &[u8]) {
    let mut at = 0;
    for frame in quic::frame::Frames::new(data) {
        match frame {
            Ok((range, _)) => {
                assert!(range.start == at && range.end > at && range.end <= data.len());
                at = range.end;
            }
            Err(damage) => assert_eq!(damage.at, at),
        }
    }
}

/// Segments of seven bytes each, against one cell for each byte.
pub fn quic_assemble(data: &[u8]) {
    let segments: Vec<_> = data
        .as_chunks::<3>()
        .0
        .iter()
        .zip(0..)
        .map(|(&[offset, high, len], packet)| quic::stream::Segment {
            offset: u64::from(offset) + u64::from(high & 3) * 256,
            packet,
            at: u32::from(high),
            len: u32::from(len),
        })
        .collect();
    let mut cells = vec![None; 2_000];
    let mut repeated = 0_u64;
    for segment in &segments {
        for place in segment.offset..segment.offset + u64::from(segment.len) {
            let cell = &mut cells[place as usize];
            repeated += u64::from(cell.is_some());
            let _ = cell.get_or_insert((segment.packet, u64::from(segment.at) + place - segment.offset));
        }
    }
    let assembled = quic::stream::assemble(&segments);
    let mut got = vec![None; 2_000];
    let mut end = 0;
    for part in &assembled.parts {
        assert!(part.range.start >= end, "sorted, without overlaps");
        end = part.range.end;
        for place in part.range.start..part.range.end {
            got[place as usize] = Some((part.packet, part.at + place - part.range.start));
        }
    }
    assert_eq!(got, cells);
    assert_eq!(assembled.repeats.iter().map(|repeat| repeat.other.range.len()).sum::<u64>(), repeated);
}

struct Http1(Told, http1::Role, u8);

impl http1::Handler for Http1 {
    fn head(&mut self, head: &http1::Head<'_>) -> http1::Framing {
        let (framing, odd) = match self.1 {
            http1::Role::Requests => http1::request_framing(head),
            http1::Role::Responses => http1::response_framing(head, http1::Asked::of(head)),
        };
        self.0.say(format!("{head:?} {framing:?} {odd:?} {}", http1::asks_to_switch(head)));
        framing
    }
    fn body(&mut self, part: Part, bytes: &[u8], range: ByteRange) {
        let kind = match part {
            Part::Data => "data",
            Part::Framing => "framing",
            Part::Free => "free",
        };
        self.0.run(kind, bytes, range);
    }
    fn body_gap(&mut self, gap: ByteRange) {
        self.0.say(format!("body gap {gap:?}"));
    }
    fn body_end(&mut self, complete: bool) {
        self.0.say(format!("body end {complete}"));
    }
    fn message_end(&mut self) -> http1::Next {
        match self.2 {
            0 => http1::Next::Perhaps,
            1 => http1::Next::Switch,
            _ => http1::Next::Head,
        }
    }
    fn switched(&mut self, at: u64) {
        self.0.say(format!("switched {at}"));
    }
    fn raw(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("raw", bytes, range);
    }
    fn raw_gap(&mut self, gap: ByteRange) {
        self.0.say(format!("raw gap {gap:?}"));
    }
    fn malformed(&mut self, at: u64, why: String) {
        self.0.say(format!("malformed {at} {why}"));
    }
}

/// The first byte chooses the role, whether the start was seen, and what follows a message.
pub fn http1(data: &[u8]) {
    let Some((&options, data)) = data.split_first() else { return };
    let role = if options & 1 == 0 { http1::Role::Responses } else { http1::Role::Requests };
    let _ = http1::probe(data, role);
    however_cut(data, |chunks| {
        let mut handler = Http1(Told::default(), role, options >> 2 & 7);
        let mut parser = http1::Parser::new(role, options & 2 == 0);
        chunks.iter().for_each(|chunk| parser.push(chunk, &mut handler));
        parser.finish(&mut handler);
        handler.0
    });
}

struct Http2(Told, hpack::Decoder);

impl http2::Handler for Http2 {
    fn framing(&mut self, bytes: &[u8], range: ByteRange) {
        assert_eq!(bytes.len() as u64, range.len());
    }
    fn preface(&mut self, range: ByteRange) {
        self.0.say(format!("preface {range:?}"));
    }
    fn frame(&mut self, header: &http2::Header, at: u64) {
        self.0.say(format!("{header:?} at {at} {:?} {}", header.broken(), header.is_plain()));
    }
    fn data(&mut self, header: &http2::Header, content: ByteRange) {
        self.0.say(format!("data {header:?} {content:?}"));
    }
    fn padding(&mut self, range: ByteRange, zeros: bool) {
        self.0.say(format!("padding {range:?} {zeros}"));
    }
    fn payload(&mut self, header: &http2::Header, payload: &[u8], range: ByteRange) {
        assert_eq!(payload.len() as u64, range.len());
        let settings: Vec<_> = http2::settings(payload).take(8).collect();
        self.0.say(format!("payload {header:?} {range:?} {settings:?}"));
    }
    fn block(&mut self, block: &http2::Block<'_>) {
        let mut fields = 0;
        let result = self.1.decode(block.fragment, &mut |_| fields += 1);
        self.0.say(format!("{block:?} {fields} {result:?}"));
    }
    fn lost(&mut self, at: u64) {
        self.0.say(format!("lost {at}"));
    }
    fn found(&mut self, at: u64) {
        self.0.say(format!("found {at}"));
    }
    fn malformed(&mut self, at: u64, why: String) {
        self.0.say(format!("malformed {at} {why}"));
    }
    fn too_large(&mut self, at: u64, why: String) {
        self.0.say(format!("too large {at} {why}"));
    }
}

/// The first byte chooses how the stream starts.
pub fn http2(data: &[u8]) {
    let Some((&options, data)) = data.split_first() else { return };
    let _ = (http2::begins_server(data), http2::starts_chain(data, options & 4 == 0));
    however_cut(data, |chunks| {
        let start = match options % 3 {
            0 => http2::Start::Preface,
            1 => http2::Start::Frames,
            _ => http2::Start::Anywhere,
        };
        let mut handler = Http2(Told::default(), hpack::Decoder::new());
        let mut parser = http2::Parser::new(start);
        chunks.iter().for_each(|chunk| parser.push(chunk, &mut handler));
        parser.finish(&mut handler);
        handler.0
    });
}

struct Http3(Told);

impl http3::Handler for Http3 {
    fn framing(&mut self, bytes: &[u8], range: ByteRange) {
        assert_eq!(bytes.len() as u64, range.len());
    }
    fn head(&mut self, kind: u64, range: ByteRange) {
        self.0.say(format!("frame {kind} {range:?}"));
    }
    fn data(&mut self, content: ByteRange) {
        self.0.say(format!("data {content:?}"));
    }
    fn payload(&mut self, kind: u64, payload: &[u8], range: ByteRange) {
        assert_eq!(payload.len() as u64, range.len());
        self.0.say(format!("payload {kind} {range:?} {:?}", http3::Setting::all(payload)));
    }
    fn unread(&mut self, kind: u64, range: ByteRange, why: &'static str) {
        self.0.say(format!("unread {kind} {range:?} {why}"));
    }
    fn raw(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("raw", bytes, range);
    }
    fn lost(&mut self, at: u64) {
        self.0.say(format!("lost {at}"));
    }
}

pub fn http3(data: &[u8]) {
    if let Some((_, length)) = http3::Purpose::of(data) {
        assert!(length <= data.len());
    }
    however_cut(data, |chunks| {
        let (mut handler, mut parser) = (Http3(Told::default()), http3::Parser::new(0));
        chunks.iter().for_each(|chunk| parser.push(chunk, &mut handler));
        handler.0.say(format!("{}", parser.is_between_frames()));
        handler.0
    });
}

struct Smtp(Told);

impl smtp::Handler for Smtp {
    fn command(&mut self, command: &smtp::Command<'_>) {
        self.0.say(format!("{command:?}"));
    }
    fn sasl(&mut self, line: &[u8], range: ByteRange) {
        self.0.run("sasl", line, range);
    }
    fn text(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("text", bytes, range);
    }
    fn gap(&mut self, gap: ByteRange) {
        self.0.say(format!("gap {gap:?}"));
    }
    fn message(&mut self, carriage: smtp::Carriage, at: u64) {
        self.0.say(format!("message {carriage:?} {at}"));
    }
    fn content(&mut self, part: Part, bytes: &[u8], range: ByteRange) {
        self.0.run(if part == Part::Data { "content" } else { "framing" }, bytes, range);
    }
    fn content_gap(&mut self, gap: ByteRange) {
        self.0.say(format!("content gap {gap:?}"));
    }
    fn message_end(&mut self, complete: bool) {
        self.0.say(format!("message end {complete}"));
    }
}

/// The replies' codes, three digits each, up to `|||`; then what the client sends.
pub fn smtp(data: &[u8]) {
    let parts = split(data, b"|||");
    let (codes, client) = if let [codes, client, ..] = parts[..] { (codes, client) } else { (&[][..], data) };
    let mut known = replies::Replies::default();
    for (at, code) in codes.as_chunks::<3>().0.iter().enumerate() {
        let code = code.iter().fold(0, |sum, &digit| sum * 10 + u16::from(digit % 10));
        known.push(replies::Reply { code, range: ByteRange::new(at as u64 * 5, at as u64 * 5 + 5) });
    }
    however_cut(client, |chunks| {
        let mut handler = Smtp(Told::default());
        let mut parser = smtp::Client::new(!codes.is_empty(), known.clone());
        chunks.iter().for_each(|chunk| parser.push(chunk, &mut handler));
        parser.finish(&mut handler);
        handler.0.say(format!("{:?}", parser.secured()));
        handler.0
    });
}

struct Pop3(Told);

impl pop3::Handler for Pop3 {
    fn status(&mut self, line: &[u8], range: ByteRange) {
        self.0.run("status", line, range);
    }
    fn text(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("text", bytes, range);
    }
    fn gap(&mut self) {
        self.0.say("gap".to_owned());
    }
    fn message(&mut self, verb: &'static str, number: Option<u32>, at: u64) {
        self.0.say(format!("{verb} {number:?} at {at}"));
    }
    fn content(&mut self, part: Part, bytes: &[u8], range: ByteRange) {
        self.0.run(if part == Part::Data { "content" } else { "framing" }, bytes, range);
    }
    fn content_gap(&mut self, gap: ByteRange) {
        self.0.say(format!("content gap {gap:?}"));
    }
    fn message_end(&mut self, complete: bool) {
        self.0.say(format!("message end {complete}"));
    }
}

/// The client's lines up to `|||`, then what the server sends.
pub fn pop3(data: &[u8]) {
    let parts = split(data, b"|||");
    let (client, server) =
        if let [client, server, ..] = parts[..] { (Some(client), server) } else { (None, data) };
    let commands = client.map(|client| {
        let mut end = 0;
        let lines = client.split_inclusive(|&byte| byte == b'\n');
        let command = |line: &[u8]| {
            end += line.len() as u64;
            pop3::Command { asked: pop3::asked(line), end }
        };
        lines.map(command).collect::<Vec<_>>()
    });
    however_cut(server, |chunks| {
        let mut handler = Pop3(Told::default());
        let mut parser = pop3::Server::new(true, true, commands.clone());
        chunks.iter().for_each(|chunk| parser.push(chunk, &mut handler));
        parser.finish(&mut handler);
        handler.0.say(format!("{:?}", parser.secured()));
        handler.0
    });
}

struct Xmpp(Told);

impl xmpp::Handler for Xmpp {
    fn between(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("between", bytes, range);
    }
    fn gap(&mut self) {
        self.0.say("gap".to_owned());
    }
    fn stanza(&mut self, name: &[u8], at: u64) {
        self.0.say(format!("{name:?} at {at}"));
    }
    fn content(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("content", bytes, range);
    }
    fn lost(&mut self, gap: ByteRange) {
        self.0.say(format!("lost {gap:?}"));
    }
    fn stanza_end(&mut self, complete: bool) {
        self.0.say(format!("end {complete}"));
    }
}

pub fn xmpp(data: &[u8]) {
    let _ = xmpp::begins(data);
    however_cut(data, |chunks| {
        let mut handler = Xmpp(Told::default());
        let mut parser = xmpp::Parser::new(Some("starttls"));
        chunks.iter().for_each(|chunk| parser.push(chunk, &mut handler));
        parser.finish(&mut handler);
        handler.0.say(format!("{:?}", parser.stopped()));
        handler.0
    });
}

pub fn services(data: &[u8]) {
    for read in [services::ntp, services::dhcp, services::dhcpv6, services::ssdp] {
        let Some(said) = read(data) else { continue };
        let mut end = 0;
        for range in &said.understood {
            assert!(range.start >= end && range.start < range.end);
            end = range.end;
        }
        assert!(end <= data.len() as u64 && said.name.len() <= data.len());
    }
}

/// What the client sends up to `|||`, then what the proxy sends.
pub fn socks(data: &[u8]) {
    let parts = split(data, b"|||");
    let (client, server) =
        if let [client, server, ..] = parts[..] { (client, server) } else { (data, &[][..]) };
    let Some(handshake) = socks::handshake(client, server) else { return };
    assert!(handshake.client <= client.len() && handshake.server <= server.len());
    assert!(handshake.understood.iter().all(|range| range.end <= handshake.client));
    assert_eq!(format!("{handshake:?}"), format!("{:?}", socks::handshake(client, server).unwrap()));
}

struct Imap(Told);

impl imap::Handler for Imap {
    fn line(&mut self, line: imap::Line<'_>) {
        self.0.say(format!("{line:?} {:?}", line.words()));
    }
    fn answer(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("answer", bytes, range);
    }
    fn text(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("text", bytes, range);
    }
    fn gap(&mut self, gap: ByteRange) {
        self.0.say(format!("gap {gap:?}"));
    }
    fn literal(&mut self, at: u64) {
        self.0.say(format!("literal {at}"));
    }
    fn content(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("content", bytes, range);
    }
    fn content_gap(&mut self, gap: ByteRange) {
        self.0.say(format!("content gap {gap:?}"));
    }
    fn literal_end(&mut self, complete: bool) {
        self.0.say(format!("literal end {complete}"));
    }
}

/// The server's lines up to `|||`, then the client's stream.
pub fn imap(data: &[u8]) {
    let parts = split(data, b"|||");
    let (server, client) =
        if let [server, client, ..] = parts[..] { (server, client) } else { (&[][..], data) };
    let mut answers = imap::Answers::default();
    let mut at = 0;
    for line in server.split_inclusive(|&byte| byte == b'\n') {
        let range = ByteRange::new(at, at + line.len() as u64);
        at = range.end;
        imap::Answer::of(line, range).map(|answer| answers.push(answer));
    }
    for (stream, is_client) in [(client, true), (server, false)] {
        however_cut(stream, |chunks| {
            let mut handler = Imap(Told::default());
            let mut parser = if is_client {
                imap::Parser::client(true, answers.clone())
            } else {
                imap::Parser::server(true, None)
            };
            chunks.iter().for_each(|chunk| parser.push(chunk, &mut handler));
            parser.finish(&mut handler);
            handler.0.say(format!("{:?}", parser.switch()));
            handler.0
        });
    }
}

struct Mqtt(Told);

impl mqtt::Handler for Mqtt {
    fn packet(&mut self, packet: &mqtt::Packet<'_>) {
        let body = packet.body();
        let filters = [None, Some(4), Some(5)].map(|version| mqtt::filters(packet.kind, body, version));
        self.0.say(format!("{packet:?} {:?} {filters:?}", mqtt::connect(body)));
    }
    fn publish(&mut self, publish: &mqtt::Publish<'_>) {
        self.0.say(format!("{publish:?}"));
    }
    fn payload(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("payload", bytes, range);
    }
    fn payload_gap(&mut self, gap: ByteRange) {
        self.0.say(format!("payload gap {gap:?}"));
    }
    fn payload_end(&mut self, complete: bool) {
        self.0.say(format!("payload end {complete}"));
    }
    fn lost(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("lost", bytes, range);
    }
    fn gap(&mut self, gap: ByteRange) {
        self.0.say(format!("gap {gap:?}"));
    }
    fn malformed(&mut self, at: u64, why: &'static str) {
        self.0.say(format!("malformed {at} {why}"));
    }
}

pub fn mqtt(data: &[u8]) {
    let _ = (mqtt::opens(data), mqtt::packets(data, true), mqtt::packets(data, false));
    however_cut(data, |chunks| {
        let (mut handler, mut parser) = (Mqtt(Told::default()), mqtt::Parser::new(None));
        chunks.iter().for_each(|chunk| parser.push(chunk, &mut handler));
        parser.finish(&mut handler);
        handler.0
    });
}

struct Websocket(Told);

impl websocket::Handler for Websocket {
    fn frame(&mut self, header: &websocket::Header, bytes: &[u8], at: u64) {
        self.0.say(format!("{header:?} {bytes:?} {at}"));
    }
    fn payload(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("payload", bytes, range);
    }
    fn payload_gap(&mut self, gap: ByteRange) {
        self.0.say(format!("payload gap {gap:?}"));
    }
    fn frame_end(&mut self, complete: bool) {
        self.0.say(format!("frame end {complete}"));
    }
    fn lost(&mut self, bytes: &[u8], range: ByteRange) {
        self.0.run("lost", bytes, range);
    }
    fn gap(&mut self, gap: ByteRange) {
        self.0.say(format!("gap {gap:?}"));
    }
    fn malformed(&mut self, at: u64, why: &'static str) {
        self.0.say(format!("malformed {at} {why}"));
    }
}

/// The first byte chooses the reserved bits.
pub fn websocket(data: &[u8]) {
    let Some((&options, data)) = data.split_first() else { return };
    let _ = websocket::deflate(data);
    however_cut(data, |chunks| {
        let (mut handler, mut parser) =
            (Websocket(Told::default()), websocket::Parser::new(if options & 1 == 0 { 0 } else { 4 }));
        chunks.iter().for_each(|chunk| parser.push(chunk, &mut handler));
        parser.finish(&mut handler);
        handler.0
    });
}

struct TlsClear(Told, Vec<ByteRange>, u64);

impl tls::ClearHandler for TlsClear {
    fn hello(&mut self, at: u64, hello: tls::Hello) {
        self.0.say(format!("{hello:?} at {at}"));
    }
    fn record_header(&mut self, range: ByteRange) {
        assert!(range.end <= self.2);
        self.0.say(format!("header {range:?}"));
    }
    fn opaque(&mut self, range: ByteRange) {
        assert!(range.start <= range.end && range.end <= self.2);
        self.1.push(range);
    }
    fn malformed(&mut self, at: u64, why: &'static str) {
        self.0.say(format!("malformed {at} {why}"));
    }
}

pub fn tls_clear(data: &[u8]) {
    let _ = tls::opening(data);
    however_cut(data, |chunks| {
        let end = chunks.last().map_or(0, |chunk| match chunk {
            Chunk::Gap(range) | Chunk::Bytes { range, .. } => range.end,
        });
        let (mut handler, mut parser) = (TlsClear(Told::default(), Vec::new(), end), tls::Parser::new());
        chunks.iter().for_each(|chunk| parser.push(chunk, &mut handler));
        let mut told = handler.0;
        told.say(format!("opaque {:?}", ByteRange::unite(handler.1)));
        told
    });
}

pub fn tls_hello(data: &[u8]) {
    for hello in [tls::Hello::of_client(data), tls::Hello::of_server(data), tls::Hello::of_sslv2(data)] {
        let Some(mut hello) = hello else { continue };
        let _ =
            (hello.version(), hello.cipher(), hello.is_retry(), hello.early_data(), hello.pre_shared_key());
        hello.read_extension_list(data);
    }
}
