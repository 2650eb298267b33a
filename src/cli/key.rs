//! `key`: your signing key's public half.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use exhibit::bundle::key::{self, Made};

use super::{DONE, Failure, Terminal, environment, place, run::no_key};

#[derive(Args)]
pub(crate) struct Arguments {
    /// How to spell it.
    #[arg(long, value_enum, default_value_t = Spelling::Fingerprint, value_name = "SPELLING")]
    format: Spelling,
}

#[derive(Clone, Copy, ValueEnum)]
enum Spelling {
    /// SHA-256 of the SPKI DER, for `verify --signer`.
    Fingerprint,
    /// SPKI PEM, for openssl.
    Pem,
    /// An OpenSSH public key line.
    Openssh,
}

pub(crate) fn run(arguments: &Arguments, terminal: &mut Terminal) -> Result<u8, Failure> {
    let path = environment::configuration_folder()?.join("seal.pem");
    let (key, made) = place::undisturbed(|| key::load_or_make(&path)).map_err(|error| no_key(&error))?;
    if made == Made::New {
        terminal.note(format_args!("made your signing key: {}", path.display()));
    }
    let public = key.public();
    match arguments.format {
        Spelling::Fingerprint => writeln!(terminal.out, "{}", public.fingerprint())?,
        Spelling::Pem => write!(terminal.out, "{}", public.pem())?,
        Spelling::Openssh => writeln!(terminal.out, "{}", public.openssh().trim_end())?,
    }
    Ok(DONE)
}
