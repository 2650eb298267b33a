//! Ties uploaded bytes to the files that were on a phone, judges claims about it, and seals what a
//! stranger can check and re-run.
//!
//! There is one road between two waists:
//!
//! ```text
//!  makers             inputs     engine                                                      outputs      readers
//!  lab  ---+                     net -> proto -> decode -> correlate -> timeline -> verdict              +-> report
//!  files --+------->  Case  ---> +---------------- engine::analyze ----------------+ ---> Findings ------+-> bundle -> verify
//! ```
//!
//! [`case::Case`] is everything that goes in, [`findings::Findings`] everything that comes out, and
//! [`engine::analyze`] the only road between. Its result depends on the case alone.
//!
//! # Rooms
//!
//! A room uses only rooms above it in this table, and only those that its row names; a name stands for
//! the rooms below it too, and `self` for a room's own. `tests/rooms.rs` reads the table and holds the
//! code to it.
//!
//! | room | owns | uses |
//! |---|---|---|
//! | `evidence` | the shared words: digests, timestamps, frame numbers, locators, blobs | |
//! | `case::folder` | inputs by logical path, on a disk or in a bundle | evidence |
//! | `case::scenario` | the plan and the record: YAML to phases, actions, claims; errors with line, column and help | evidence |
//! | `case::device` | what was on the phone: files with their kind | evidence case::folder |
//! | `case::capture` | pcap, pcapng, gz, zst; link types, interface statistics, key logs; frames by reference, and as excerpts | evidence |
//! | `case::geoip` | offline address tables: the country an address is registered to | evidence |
//! | `case` | plan + record + inputs by logical path | evidence self |
//! | `findings` | what came out: plain data, canonical JSON, the codes and their meaning | evidence case::scenario |
//! | `engine::codec` | single codings as bounded streams: gzip, deflate, Brotli, zstd, chunked, base64, percent | evidence |
//! | `engine::net` | Ethernet to TCP and UDP, reassembly with gaps and overlaps, whose address is the phone's | evidence case::capture |
//! | `engine::proto` | `dns` `tls` `quic` `http1` `http2` `smtp` …: parsers and their state over a stream | evidence engine::codec engine::net |
//! | `engine::decode` | payloads peeled recursively into leaves, each with its steps | evidence engine::codec engine::net engine::proto |
//! | `engine::correlate` | leaves matched with artifacts: exact, partial, derived, identifier | evidence case::device engine::codec engine::net engine::decode findings |
//! | `engine::timeline` | runs, windows, flows attributed to actions | evidence case findings |
//! | `engine::ledger` | the place of each uplink byte | evidence findings engine::net engine::decode engine::timeline |
//! | `engine::statistics` | exact tests, bounds and ranks on numbers of windows and on sizes | |
//! | `engine::verdict` | gates and claims decided on what was observed | evidence case findings engine::timeline engine::statistics |
//! | `engine` | `analyze`, the one road, with what it says of volume nobody can read; `inspect` and `extract`, shorter walks on it; `witness`, the same road on excerpts | evidence case findings self |
//! | `report` | findings for people: html, markdown, terminal, snapshot; pure functions of findings | evidence case::scenario findings |
//! | `bundle` | archive, seal, trust; `verify` re-runs: a list of checks, each held, failed, not checkable or not claimed | evidence case findings |
//! | `lab` | a simulated phone and servers with known truth, alone or merged into a real capture; canaries to be planted; own encoders | evidence case |
//!
//! Three bans are worth more than the rest: `lab` never uses the engine (its positive controls must not
//! share our bugs); `report` never uses the engine (a verified bundle gives a verified report); only the
//! command line and the `open` functions touch files by name, the clock or the environment.

pub mod bundle;
pub mod case;
pub mod engine;
pub mod evidence;
pub mod findings;
pub mod lab;
pub mod report;
