//! What matching alone costs: the device folder against leaves that stand in memory.
//!
//! `cargo bench --bench matching -- --phone DIR [--changed PERCENT] [--threads N]`
//!
//! Reads a folder that `generate` made, hands each of its files as a leaf to a collector in pieces of one
//! TCP segment (of `--changed` percent one byte in the middle is another), and a small JSON text after each.
//! Prints the wall-clock seconds of each stage; run it under `/usr/bin/time -v` for CPU and memory.
#![allow(clippy::disallowed_methods, reason = "a benchmark asks the clock")]

use std::{collections::BTreeMap, error::Error, fs, time::Instant};

use exhibit::{
    case::{device::Device, folder::Disk},
    engine::{
        correlate::{Catalog, Collector, FlowRef, Harvest, Spool, conclude},
        decode::sink::{Keep, Origin, Source},
    },
    evidence::{ByteRange, Direction, Limits, Scratch},
};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut phone, mut changed, mut limits) = (String::new(), 0_usize, Limits::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or("an argument needs a value");
        match argument.as_str() {
            "--phone" => phone = value()?,
            "--changed" => changed = value()?.parse()?,
            "--threads" => limits.threads = value()?.parse()?,
            _ => {}
        }
    }
    if phone.is_empty() {
        println!("skipped: --phone DIR is needed");
        return Ok(());
    }
    let device = Device::open(&Disk::new(&phone), ".")?;
    let identifiers = [("imei", "867622014512347"), ("wifi_mac", "64:09:80:ab:cd:01")];
    let identifiers = identifiers.map(|(kind, value)| (kind.to_owned(), value.to_owned())).into();
    let started = Instant::now();
    let devices = BTreeMap::from([("phone".to_owned(), device)]);
    let catalog = Catalog::build(&devices, &identifiers, &[], &limits)?;
    println!("catalogue  {:.2} s, {} bytes", started.elapsed().as_secs_f64(), catalog.bytes());

    let scratch = tempfile::tempdir()?;
    let spool = Spool::new(Scratch::new(scratch.path()));
    let (started, mut reading) = (Instant::now(), 0.0);
    let mut harvests = Vec::new();
    for (no, (_, content)) in (0..).zip(catalog.iter()) {
        let since = Instant::now();
        let mut leaf = fs::read(format!("{phone}/{}", content.names.first().ok_or("no name")?.path))?;
        let middle = leaf.len() / 2;
        if no as usize % 100 < changed
            && let Some(byte) = leaf.get_mut(middle)
        {
            *byte ^= 0xff;
        }
        reading += since.elapsed().as_secs_f64();
        harvests.push(send(&catalog, &spool, no, &leaf, &limits)?);
    }
    println!("collector  {:.2} s", started.elapsed().as_secs_f64() - reading);

    let started = Instant::now();
    let outcome = conclude(&catalog, spool, harvests, &limits)?;
    println!("conclusion {:.2} s, {} hits", started.elapsed().as_secs_f64(), outcome.hits.len());
    for limit in outcome.limits_reached {
        println!("limit      {limit}");
    }
    Ok(())
}

fn send(
    catalog: &Catalog,
    spool: &Spool,
    flow: u32,
    leaf: &[u8],
    limits: &Limits,
) -> Result<Harvest, Box<dyn Error>> {
    let mut collector = Collector::new(catalog, spool, FlowRef { capture: 0, flow }, limits);
    let talk =
        format!("{{\"event\":\"screen_on\",\"count\":{flow},\"app\":\"com.example.gallery\"}}").repeat(3);
    for bytes in [leaf, talk.as_bytes()] {
        let origin =
            Origin { direction: Direction::Up, transaction: None, steps: Vec::new(), keep: Keep::Search };
        let id = collector.open(origin);
        let mut at = 0;
        for chunk in bytes.chunks(1_460) {
            let end = at + chunk.len() as u64;
            collector.write(id, chunk, Source::Copied(ByteRange::new(at, end)));
            at = end;
        }
        collector.close(id, &[]);
    }
    Ok(collector.finish()?)
}
