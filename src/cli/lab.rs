//! `lab make`: the files of a simulated phone, made again. `lab spike`: known uploads in somebody's own capture.

use std::{
    fs,
    io::{self, Write as _},
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use exhibit::{
    case::{
        folder::{Disk, Folder as _},
        scenario::{self, plan::Plan, words::Carrier},
    },
    evidence::Digest,
    lab::{self, Made, MergeError, Model, Played},
};

use tempfile::TempDir;

use super::{DONE, Failure, Terminal, place, shown};

/// The behaviour model's name in a scenario's folder.
const MODEL: &str = "lab.yaml";
/// Beside it: the digest of the list of what is made, as `sha256sum` writes it.
const PIN: &str = "made.sha256";
const SCENARIO: &str = "scenario.yaml";

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Play a scenario's lab.yaml; writes its captures, device files, record and truth, the same bytes each time.
    Make {
        /// The scenario's folder.
        folder: PathBuf,
    },
    /// Merge known uploads of another machine into a capture, and write the case that says how many are found.
    ///
    /// Nothing that stands in the capture is changed. `exhibit run DIR` then says how many of the known photos, messages
    /// and other values it and this program would have caught.
    Spike(Spike),
}

#[derive(Args)]
struct Spike {
    /// A capture: pcap or pcapng, of Ethernet, Linux cooked or raw IP; not compressed.
    capture: PathBuf,
    /// The folder of the case; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What they travel in.
    #[arg(long, value_delimiter = ',', default_values = ["http1", "tls13"], value_parser = CARRIERS.map(|(name, _)| name))]
    over: Vec<String>,
    /// How many of each class over each carrier: 59 of 59 give a lower bound of 0.95.
    #[arg(long, default_value_t = lab::SPIKES)]
    count: u32,
    /// What makes these spikes differ from others.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The capture's own key log (NSS format).
    #[arg(long, value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// Keep no session keys of the spikes: what is sent in TLS then can't be found.
    #[arg(long)]
    without_keys: bool,
    /// The address that sends them, if not one that the capture does not use.
    #[arg(long, value_name = "IP")]
    from: Option<Ipv4Addr>,
    /// The phone's address, if not the private address that sent most.
    #[arg(long, value_name = "IP")]
    phone: Option<Ipv4Addr>,
}

/// What the lab can send in.
const CARRIERS: [(&str, Carrier); 5] = [
    ("http1", Carrier::Http1),
    ("http2", Carrier::Http2),
    ("tls12", Carrier::Tls12),
    ("tls13", Carrier::Tls13),
    ("websocket", Carrier::Websocket),
];

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    match &arguments.what {
        What::Make { folder } => make(folder, terminal),
        What::Spike(wanted) => spike(wanted, terminal),
    }
}

fn spike(wanted: &Spike, terminal: &mut Terminal) -> Result<u8, Failure> {
    let read = |path: &Path| {
        let cannot = |error: &io::Error| Failure::cannot(format!("read {}", path.display()), error);
        fs::read(path).map_err(|error| cannot(&error))
    };
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let carrier = |over: &String| CARRIERS.iter().find(|(name, _)| name == over).map(|(_, carrier)| *carrier);
    let mut keys = Vec::new();
    for path in &wanted.keys {
        keys.push(Made { path: name(path).unwrap_or_default(), bytes: read(path)? });
    }
    let spiked = lab::Spiked {
        seed: wanted.seed,
        count: wanted.count,
        over: wanted.over.iter().filter_map(carrier).collect(),
        keyed: !wanted.without_keys,
        from: wanted.from,
        phone: wanted.phone,
        name: name(&wanted.capture).unwrap_or_default(),
        keys,
    };
    let refused = |error: MergeError| {
        Failure::of(&error).hint("it takes a pcap or pcapng of one section, whole and not compressed")
    };
    // What is too long is not even read.
    if fs::metadata(&wanted.capture).is_ok_and(|of| of.len() > lab::MAX_MERGED) {
        return Err(refused(MergeError::TooLong));
    }
    let merged = lab::spike(&read(&wanted.capture)?, &spiked).map_err(refused)?;
    for made in &merged.files {
        let path = wanted.out.join(&made.path);
        if path.exists() {
            return Err(Failure::new(format!("cannot write {}: it is there already", path.display()))
                .hint("it is never overwritten: choose another folder, or move it away"));
        }
    }
    for made in &merged.files {
        write(&wanted.out, made)?;
    }
    writeln!(
        terminal.out,
        "merged {} known uploads of {} into {}; the phone is {}",
        merged.spikes,
        merged.from,
        shown(&wanted.out.join(&spiked.name).display().to_string()),
        merged.phone
    )?;
    terminal.note(format_args!("next: exhibit run --no-bundle {}", wanted.out.display()));
    Ok(DONE)
}

fn make(folder: &Path, terminal: &mut Terminal) -> Result<u8, Failure> {
    let played = play(folder)?;
    for made in played.files() {
        write(folder, made)?;
    }
    write!(terminal.out, "{}", shown(&list(&played)))?;
    pinned(folder, &played)?;
    Ok(DONE)
}

/// The folder of a simulated case whose files are not there, with all of them made; none if it is no such case.
pub(crate) fn at_first_use(folder: &Path) -> Result<Option<TempDir>, Failure> {
    if !folder.join(MODEL).is_file()
        || model(folder)?.first_capture().is_some_and(|path| folder.join(path).exists())
    {
        return Ok(None);
    }
    let played = play(folder)?;
    pinned(folder, &played)?;
    let made = tempfile::tempdir()
        .map_err(|error| Failure::cannot("make a folder for simulated captures", &error))?;
    let disk = Disk::new(folder);
    let cannot = |error: &io::Error| Failure::cannot(format!("copy {}", folder.display()), error);
    for path in disk.list(".").map_err(|error| cannot(&error))? {
        let bytes = fs::read(folder.join(&path)).map_err(|error| cannot(&error))?;
        write(made.path(), &Made { path, bytes })?;
    }
    for file in played.files() {
        write(made.path(), file)?;
    }
    Ok(Some(made))
}

/// What was made, as `sha256sum -c` reads it.
fn list(played: &Played) -> String {
    let line = |made: &Made| format!("{}  {}\n", Digest::of(&made.bytes), made.path);
    played.files().map(line).collect()
}

/// Holds what was made against the digest of its list that the folder pins, if it does.
fn pinned(folder: &Path, played: &Played) -> Result<(), Failure> {
    let pin = fs::read_to_string(folder.join(PIN)).unwrap_or_default();
    let made = Digest::of(list(played).as_bytes()).to_string();
    match pin.split_whitespace().next() {
        Some(pinned) if pinned != made => Err(Failure::new(format!(
            "what was made in {} is not what {PIN} pins: the list has SHA-256 {made}",
            folder.display()
        ))
        .hint(format!("`exhibit lab make DIR | sha256sum > DIR/{PIN}` pins what is made now"))),
        _ => Ok(()),
    }
}

fn model(folder: &Path) -> Result<Model, Failure> {
    let path = folder.join(MODEL);
    let yaml = fs::read_to_string(&path).map_err(|error| {
        Failure::cannot(format!("read {}", path.display()), &error)
            .hint("`lab make` takes a folder with a lab.yaml in it, such as scenarios/hello")
    })?;
    Model::parse(&yaml).map_err(|error| Failure::of(&error))
}

fn play(folder: &Path) -> Result<Played, Failure> {
    let model = model(folder)?;
    let model = match model.order {
        Some(_) => model.with_plan(&plan(folder)?),
        None => model,
    };
    lab::play(&model, model.seed)
        .map_err(|error| Failure::of(&error).hint("a longer `tail`, or less `loss`, lets the phone finish"))
}

/// The plan beside the model.
fn plan(folder: &Path) -> Result<Plan, Failure> {
    let path = folder.join(SCENARIO);
    let text = fs::read(&path).map_err(|error| {
        Failure::cannot(format!("read {}", path.display()), &error)
            .hint("`order: plan` in lab.yaml takes the order of actions from the scenario beside it")
    })?;
    Ok(scenario::parse(SCENARIO, &text).map_err(|error| Failure::of(&error))?.plan)
}

fn write(folder: &Path, made: &Made) -> Result<(), Failure> {
    let path = folder.join(&made.path);
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)
            .map_err(|error| Failure::cannot(format!("make {}", above.display()), &error))?;
    }
    place::write(&path, &made.bytes)
}
