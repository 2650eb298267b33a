//! Payloads peeled recursively into leaves, each with its steps.
//!
//! A [`Conversation`] enters, both directions of one flow. [`walk`] recognises its protocol by its bytes,
//! drives the parser and takes off what is wrapped around content: bodies, codings, multipart, form values.
//! Everything leaves through a [`Sink`], chunk by chunk: nothing is held that grows with a body.
//! Each captured byte of both directions is in a leaf that is searched, or in one that is digested while its
//! content comes again in leaves that are searched. What is not understood is a leaf as it stands.

pub mod sink;

mod body;
mod content;
mod doh;
mod facts;
mod fields;
mod form;
mod ftp;
mod grpc;
mod heads;
mod http;
mod http2;
mod http3;
mod imap;
mod layers;
mod letter;
mod mime;
mod mqtt;
mod multipart;
mod names;
mod opening;
mod parts;
mod pop3;
mod quic;
mod raw;
mod rest;
mod runs;
mod services;
mod session;
mod smtp;
mod sniff;
mod socks;
mod telling;
mod tftp;
mod tls;
mod upgrade;
mod values;
mod websocket;
pub mod within;
mod xmpp;

pub use parts::{Sent, across};
pub use raw::disputed;
pub use telling::{is_telling, says};

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use crate::{
    engine::{
        net::stream::Stream,
        proto::{
            http1::{self, Probe, Role},
            keylog::KeyLog,
        },
    },
    evidence::{Direction, FrameNo, Limits, ReadError, Scratch, Transport},
};

use opening::{Opening, Openings};
use sink::{Sink, TransactionId};
use upgrade::Upgrade;

/// Both directions of one flow.
#[derive(Clone, Copy)]
pub struct Conversation<'a> {
    /// TCP or UDP.
    pub transport: Transport,
    /// What the phone (or the initiator) sent.
    pub up: &'a Stream,
    /// What it was sent.
    pub down: &'a Stream,
    /// Where `up` comes from.
    pub local: SocketAddr,
    /// Where `up` goes to.
    pub remote: SocketAddr,
}

impl<'a> Conversation<'a> {
    /// One direction.
    pub fn stream(&self, direction: Direction) -> &'a Stream {
        match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        }
    }

    /// The frame that carries the first byte that was captured of either direction.
    fn first_frame(&self) -> Option<FrameNo> {
        let firsts = [self.up, self.down].into_iter().filter_map(|stream| stream.pieces.first());
        firsts.map(|piece| piece.frame).min()
    }

    fn has_port(&self, ports: &[u16]) -> bool {
        ports.contains(&self.local.port()) || ports.contains(&self.remote.port())
    }
}

/// Whether either end is a port of plain DNS.
pub fn on_dns_port(one: SocketAddr, other: SocketAddr) -> bool {
    [one, other].iter().any(|end| names::DNS_PORTS.contains(&end.port()))
}

/// What every walk needs beside its conversation.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Depths, sizes and numbers.
    pub limits: &'a Limits,
    /// Session secrets of the capture.
    pub keys: &'a KeyLog,
    /// Where what does not fit in memory may go.
    pub scratch: &'a Scratch,
    /// How many conversations stand around this one (TLS in a tunnel in TLS …).
    pub depth: u8,
    /// The protocol that the layer around agreed on (an ALPN name, RFC 7301). A hint: bytes go before it.
    pub hint: Option<&'a str>,
    /// What an HTTP exchange before this conversation agreed on.
    upgrade: Option<&'a Upgrade>,
}

impl<'a> Context<'a> {
    /// For a conversation as it was captured.
    pub fn new(limits: &'a Limits, keys: &'a KeyLog, scratch: &'a Scratch) -> Self {
        Self { limits, keys, scratch, depth: 0, hint: None, upgrade: None }
    }

    /// For a conversation inside this one; `None` where too many stand around already.
    pub fn inside(self, hint: Option<&'a str>) -> Option<Self> {
        (self.depth < MAX_NESTED).then(|| Self { depth: self.depth + 1, hint, upgrade: None, ..self })
    }

    /// The same for what an HTTP exchange agreed on.
    fn upgraded(self, upgrade: Option<&'a Upgrade>) -> Self {
        Self { upgrade, ..self }
    }
}

/// The step that gives the version of disputed bytes that was captured last.
pub const LAST_VERSION: &str = "stream.last";

/// Conversations inside conversations: DNS in HTTP/2 in TLS through a proxy that is reached with TLS makes five.
const MAX_NESTED: u8 = 8;

/// What conversations that need each other leave for the next one: they are walked one after the other, in order
/// of their first frames.
#[derive(Debug, Default)]
pub struct Shared {
    quic: quic::Quic,
    ftp: ftp::Transfers,
    tftp: tftp::Requests,
    transactions: u32,
}

impl Shared {
    /// The next number of a transaction or message in the captured conversation that is walked.
    pub fn transaction(&mut self) -> TransactionId {
        let id = TransactionId(self.transactions);
        self.transactions = self.transactions.saturating_add(1);
        id
    }
}

/// Walks a conversation as it was captured and tells `sink` what is in it. What is told depends on the bytes alone,
/// not on how they were cut into segments.
///
/// # Errors
/// When the capture can't be read.
pub fn walk(
    conversation: &Conversation<'_>,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    shared.transactions = 0;
    match conversation.transport {
        Transport::Tcp => application(conversation, context, shared, sink),
        Transport::Udp => datagrams(conversation, context, shared, sink),
    }
}

/// Walks a conversation of datagrams.
fn datagrams(
    conversation: &Conversation<'_>,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let Context { limits, .. } = *context;
    if conversation.has_port(&names::DNS_PORTS) && names::dns(conversation, limits, sink)? {
        return Ok(());
    }
    if services::walk(conversation, context, shared, sink)? {
        return Ok(());
    }
    if quic::walk(conversation, context, shared, sink)? {
        return Ok(());
    }
    if tftp::requests(conversation, context, shared, sink)?
        || tftp::transfer(conversation, context, shared, sink)?
    {
        return Ok(());
    }
    if tls::datagrams(conversation, context, shared, sink)? {
        return Ok(());
    }
    raw::datagrams(conversation, limits, sink)
}

/// Walks a conversation of byte streams: one that was captured, or one that a layer around it gives (TLS, a tunnel),
/// which says in `context` what it knows. Each protocol is recognised here, by its bytes.
///
/// # Errors
/// When the capture can't be read.
pub fn application(
    conversation: &Conversation<'_>,
    context: &Context<'_>,
    shared: &mut Shared,
    sink: &mut dyn Sink,
) -> Result<(), ReadError> {
    let Context { limits, .. } = *context;
    // Inside TLS: RFC 7858.
    let names_expected = conversation.has_port(&names::DNS_PORTS)
        || (context.depth > 0 && (conversation.has_port(&[names::DOT_PORT]) || context.hint == Some("dot")));
    if names_expected && names::dns(conversation, limits, sink)? {
        return Ok(());
    }
    // A file that goes over a connection of its own may begin like anything.
    if ftp::data(conversation, context, shared, sink)? {
        return Ok(());
    }
    let up = Opening::of(conversation.up)?;
    if let Some(client) = tls::client_by(&up, Direction::Up) {
        return tls::walk(conversation, client, context, shared, sink);
    }
    let openings = Openings { up, down: Opening::of(conversation.down)? };
    if let Some(client) = tls::client_by(&openings.down, Direction::Down) {
        return tls::walk(conversation, client, context, shared, sink);
    }
    if let Some(client) = http2::client(conversation, &openings)? {
        return http2::walk(conversation, client, context, shared, sink);
    }
    if let Some(upgrade) = websocket::agreed(context, &openings) {
        return websocket::walk(conversation, upgrade, context, shared, sink);
    }
    if let Some((client, handshake)) = socks::handshake(&openings) {
        return socks::walk(conversation, (client, &handshake), context, shared, sink);
    }
    if let Some(client) = smtp::client(conversation, &openings) {
        return smtp::walk(conversation, client, context, shared, sink);
    }
    if let Some(client) = ftp::client(conversation, &openings) {
        return ftp::walk(conversation, client, context, shared, sink);
    }
    if let Some(client) = pop3::client(conversation, &openings) {
        return pop3::walk(conversation, client, context, shared, sink);
    }
    if let Some(client) = imap::client(conversation, &openings) {
        return imap::walk(conversation, client, context, shared, sink);
    }
    if let Some(client) = xmpp::client(&openings) {
        return xmpp::walk(conversation, client, context, shared, sink);
    }
    if let Some(client) = mqtt::client(&openings) {
        return mqtt::walk(conversation, client, context, shared, sink);
    }
    if let Some(direction) = requests(conversation, &openings)? {
        return http::walk(conversation, direction, context, shared, sink);
    }
    match http2::late_client(conversation)? {
        Some(client) => http2::walk(conversation, client, context, shared, sink),
        None => raw::streams(conversation, limits, sink),
    }
}

/// How far into a stream whose start is missing a first message is looked for: past the rest of a large photo.
const SCAN: u64 = 16 << 20;

/// The direction that carries HTTP requests, if the flow is HTTP.
fn requests(conversation: &Conversation<'_>, openings: &Openings) -> Result<Option<Direction>, ReadError> {
    let sides = [Direction::Up, Direction::Down];
    for side in sides {
        let (stream, opening) = (conversation.stream(side), openings.side(side));
        let begins = |role| {
            let probe = |bytes: &[u8]| match http1::probe(bytes, role) {
                Probe::Perhaps => None,
                verdict => Some(verdict == Probe::Yes),
            };
            opening.test(stream, probe)
        };
        if begins(Role::Requests)? == Some(true) {
            return Ok(Some(side));
        }
        if begins(Role::Responses)? == Some(true) {
            return Ok(Some(side.other()));
        }
    }
    // The start is missing: any line may be the first of a message.
    for side in sides {
        let stream = conversation.stream(side);
        let starts_late = !stream.from_start || stream.gaps.first().is_some_and(|gap| gap.start == 0);
        if !starts_late {
            continue;
        }
        if http::has_message(stream, Role::Requests, SCAN)? {
            return Ok(Some(side));
        }
        if http::has_message(stream, Role::Responses, SCAN)? {
            return Ok(Some(side.other()));
        }
    }
    Ok(None)
}
