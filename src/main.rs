//! The command line of exhibit. Everything it does goes through the library's public interface.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
