//! A simulated phone and servers with known truth.
//!
//! A [`Model`] (`lab.yaml`) goes in; captures, device files, a record of what was done and the truth
//! about what was sent come out ([`Played`]). Phone and servers are real TCP stacks (smoltcp) on an
//! in-memory link with a virtual clock, so one model and one seed give the same bytes everywhere.
//! The encoders are the lab's own: it never uses the engine, so that its controls don't share the
//! engine's mistakes. TLS is rustls with its randomness drawn from the seed. No real packet ever leaves it.
//!
//! ```
//! let model = exhibit::lab::Model::parse(include_str!("../../scenarios/hello/lab.yaml"))?;
//! let played = exhibit::lab::play(&model, model.seed)?;
//! assert_eq!(played.captures.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canary;
mod channel;
mod check;
mod container;
mod encode;
mod link;
mod model;
mod nat;
mod pcapng;
mod phone;
mod photo;
mod play;
mod record;
mod script;
mod seeded;
mod servers;
mod spike;
mod stack;
mod tls;

pub use canary::{Canaries, CanaryError, MAX_PHOTOS, MAX_RECORDS, Wanted, canaries};
pub use check::ModelError;
pub use container::{MAX_MERGED, MergeError};
pub use model::{
    Action, Again, Field, Gateway, Host, Layout, Link, Mac, Model, Other, Outside, Phase, Phone, Point,
    Pushed, Request, Send, Span, Spikes,
};
pub use play::{Made, PlayError, Played, play};
pub use record::{Carried, Sent};
pub use spike::{Merged, SPIKES, Wanted as Spiked, spike};
