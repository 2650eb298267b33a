//! What was compared, and what came of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
};

use serde_json::Value;

use crate::pair::list;

/// One category of the table.
pub(crate) struct Category {
    pub(crate) name: &'static str,
    /// How many things the truth files hold.
    pub(crate) all: usize,
    /// Counts them in one truth file, apart from the code that compares them.
    count: fn(&Value) -> usize,
}

const fn category(name: &'static str, all: usize, count: fn(&Value) -> usize) -> Category {
    Category { name, all, count }
}

/// Every category, in the order of the table, with what all truth files together hold.
pub(crate) const CATEGORIES: &[Category] = &[
    category("containers", 251, |_| 1),
    category("packet counts", 251, |_| 1),
    category("times", 250, |t| usize::from(!t["time"].is_null())),
    category("damaged files", 3, |t| usize::from(!t["read"]["tshark_error"].is_null())),
    category("UDP conversations", 251, |t| usize::from(t["counts"]["udp_streams"].is_u64())),
    category("TCP connections", 910, |t| list(&t["tcp_streams"]).len()),
    category("TCP directions", 1_409, |t| directions(t, |_| true)),
    category("  last wins", 12, |t| directions(t, |d| !list(&d["islands_last_wins"]).is_empty())),
    category("  conflict bytes", 1_409, |t| directions(t, |_| true)),
    category("HTTP/1 requests", 638, |t| list(&t["http_requests_from_bytes"]).len()),
    category("  bodies, wire", 67, |t| bodies(t, "wire_len")),
    category("  bodies, dechunked", 67, |t| bodies(t, "len")),
    category("  bodies, decoded", 4, |t| bodies(t, "decoded_len")),
    category("  multipart parts", 12, |t| {
        list(&t["http_requests_from_bytes"]).iter().map(|r| list(&r["body"]["multipart"]).len()).sum()
    }),
    category("HTTP/1 requests, tshark", 608, |t| list(&t["http_requests_tshark"]).len()),
    category("HTTP/1 responses, tshark", 409, |t| list(&t["http_responses_tshark"]).len()),
    category("HTTP objects, tshark", 436, |t| list(&t["export_objects_http"]).len()),
    category("DNS messages", 1_548, |t| list(&t["dns"]).len()),
    category("TLS hellos", 459, |t| list(&t["tls_hellos"]).len()),
    category("TLS plaintext directions", 104, |t| 2 * list(&t["tls_decrypted_streams"]).len()),
    category("HTTP/2 headers", 53, |t| list(&t["http2"]).len()),
    category("HTTP/2 data", 53, |t| list(&t["http2"]).len()),
    category("QUIC connections", 9, |t| {
        usize::from(t["counts"]["quic_connections"].as_u64().is_some_and(|count| count > 0))
    }),
    category("QUIC streams", 63, |t| list(&t["quic_streams"]).len()),
    category("HTTP/3 headers", 50, |t| list(&t["http3"]).len()),
    category("HTTP/3 data", 50, |t| list(&t["http3"]).len()),
    category("WebSocket frames", 52, |t| list(&t["websocket"]).len()),
    category("MQTT packets", 32, |t| list(&t["mqtt"]).len()),
    category("SMTP commands", 62, |t| list(&t["smtp_commands"]).len()),
    category("FTP commands", 47, |t| list(&t["ftp_commands"]).len()),
    category("mails", 35, |t| list(&t["export_objects_imf"]).len()),
    category("TFTP files", 1, |t| list(&t["export_objects_tftp"]).len()),
];

fn directions(truth: &Value, which: fn(&Value) -> bool) -> usize {
    let all = list(&truth["tcp_streams"]).iter().flat_map(|stream| list(&stream["reassembly"]));
    all.filter(|d| d["bytes_present"].as_u64().is_some_and(|bytes| bytes > 0) && which(d)).count()
}

fn bodies(truth: &Value, field: &str) -> usize {
    list(&truth["http_requests_from_bytes"]).iter().filter(|r| r["body"][field].is_u64()).count()
}

/// Capture, category, item.
type Key = (String, &'static str, String);

#[derive(Default)]
struct Row {
    held: usize,
    compared: usize,
    equal: usize,
    explained: usize,
    pending: usize,
    wrong: usize,
    beside: usize,
}

#[derive(Default)]
pub(crate) struct Tally {
    rows: BTreeMap<&'static str, Row>,
    different: BTreeMap<Key, String>,
    beside: BTreeMap<Key, String>,
}

impl Tally {
    fn row(&mut self, category: &'static str) -> &mut Row {
        assert!(CATEGORIES.iter().any(|known| known.name == category), "no category {category}");
        self.rows.entry(category).or_default()
    }

    /// Counts what one truth file holds.
    pub(crate) fn hold(&mut self, truth: &Value) {
        for category in CATEGORIES {
            self.row(category.name).held += (category.count)(truth);
        }
    }

    /// One thing that the truth holds was looked for: nothing, or how ours differs.
    pub(crate) fn compared(
        &mut self,
        category: &'static str,
        capture: &str,
        item: impl ToString,
        differs: Option<String>,
    ) {
        let row = self.row(category);
        row.compared += 1;
        let Some(how) = differs else {
            row.equal += 1;
            return;
        };
        let key = (capture.to_owned(), category, item.to_string());
        let before = self.different.insert(key, how);
        assert!(before.is_none(), "{capture}, {category}: two things are called {}", item.to_string());
    }

    /// Whether a thing of this name differs already.
    pub(crate) fn has(&self, category: &'static str, capture: &str, item: &str) -> bool {
        self.different.contains_key(&(capture.to_owned(), category, item.to_owned()))
    }

    /// Compares two texts.
    pub(crate) fn same(
        &mut self,
        category: &'static str,
        capture: &str,
        item: impl ToString,
        ours: impl ToString,
        theirs: impl ToString,
    ) {
        let (ours, theirs) = (ours.to_string(), theirs.to_string());
        let differs = (ours != theirs).then(|| format!("{ours} here, {theirs} in truth"));
        self.compared(category, capture, item, differs);
    }

    /// One thing that is ours alone.
    pub(crate) fn beside(
        &mut self,
        category: &'static str,
        capture: &str,
        item: impl ToString,
        what: String,
    ) {
        self.row(category).beside += 1;
        self.beside.insert((capture.to_owned(), category, format!("beside {}", item.to_string())), what);
    }

    /// Prints the table, and gives what is wrong.
    pub(crate) fn judge(mut self, expected: &Expected) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut used: BTreeMap<usize, usize> = BTreeMap::new();
        let both = std::mem::take(&mut self.different)
            .into_iter()
            .map(|different| (different, true))
            .chain(std::mem::take(&mut self.beside).into_iter().map(|beside| (beside, false)));
        for (((capture, category, item), how), held) in both {
            let row = self.row(category);
            match expected.explains(&capture, category, &item) {
                Some((line, reason)) => {
                    *used.entry(line).or_default() += 1;
                    match (held, reason.starts_with("pending:")) {
                        (true, false) => row.explained += 1,
                        (true, true) => row.pending += 1,
                        (false, _) => {}
                    }
                }
                None => {
                    row.wrong += 1;
                    wrong.push(format!("DIFFERS  {capture}\t{}\t{item}\t{how}", category.trim()));
                }
            }
        }
        wrong.extend(expected.stale(&used));
        self.print();
        for category in CATEGORIES {
            let row = self.row(category.name);
            if row.held < category.all || row.compared < row.held {
                wrong.push(format!(
                    "{}: {} compared of {} that the truth holds; {} are known to be there",
                    category.name, row.compared, row.held, category.all
                ));
            }
        }
        wrong
    }

    /// Past the test harness, which would keep it from being seen.
    fn print(&mut self) {
        let mut out = std::io::stderr().lock();
        let _ = writeln!(
            out,
            "{:<26}{:>7}{:>10}{:>7}{:>11}{:>9}{:>7}{:>8}",
            "category", "truth", "compared", "equal", "explained", "pending", "wrong", "beside"
        );
        for category in CATEGORIES {
            let row = self.row(category.name);
            let _ = writeln!(
                out,
                "{:<26}{:>7}{:>10}{:>7}{:>11}{:>9}{:>7}{:>8}",
                category.name,
                row.held,
                row.compared,
                row.equal,
                row.explained,
                row.pending,
                row.wrong,
                row.beside
            );
        }
    }
}

/// The explained differences: capture, category, item and reason on each line, tabs between.
///
/// An item `*N` stands for exactly N items of that capture and category that differ, `beside *N` for N things that
/// are ours alone; a capture `*` stands for all of them. A reason that begins with `pending:` waits for a decoder: its
/// item may be `*`, for any number but none.
pub(crate) struct Expected {
    lines: Vec<Line>,
}

struct Line {
    capture: String,
    category: String,
    item: String,
    reason: String,
}

impl Line {
    /// How many items it stands for, where it does not name one; `None` in it for any number.
    fn number(&self) -> Option<Option<usize>> {
        let number = self.item.strip_prefix("beside ").unwrap_or(&self.item).strip_prefix('*')?;
        match number {
            "" if self.reason.starts_with("pending:") => Some(None),
            number => Some(Some(number.parse().unwrap_or_else(|_| panic!("{}: not a number", self.item)))),
        }
    }

    fn covers(&self, capture: &str, category: &str, item: &str) -> bool {
        let beside = |item: &str| item.starts_with("beside ");
        (self.capture == "*" || self.capture == capture)
            && self.category == category.trim()
            && (self.item == item || (self.number().is_some() && beside(&self.item) == beside(item)))
    }
}

impl Expected {
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let line = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [capture, category, item, reason] = fields[..] else {
                panic!("capture, category, item, reason, with tabs between: {line}");
            };
            assert!(!reason.is_empty(), "{line}");
            let known = CATEGORIES.iter().any(|known| known.name.trim() == category);
            assert!(known, "there is no category {category}");
            let [capture, category, item, reason] = [capture, category, item, reason].map(str::to_owned);
            Line { capture, category, item, reason }
        };
        Self { lines: lines.map(line).collect() }
    }

    /// The line that explains a difference; one that names the item goes first.
    fn explains(&self, capture: &str, category: &str, item: &str) -> Option<(usize, &str)> {
        let covers = |(_, line): &(usize, &Line)| line.covers(capture, category, item);
        let all = || self.lines.iter().enumerate().filter(covers);
        let (at, line) = all().min_by_key(|(_, line)| (line.number().is_some(), line.capture == "*"))?;
        Some((at, &line.reason))
    }

    /// Lines that explain nothing, or another number of things than they say.
    fn stale(&self, used: &BTreeMap<usize, usize>) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut stale = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let Line { capture, category, item, .. } = line;
            if !seen.insert((capture, category, item)) {
                stale.push(format!("TWICE  {capture}\t{category}\t{item}"));
            }
            let times = used.get(&at).copied().unwrap_or(0);
            match line.number() {
                Some(None) if times > 0 => {}
                Some(Some(wanted)) if times == wanted => {}
                None if times == 1 => {}
                _ => stale.push(format!("EXPLAINS {times}  {capture}\t{category}\t{item}")),
            }
        }
        stale
    }
}
