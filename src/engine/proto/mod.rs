//! Protocols: streams in, messages and bodies out.
//!
//! A parser here takes the chunks of one direction of one flow, in order and with their gaps, and tells a
//! handler what they are. It keeps only what a message head needs, so that bodies of any size pass through.
//! What a body means is for `decode`.

pub mod crypto;
pub mod dns;
pub mod ftp;
pub mod hpack;
pub mod http1;
pub mod http2;
pub mod http3;
pub mod huffman;
pub mod imap;
pub mod keylog;
pub mod lines;
pub mod mqtt;
pub mod pop3;
pub mod qpack;
pub mod quic;
pub mod replies;
pub mod services;
pub mod smtp;
pub mod socks;
pub mod tls;
pub mod websocket;
pub mod xmpp;
