//! `inspect CAPTURE`: what the engine sees.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use exhibit::{
    case::{Case, Parts, folder::Disk},
    engine,
    evidence::{FrameNo, Limits, Scratch},
    findings::inspection::{End, Head, Part, View},
    report::{self, quantity::counted},
};

use super::{
    DONE, Failure, Terminal, environment,
    extract::{Folder, listed, not_extracted},
    run::{KEYS_OPEN_NOTHING, failed, not_analyzed},
    watch::Watch,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The capture: pcap or pcapng, perhaps in gzip or zstd.
    capture: PathBuf,
    /// An NSS key log (SSLKEYLOGFILE).
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The phone's address (IP or MAC): its traffic is uplink.
    #[arg(long, value_name = "IP|MAC")]
    phone: Option<String>,
    /// Follow one flow: the frame it begins with, as the first column names it.
    #[arg(long, value_name = "FRAME", conflicts_with = "format")]
    flow: Option<u32>,
    /// Write bodies, messages, parts and members into this folder, with a list of them.
    #[arg(long, value_name = "DIR", conflicts_with = "format")]
    extract: Option<PathBuf>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
    /// Show no progress (it is shown on a terminal alone).
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Tables.
    Text,
    /// One JSON document.
    Json,
    /// One JSON object a line, as it is found: the capture, then what each flow shows, then the end.
    Jsonl,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let parts = Parts {
        captures: vec![super::find::logical(&arguments.capture)?],
        keys: arguments.keys.iter().map(super::find::logical).collect::<Result<_, _>>()?,
        phone: arguments.phone.as_deref().map(super::find::phone).transpose()?.unwrap_or_default(),
        ..Parts::default()
    };
    let case =
        Case::from_parts(&Disk::new("."), parts, &environment::scratch()).map_err(|error| failed(&error))?;
    let limits = environment::limits(None, None);
    let scratch = environment::scratch();
    if let Some(folder) = &arguments.extract {
        return extract(&case, &limits, arguments.flow.map(FrameNo), folder, terminal);
    }
    let walk = |view: &mut dyn View, streams: bool| {
        let mut watch = Watch::new(view, streams, arguments.quiet);
        engine::inspect(&case, &limits, &mut watch).map_err(|error| not_analyzed(&error))?;
        Ok::<bool, Failure>(watch.opened_nothing())
    };
    let opened_nothing = match (arguments.format, arguments.flow) {
        (_, Some(frame)) => {
            let mut follow = report::inspection::Follow::new(FrameNo(frame));
            let opened_nothing = walk(&mut follow, false)?;
            let text = follow.text(Terminal::columns()).ok_or_else(|| no_flow(FrameNo(frame)))?;
            write!(terminal.out, "{text}")?;
            opened_nothing
        }
        (Format::Text, None) => {
            let mut sheet = report::inspection::Sheet::default();
            let opened_nothing = walk(&mut sheet, false)?;
            write!(terminal.out, "{}", sheet.text(Terminal::columns()))?;
            opened_nothing
        }
        (Format::Json, None) => {
            let mut document = Document::new(terminal, &scratch);
            walk(&mut document, true)?
        }
        (Format::Jsonl, None) => {
            let mut lines = Lines { out: Json::new(terminal), item: Vec::new() };
            walk(&mut lines, true)?
        }
    };
    if arguments.keys.is_some() && opened_nothing {
        terminal.note(KEYS_OPEN_NOTHING);
    }
    Ok(DONE)
}

/// Writes the contents of one flow or of all.
fn extract(
    case: &Case,
    limits: &Limits,
    only: Option<FrameNo>,
    folder: &Path,
    terminal: &mut Terminal,
) -> Result<u8, Failure> {
    let cannot = |error: io::Error| not_extracted(folder, &error);
    let mut files = Folder::new(folder).map_err(cannot)?;
    let wanted = |_: &str, frame| only.is_none_or(|only| only == frame);
    let flows =
        engine::extract::extract(case, limits, &wanted, &mut files).map_err(|error| not_analyzed(&error))?;
    if let Some(frame) = only.filter(|_| flows == 0) {
        return Err(no_flow(frame));
    }
    let (written, beyond) = files.finish().map_err(cannot)?;
    writeln!(terminal.out, "{}", listed(written, folder))?;
    if beyond > 0 {
        terminal.note(format!("{} more were left out", counted(beyond, "content")));
    }
    Ok(DONE)
}

fn no_flow(frame: FrameNo) -> Failure {
    Failure::new(format!("no flow begins with frame {frame}"))
        .hint("`exhibit inspect CAPTURE` lists the flows by their first frames")
}

/// JSON on its way to stdout: written in pieces that hold whole values, since a terminal gets escapes for
/// characters that would control it.
struct Json<'t> {
    terminal: &'t mut Terminal,
    text: Vec<u8>,
}

impl<'t> Json<'t> {
    /// Written at once.
    const PIECE: usize = 64 << 10;

    fn new(terminal: &'t mut Terminal) -> Self {
        Self { terminal, text: Vec::with_capacity(Self::PIECE) }
    }

    /// Adds parts of one value.
    fn add(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        parts.iter().for_each(|part| self.text.extend_from_slice(part));
        if self.text.len() >= Self::PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.terminal.json(&self.text)?;
        self.text.clear();
        Ok(())
    }
}

/// `--format jsonl`: what each flow shows, as soon as it is known.
struct Lines<'t> {
    out: Json<'t>,
    /// The text of one value.
    item: Vec<u8>,
}

impl Lines<'_> {
    fn line(&mut self, kind: &str, value: &[u8]) -> io::Result<()> {
        self.out.add(&[b"{\"kind\":\"", kind.as_bytes(), b"\",\"value\":", value, b"}\n"])
    }
}

impl View for Lines<'_> {
    fn head(&mut self, head: &Head) -> io::Result<()> {
        self.line("capture", &serde_json::to_vec(head)?)
    }

    fn part(&mut self, part: &Part) -> io::Result<()> {
        let mut text = std::mem::take(&mut self.item);
        let done = part.items(&mut text, &mut |list, item| {
            let (_, kind) = Part::LISTS.get(list).copied().unwrap_or_default();
            self.line(kind, item)
        });
        self.item = text;
        done
    }

    fn end(&mut self, end: &End) -> io::Result<()> {
        self.line("end", &serde_json::to_vec(end)?)?;
        self.out.flush()
    }
}

/// `--format json`: one document. Its first list is written as it comes, the others wait in scratch.
struct Document<'t> {
    out: Json<'t>,
    lists: Vec<Waiting>,
    /// The text of one item.
    item: Vec<u8>,
    scratch: &'t Scratch,
}

/// The items of a list, as they will stand in the document.
#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    file: Option<File>,
    items: u64,
}

impl Waiting {
    /// Held in memory, for each list.
    const HELD: usize = 256 << 10;

    fn spill(&mut self, scratch: &Scratch) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(scratch.file()?),
        };
        file.write_all(&self.text)?;
        self.text.clear();
        Ok(())
    }
}

impl<'t> Document<'t> {
    fn new(terminal: &'t mut Terminal, scratch: &'t Scratch) -> Self {
        let lists = Part::LISTS.iter().map(|_| Waiting::default()).collect();
        Self { out: Json::new(terminal), lists, item: Vec::new(), scratch }
    }
}

impl View for Document<'_> {
    fn head(&mut self, head: &Head) -> io::Result<()> {
        let text = serde_json::to_vec(head)?;
        let (first, _) = Part::LISTS.first().copied().unwrap_or_default();
        // Without its closing brace.
        let open = text.split_last().map_or(&text[..], |(_, open)| open);
        self.out.add(&[open, b",\"", first.as_bytes(), b"\":["])
    }

    fn part(&mut self, part: &Part) -> io::Result<()> {
        let Self { out, lists, item, scratch } = self;
        part.items(item, &mut |place, item| {
            let Some(list) = lists.get_mut(place) else { return Ok(()) };
            let comma: &[u8] = if list.items == 0 { b"" } else { b"," };
            list.items += 1;
            if place == 0 {
                return out.add(&[comma, item]);
            }
            list.text.extend_from_slice(comma);
            list.text.extend_from_slice(item);
            if list.text.len() >= Waiting::HELD { list.spill(scratch) } else { Ok(()) }
        })
    }

    fn end(&mut self, end: &End) -> io::Result<()> {
        self.out.add(&[b"]"])?;
        for ((name, _), list) in Part::LISTS.iter().zip(&mut self.lists).skip(1) {
            self.out.add(&[b",\"", name.as_bytes(), b"\":["])?;
            if let Some(mut file) = list.file.take() {
                file.rewind()?;
                let mut reader = BufReader::with_capacity(Json::PIECE, file);
                loop {
                    let text = reader.fill_buf()?;
                    let len = text.len();
                    if len == 0 {
                        break;
                    }
                    self.out.add(&[text])?;
                    reader.consume(len);
                }
            }
            self.out.add(&[&list.text, b"]"])?;
        }
        let text = serde_json::to_vec(end)?;
        let rest = text.split_first().map_or(&text[..], |(_, rest)| rest);
        self.out.add(&[b",", rest, b"\n"])?;
        self.out.flush()
    }
}
