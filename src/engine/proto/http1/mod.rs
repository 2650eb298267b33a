//! HTTP/1.0 and 1.1 (RFC 9112): heads, the framing of bodies, and what is no HTTP.
//!
//! [`Parser`] takes one direction of a connection and calls a [`Handler`]: each head, the bytes of its body
//! as they come, its end, and raw bytes that belong to no message. It never forces: bytes that are no head where one must
//! stand are raw until the next place where one can start.

mod framing;
mod head;
mod parser;
mod seek;

pub use framing::{Asked, Framing, asks_to_switch, request_framing, response_framing};
pub use head::{Field, Head, Probe, StartLine, content_length, probe, tokens};
pub use parser::{Handler, Next, Parser, Role};
