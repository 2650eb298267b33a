//! `find CAPTURE FILES…`: the answer for tonight.

use std::{
    io::Write as _,
    net::IpAddr,
    path::{Component, PathBuf},
};

use clap::{Args, ValueEnum};
use exhibit::{
    case::{Case, Parts, folder::Disk, scenario::plan::Phone},
    engine,
    report::{self, terminal},
};

use super::{DONE, Failure, Terminal, environment, run::failed};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The capture: pcap or pcapng, perhaps in gzip or zstd.
    capture: PathBuf,
    /// Files and folders that were on the phone.
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,
    /// An NSS key log (SSLKEYLOGFILE).
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The phone's address (IP or MAC), where the guess is wrong.
    #[arg(long, value_name = "IP|MAC")]
    phone: Option<String>,
    /// Every copied run of at least this many bytes is found.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(64..))]
    min_run: Option<u32>,
    /// Threads; never shows in what is found.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// One line a file.
    Text,
    /// Findings as JSON.
    Json,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let parts = Parts {
        captures: vec![logical(&arguments.capture)?],
        keys: arguments.keys.iter().map(logical).collect::<Result<_, _>>()?,
        files: arguments.files.iter().map(logical).collect::<Result<_, _>>()?,
        phone: arguments.phone.as_deref().map(phone).transpose()?.unwrap_or_default(),
    };
    let scratch = environment::scratch();
    let case = Case::from_parts(&Disk::new("."), parts, &scratch).map_err(|error| failed(&error))?;
    let limits = environment::limits(arguments.min_run, arguments.threads);
    let analysis =
        engine::analyze(&case, &scratch, &limits).map_err(|error| super::run::not_analyzed(&error))?;
    super::run::note_keys(&case, &analysis, terminal);
    super::run::note_phone(&case, &analysis.findings, terminal);
    match arguments.format {
        Format::Text => write!(terminal.out, "{}", terminal::found(&analysis.findings))?,
        Format::Json => {
            terminal.json(&report::json(&analysis.findings).map_err(|error| Failure::of(&error))?)?
        }
    }
    Ok(DONE)
}

/// Logical paths are what was typed, with `/` between folders and without `.`: each file has one.
#[expect(clippy::ptr_arg, reason = "called as a function over lists of paths")]
pub(crate) fn logical(path: &PathBuf) -> Result<String, Failure> {
    let straight: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    match straight.to_str() {
        Some("") => Ok(".".to_owned()),
        Some(path) => Ok(path.replace(std::path::MAIN_SEPARATOR, "/")),
        None => {
            Err(Failure::new(format!("cannot use {}: its name is not UTF-8", path.display()))
                .hint("rename it"))
        }
    }
}

/// Reads `--phone`.
pub(crate) fn phone(text: &str) -> Result<Phone, Failure> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Phone { addresses: vec![address], ..Phone::default() });
    }
    let mac = text.to_ascii_lowercase().replace('-', ":");
    let pairs: Vec<&str> = mac.split(':').collect();
    if pairs.len() == 6
        && pairs.iter().all(|pair| pair.len() == 2 && pair.chars().all(|c| c.is_ascii_hexdigit()))
    {
        return Ok(Phone { mac: Some(mac), ..Phone::default() });
    }
    Err(Failure::new(format!("cannot use --phone {text}: it is neither an IP address nor a MAC"))
        .hint("like 192.168.43.17 or 64:09:80:00:00:01"))
}
