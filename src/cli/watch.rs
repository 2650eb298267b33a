//! What a person sees while a capture is inspected: how far it is, and whether key logs fit.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use exhibit::{
    findings::inspection::{End, Head, Part, View},
    report::quantity::grouped,
};

/// What takes less needs no progress.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two lines of progress.
const PACE: Duration = Duration::from_millis(200);

#[allow(clippy::disallowed_methods, reason = "how long it takes is shown on the terminal alone")]
fn now() -> Instant {
    Instant::now()
}

/// Hands everything on, and watches it go by.
pub(crate) struct Watch<'v> {
    view: &'v mut dyn View,
    /// Progress is shown: stderr is a terminal, and no result is written to one meanwhile.
    shown: bool,
    begun: Instant,
    last: Option<Instant>,
    flows: u64,
    sealed: bool,
    opened: bool,
}

impl<'v> Watch<'v> {
    /// Watches; `streams` says whether the view writes to stdout before its end.
    pub(crate) fn new(view: &'v mut dyn View, streams: bool, quiet: bool) -> Self {
        let shown = !quiet && io::stderr().is_terminal() && !(streams && io::stdout().is_terminal());
        Self { view, shown, begun: now(), last: None, flows: 0, sealed: false, opened: false }
    }

    /// Whether there were encrypted connections, and none was opened.
    pub(crate) fn opened_nothing(&self) -> bool {
        self.sealed && !self.opened
    }

    fn progress(&mut self) {
        let now = now();
        let due = self.last.map_or(self.begun + PATIENCE, |last| last + PACE);
        if self.shown && now >= due {
            self.last = Some(now);
            // Where stderr is closed, nobody watches.
            let _ = write!(io::stderr(), "\r{} flows read", grouped(self.flows));
        }
    }

    fn clear(&mut self) {
        if self.last.take().is_some() {
            let _ = write!(io::stderr(), "\r{:40}\r", "");
        }
    }
}

impl View for Watch<'_> {
    fn head(&mut self, head: &Head) -> io::Result<()> {
        self.view.head(head)
    }

    fn part(&mut self, part: &Part) -> io::Result<()> {
        self.flows += part.flows.len() as u64;
        self.sealed |= !part.tls.is_empty() || !part.quic_connections.is_empty();
        self.opened |= part.tls.iter().flat_map(|one| &one.directions).any(|side| side.decrypted > 0)
            || part.tls_hellos.iter().any(|one| one.decrypted)
            || part.quic_connections.iter().any(|one| one.decrypted);
        self.progress();
        self.view.part(part)
    }

    fn end(&mut self, end: &End) -> io::Result<()> {
        self.clear();
        self.view.end(end)
    }
}
