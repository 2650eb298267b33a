"""Uploads files over HTTP/3 to a server of its own on loopback: upload.py PORT KEYLOG RAW FORM [moves]

Both ends are aioquic's. The server asks for a Retry, and between the requests the client updates its keys and takes
another connection id. RAW is the body of one request, FORM a part of a multipart form in another that is open at the
same time. Prints the SHA-256 of each body as the server took it: a line for /raw and one for /form.

With `moves` the client changes its place twice while it uploads: a third of the way to another port under the same
connection id, as behind a NAT that forgot it (RFC 9000 section 9.3), and two thirds of the way to another address under
a new one (section 9.5).
"""

import asyncio
import datetime
import hashlib
import os
import socket
import sys
import tempfile

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BOUNDARY = b"a-boundary-of-the-test"


def certificate(folder):
    """A certificate that signs itself, and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "upload.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("upload.example")]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    paths = [os.path.join(folder, name) for name in ("certificate.pem", "key.pem")]
    with open(paths[0], "wb") as file:
        file.write(signed.public_bytes(pem))
    with open(paths[1], "wb") as file:
        plain = serialization.NoEncryption()
        file.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return paths


class Server(QuicConnectionProtocol):
    """Answers each request with the digest of its body."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.http = H3Connection(self._quic)
        self.bodies = {}

    def quic_event_received(self, event):
        for found in self.http.handle_event(event):
            if isinstance(found, HeadersReceived):
                self.bodies.setdefault(found.stream_id, hashlib.sha256())
            if isinstance(found, DataReceived):
                self.bodies[found.stream_id].update(found.data)
            if found.stream_ended:
                answer = self.bodies[found.stream_id].hexdigest().encode()
                fields = [(b":status", b"200"), (b"content-length", str(len(answer)).encode())]
                self.http.send_headers(found.stream_id, fields)
                self.http.send_data(found.stream_id, answer, end_stream=True)
        self.transmit()


class Client(QuicConnectionProtocol):
    """Sends requests whose bodies are interleaved."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.http = H3Connection(self._quic)
        self.answers = {}
        self.waiting = {}
        self.left = []

    def quic_event_received(self, event):
        for found in self.http.handle_event(event):
            if isinstance(found, DataReceived):
                self.answers[found.stream_id] = self.answers.get(found.stream_id, b"") + found.data
            if isinstance(found, (DataReceived, HeadersReceived)) and found.stream_ended:
                self.waiting[found.stream_id].set_result(self.answers[found.stream_id])

    async def move(self, address):
        """Sends from another address, or from another port of the same, from now on."""
        endpoint = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        endpoint.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        endpoint.bind(("::ffff:" + address, 0))
        left = self._transport
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=endpoint)
        self.left.append(left)

    async def upload(self, requests, moves=()):
        """Sends the requests' bodies in turn; `moves` are what is done after so many turns."""
        streams = []
        for path, media, body in requests:
            stream = self._quic.get_next_available_stream_id()
            self.waiting[stream] = asyncio.get_running_loop().create_future()
            fields = [
                (b":method", b"POST"),
                (b":scheme", b"https"),
                (b":authority", b"upload.example"),
                (b":path", path),
                (b"content-type", media),
                (b"content-length", str(len(body)).encode()),
                (b"x-device", b"a value that comes again"),
            ]
            self.http.send_headers(stream, fields)
            streams.append((stream, body))
        size, moves = 16_000, dict(moves)
        for turn, at in enumerate(range(0, max(len(body) for _, body in streams), size)):
            if turn in moves:
                # What the server has is acknowledged before: the rest goes from the new place.
                await asyncio.wait_for(self.ping(), 10)
                await moves[turn]()
            for stream, body in streams:
                if at < len(body):
                    self.http.send_data(stream, body[at : at + size], at + size >= len(body))
            self.transmit()
            await asyncio.sleep(0)
        return [await self.waiting[stream] for stream, _ in streams]


async def main(port, keylog, raw, form, moves=None):
    def read(path):
        with open(path, "rb") as file:
            return file.read()

    head = b"--%s\r\nContent-Disposition: form-data; name=photo; filename=p.jpg\r\n\r\n" % BOUNDARY
    part = head + read(form) + b"\r\n--%s--\r\n" % BOUNDARY
    server = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=False)
    with tempfile.TemporaryDirectory() as folder:
        server.load_cert_chain(*certificate(folder))
    running = await serve("127.0.0.1", port, configuration=server, create_protocol=Server, retry=True)
    with open(keylog, "w", encoding="ascii") as secrets:
        client = QuicConfiguration(
            alpn_protocols=H3_ALPN,
            is_client=True,
            server_name="upload.example",
            secrets_log_file=secrets,
            verify_mode=0,
        )
        async with connect("127.0.0.1", port, configuration=client, create_protocol=Client) as ours:
            # A field section of the next request refers to entries that the first one put in.
            await ours.upload([(b"/hello", b"text/plain", b"hello")])
            ours.request_key_update()
            ours.change_connection_id()
            media = b"multipart/form-data; boundary=" + BOUNDARY
            requests = [(b"/raw", b"image/jpeg", read(raw)), (b"/form", media, part)]

            async def elsewhere():
                ours.change_connection_id()
                await ours.move("127.0.0.2")

            turns = {7: lambda: ours.move("127.0.0.1"), 13: elsewhere} if moves else {}
            for answer in await ours.upload(requests, turns):
                print(answer.decode())
        for transport in ours.left:
            transport.close()
    running.close()


asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
