//! Real servers on loopback.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::zombie_processes,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "each test uses its own part; a test may panic"
)]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::{run, write};

/// A process that ends with its owner.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// nginx with these servers, in a folder that its files go to; it answers when it listens on `port`.
pub fn start_nginx(nginx: &Path, folder: &Path, servers: &str, port: u16) -> Running {
    let at = folder.display();
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {at}/{name};"))
        .join(" ");
    write(
        &folder.join("nginx.conf"),
        format!(
            "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/error.log;\n\
             events {{ }}\n\
             http {{ access_log off; client_max_body_size 64m; {temp}\n{servers} }}\n"
        ),
    );
    fs::create_dir_all(folder.join("www")).unwrap();
    let child = Command::new(nginx)
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child);
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return running;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("nginx does not listen: {}", fs::read_to_string(folder.join("error.log")).unwrap_or_default());
}

/// A certificate for 127.0.0.1 that nobody signed but itself, and its key.
pub fn certificate(openssl: &Path, folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    run(Command::new(openssl)
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-out"])
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .stderr(Stdio::null()));
    (certificate, key)
}
