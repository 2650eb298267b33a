"""Sends and fetches mails with photos on loopback: mail.py FOLDER CERTIFICATE KEY SMTP IMAP POP3

Clients are smtplib, imaplib and poplib; the SMTP server is aiosmtpd, the other two are small ones of this file. Each
photo of FOLDER goes as an attachment: `smtp.jpg` in clear, `smtp-tls.jpg` after STARTTLS, `imap.jpg` and `imap-tls.jpg`
with APPEND, `pop3.jpg` and `pop3-tls.jpg` with RETR. The clients' secrets go to FOLDER/keys.log. Prints for each photo
its name and the SHA-256 of the mail as the receiving end has it; the mails go to FOLDER/mails. Servers are at 127.0.0.1, clients at 127.0.0.2.
"""

import hashlib
import imaplib
import poplib
import re
import smtplib
import socket
import socketserver
import ssl
import sys
import threading
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.controller import Controller

folder, certificate, key = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
smtp_port, imap_port, pop3_port = map(int, sys.argv[4:7])

served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
served.load_cert_chain(certificate, key)


def client_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.keylog_filename = str(folder / "keys.log")
    return context


def mail(name):
    message = EmailMessage()
    message["From"] = "one@example.org"
    message["To"] = "two@example.org"
    message["Subject"] = name
    # A line that begins with a dot is stuffed on its way.
    message.set_content("a photo\n.\n..and two dots\n")
    photo = (folder / "DCIM" / name).read_bytes()
    message.add_attachment(photo, maintype="image", subtype="jpeg", filename=name)
    return message


mail_bytes = {
    name: mail(name).as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    for name in ["imap.jpg", "imap-tls.jpg", "pop3.jpg", "pop3-tls.jpg"]
}


def tell(name, content):
    (folder / "mails" / f"{name}.eml").write_bytes(content)
    print(name, hashlib.sha256(content).hexdigest(), flush=True)


def connected(port):
    return socket.create_connection(("127.0.0.1", port), 60, ("127.0.0.2", 0))


class ImapClient(imaplib.IMAP4):
    def _create_socket(self, timeout):
        return connected(self.port)


class Pop3Client(poplib.POP3):
    def _create_socket(self, timeout):
        return connected(self.port)


class Taken:
    async def handle_DATA(self, server, session, envelope):
        name = re.search(rb"^Subject: (.*?)\r?$", envelope.original_content, re.M).group(1).decode()
        tell(name, envelope.original_content)
        return "250 taken"


class Lines(socketserver.BaseRequestHandler):
    def setup(self):
        self.held = b""

    def more(self):
        data = self.request.recv(65536)
        if not data:
            raise EOFError
        self.held += data

    def line(self):
        while b"\r\n" not in self.held:
            self.more()
        line, self.held = self.held.split(b"\r\n", 1)
        return line.decode()

    def take(self, size):
        while len(self.held) < size:
            self.more()
        taken, self.held = self.held[:size], self.held[size:]
        return taken

    def say(self, text):
        self.request.sendall(text if isinstance(text, bytes) else text.encode() + b"\r\n")

    def secure(self):
        assert not self.held, "bytes before TLS"
        self.request = served.wrap_socket(self.request, server_side=True)

    def handle(self):
        try:
            self.session()
        except (EOFError, ConnectionError):
            pass


class Imap(Lines):
    def session(self):
        self.say("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready")
        while True:
            tag, verb, *rest = self.line().split(" ")
            verb = verb.upper()
            if verb == "CAPABILITY":
                self.say("* CAPABILITY IMAP4rev1 STARTTLS")
            elif verb == "APPEND":
                self.say("+ go on")
                content = self.take(int(rest[-1].strip("{}")))
                assert self.line() == ""
                tell(re.search(rb"^Subject: (.*?)\r$", content, re.M).group(1).decode(), content)
            elif verb == "LOGOUT":
                self.say("* BYE")
            self.say(f"{tag} OK done")
            if verb == "STARTTLS":
                self.secure()
            elif verb == "LOGOUT":
                return


class Pop3(Lines):
    name = "pop3.jpg"

    def session(self):
        self.say("+OK POP3 ready")
        while True:
            verb = self.line().split(" ")[0].upper()
            if verb == "CAPA":
                self.say("+OK\r\nSTLS\r\nUSER\r\n.")
            elif verb == "RETR":
                stuffed = re.sub(rb"^\.", b"..", mail_bytes[self.name], flags=re.M)
                self.say(b"+OK here\r\n" + stuffed + b".\r\n")
            else:
                self.say("+OK")
            if verb == "STLS":
                self.secure()
                self.name = "pop3-tls.jpg"
            elif verb == "QUIT":
                return


def serve(handler, port):
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    server = socketserver.ThreadingTCPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()


controller = Controller(Taken(), hostname="127.0.0.1", port=smtp_port, tls_context=served)
controller.start()
serve(Imap, imap_port)
serve(Pop3, pop3_port)

for name in ["smtp.jpg", "smtp-tls.jpg"]:
    with smtplib.SMTP("127.0.0.1", smtp_port, source_address=("127.0.0.2", 0)) as client:
        if "tls" in name:
            client.starttls(context=client_context())
        client.send_message(mail(name))

for name in ["imap.jpg", "imap-tls.jpg"]:
    client = ImapClient("127.0.0.1", imap_port)
    if "tls" in name:
        client.starttls(client_context())
    client.login("one", "secret")
    client.append("Sent", None, None, mail_bytes[name])
    client.logout()

for name in ["pop3.jpg", "pop3-tls.jpg"]:
    client = Pop3Client("127.0.0.1", pop3_port)
    if "tls" in name:
        client.stls(client_context())
    client.user("one")
    client.pass_("secret")
    lines = client.retr(1)[1]
    tell(name, b"".join(line + b"\r\n" for line in lines))
    client.quit()

controller.stop()
