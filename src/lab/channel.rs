//! What stands between the bytes of an application and a TCP socket: nothing, or TLS.

use smoltcp::socket::tcp;

use super::tls::Tls;

/// One end of a connection, as an application has it.
pub(super) struct Channel {
    tls: Option<Box<Tls>>,
    waiting: Vec<u8>,
}

impl Channel {
    /// Over `tls`, or in clear.
    pub(super) fn new(tls: Option<Tls>) -> Self {
        Self { tls: tls.map(Box::new), waiting: Vec::new() }
    }

    /// Whether what is sent now leaves at once.
    pub(super) fn is_ready(&self, socket: &tcp::Socket<'_>) -> bool {
        socket.can_send() && self.tls.as_ref().is_none_or(|tls| tls.is_ready())
    }

    /// Takes bytes to be sent.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            Some(tls) => tls.send(bytes),
            None => self.waiting.extend_from_slice(bytes),
        }
    }

    /// Whether all that was sent has been given to the socket.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Says that nothing more will be sent, where that can be said.
    pub(super) fn close(&mut self, socket: &mut tcp::Socket<'_>) {
        if let Some(tls) = &mut self.tls {
            tls.close();
        }
        self.write(socket);
    }

    /// Reads what arrived, which is put behind `received`; sends what waits. Says whether anything was done.
    pub(super) fn turn(&mut self, socket: &mut tcp::Socket<'_>, received: &mut Vec<u8>) -> bool {
        let mut busy = false;
        while socket.can_recv() {
            let read = socket.recv(|bytes| {
                match &mut self.tls {
                    Some(tls) => tls.receive(bytes, received),
                    None => received.extend_from_slice(bytes),
                }
                (bytes.len(), ())
            });
            if read.is_err() {
                break;
            }
            busy = true;
        }
        self.write(socket) || busy
    }

    fn write(&mut self, socket: &mut tcp::Socket<'_>) -> bool {
        if let Some(tls) = &mut self.tls {
            self.waiting.extend(tls.records());
        }
        if self.waiting.is_empty() || !socket.can_send() {
            return false;
        }
        let sent = socket.send_slice(&self.waiting).unwrap_or(0);
        self.waiting.drain(..sent);
        sent > 0
    }
}
