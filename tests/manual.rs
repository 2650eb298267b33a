//! Completions and the manual, read by the programs they are for.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::{fs, process::Command};

mod support;

use support::{Home, ends, output, peer, run, text};

const COMMANDS: [&str; 15] = [
    "find",
    "new",
    "check",
    "run",
    "verify",
    "show",
    "report",
    "test",
    "inspect",
    "explain",
    "key",
    "canary",
    "lab",
    "completions",
    "man",
];

#[test]
fn shells_take_the_completions() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = ends(0, &mut home.exhibit(&["completions", shell]));
        assert_eq!(said.err, "");
        for command in COMMANDS {
            assert!(said.out.contains(command), "{shell}: {command}");
        }
        assert!(!said.out.contains(env!("CARGO_MANIFEST_DIR")), "{shell}: names a place on this machine");
        let file = home.path(&format!("exhibit.{shell}"));
        fs::write(&file, &said.out).unwrap();
        if peer(shell).is_some() {
            run(Command::new(shell).arg("-n").arg(&file));
        }
    }
    ends(2, &mut home.exhibit(&["completions", "command.com"]));
}

#[test]
fn bash_completes_a_command_and_an_option() {
    if peer("bash").is_none() {
        return;
    }
    let home = Home::new();
    let file = home.path("exhibit.bash");
    fs::write(&file, ends(0, &mut home.exhibit(&["completions", "bash"])).out).unwrap();
    let completed = |words: &str, current: &str, before: &str| {
        let script = format!(
            ". {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _exhibit exhibit '{current}' {before}; \
             echo \"${{COMPREPLY[@]}}\"",
            file.display()
        );
        run(Command::new("bash").args(["--norc", "-c", &script])).trim().to_owned()
    };
    assert_eq!(completed("exhibit ver", "ver", "exhibit"), "verify");
    assert_eq!(completed("exhibit show --pca", "--pca", "show"), "--pcapng");
}

#[test]
fn man_reads_every_page_without_a_warning() {
    let home = Home::new();
    let mut pages = vec![("exhibit".to_owned(), ends(0, &mut home.exhibit(&["man"])).out)];
    for command in COMMANDS {
        pages.push((format!("exhibit-{command}"), ends(0, &mut home.exhibit(&["man", command])).out));
    }
    let (man, mandoc) = (peer("man"), peer("mandoc"));
    for (name, page) in pages {
        assert!(page.contains(&format!(".TH {name} 1")), "{name}\n{page}");
        let file = home.path(&format!("{name}.1"));
        fs::write(&file, &page).unwrap();
        if man.is_some() {
            let read = output(
                Command::new("man")
                    .args(["--warnings", "-l"])
                    .arg(&file)
                    .env("MANPAGER", "cat")
                    .env("MANWIDTH", "80"),
            );
            assert!(read.status.success());
            assert_eq!(text(&read.stderr), "", "{name}");
            assert!(text(&read.stdout).contains("SYNOPSIS"), "{name}\n{}", text(&read.stdout));
        }
        if mandoc.is_some() {
            // A page of a program without a clock has no date.
            let lint = output(Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&file));
            let said = text(&lint.stdout) + &text(&lint.stderr);
            let others: Vec<&str> = said.lines().filter(|line| !line.contains("missing date")).collect();
            assert!(others.is_empty(), "{name}: {others:?}");
        }
    }
    ends(2, &mut home.exhibit(&["man", "nothing"]));
}
