//! HTTP/2 (RFC 9113): frames of one direction, header blocks put together, what is missing.
//!
//! [`Parser`] takes one direction of a connection and calls a [`Handler`]: each frame's header, where the content
//! of DATA stands, whole header blocks and the payloads of other frames. The content of DATA is not read here. Where bytes are missing
//! the frames after them are looked for again, and only a chain of frames is believed.

mod frame;
mod parser;

#[cfg(test)]
mod tests;

pub use frame::{HEADER_LEN, Header, Kind, PREFACE, Setting, begins_server, settings, starts_chain};
pub use parser::{Block, Handler, Parser, Start};
