"""HTTPS for the front's tests: certificates made on the spot, a front that has them, and clients of each protocol.

What lives here: making, starting and asking. It must not know what is right; the tests say so.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from front_backends import PATIENCE_S, Backend
from front_support import Answer, Client, Front, binaries, free_ports, is_up, launched, wait_for

from hedgerow.config import Settings
from hedgerow.control import front

ROOT = Path(__file__).resolve().parents[2]
FILES = front.nginx_files()
PROTOCOLS = ("--http1.1", "--http2", "--http3-only")


# --- programs ---------------------------------------------------------------------------------------------------------


@cache
def forky() -> Path:
    """A folder with Debian's next nginx, curl, h2load and nghttp, which speak HTTP/3."""
    done = subprocess.run([str(ROOT / ".ci" / "forky.sh")], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


@cache
def with_http3() -> front.NginxBinary:
    found = front.find_nginx({"HEDGEROW_NGINX": str(forky() / "nginx"), "PATH": os.defpath})
    assert found is not None
    return found


def without_http3() -> front.NginxBinary:
    return binaries()[0]


def openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


# --- certificates -----------------------------------------------------------------------------------------------------


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that also nginx's processes can enter, which are another user's if root starts them."""
    folder = Path(tempfile.mkdtemp(prefix="hedgerow-certificates-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def certificate(file: Path, *names: str, key: Path | None = None, days: int = 30, rsa: bool = False) -> bytes:
    """Signs a certificate by itself, beside its key; what a client would see of it."""
    key = key or file.with_suffix(".key")
    file.parent.mkdir(parents=True, exist_ok=True)
    kind = ["-newkey", "rsa:2048"] if rsa else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    alternatives = ["-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)] if names else []
    openssl(
        "req", "-x509", *kind, "-nodes", "-subj", f"/CN={file.stem}", "-days", str(days), *alternatives,
        "-keyout", str(key), "-out", str(file),
    )  # fmt: skip
    for one in (file, key):
        one.chmod(0o644)
    return seen(file)


def expire(file: Path) -> None:
    """Has the certificate end before today."""
    key = str(file.with_suffix(".key"))
    openssl("x509", "-in", str(file), "-signkey", key, "-days", "-1", "-out", f"{file}.new")
    Path(f"{file}.new").replace(file)


def seen(file: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(file.read_text())


# --- the front --------------------------------------------------------------------------------------------------------


@dataclass
class SecureFront:
    """plain: the front at its port for plain HTTP, which tells the logs, too."""

    plain: Front
    port: int
    settings: Settings

    def connect(
        self, name: str | None = "localhost", alpn: str = "http/1.1", **versions: ssl.TLSVersion
    ) -> ssl.SSLSocket:
        """A connection that asks for this name, and believes any certificate."""
        return tls(self.port, name, any_certificate(alpn, **versions))

    def presented(self, name: str | None) -> bytes:
        """The certificate that a client gets that asks for this name."""
        with self.connect(name) as connection:
            told = connection.getpeercert(binary_form=True)
            assert told is not None
            return told

    def request(self, method: str = "GET", target: str = "/", *lines: str, body: bytes = b"", host: str = "") -> Answer:
        """One request by HTTP/1.1 on a connection of its own."""
        with self.connect() as connection:
            framing = [f"Content-Length: {len(body)}"] if body else []
            host = host or f"localhost:{self.port}"
            head = [f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, *framing, "", ""]
            connection.sendall("\r\n".join(head).encode("latin-1") + body)
            return answer(connection, method)

    def curl(self, protocol: str, target: str = "/", *options: str) -> Answer:
        """By Debian's curl, in one of PROTOCOLS; without one it chooses."""
        command = [
            str(forky() / "curl"),
            *filter(None, [protocol]),
            "--silent",
            "--show-error",
            "--insecure",
            "--include",
            "--path-as-is",
        ]
        done = subprocess.run(
            [*command, "--max-time", "20", *options, f"https://localhost:{self.port}{target}"],
            check=True, capture_output=True,
        )  # fmt: skip
        return _curled(done.stdout)


def any_certificate(alpn: str = "http/1.1", **versions: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    for limit, version in versions.items():
        setattr(context, limit, version)
    return context


def tls(port: int, name: str | None, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(Client(port).socket, server_hostname=name)


def answer(connection: ssl.SSLSocket, method: str = "GET") -> Answer:
    response = HTTPResponse(connection, method=method)
    try:
        response.begin()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        response.close()


def _curled(output: bytes) -> Answer:
    head, _, body = output.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Answer(int(first.split()[1]), headers, body)


@contextmanager
def secured(
    folder: Path, binary: front.NginxBinary, addresses: list[Backend], certificates: Path, **options: object
) -> Iterator[SecureFront]:
    """nginx with HTTPS in front of the backends, as `hedgerow up` starts it. options: of Settings."""
    target = folder / "front"
    port, https_port = free_ports(2)
    settings = Settings(
        first_address=addresses[0].port,
        workers=len(addresses),
        port=port,
        run=folder,
        https_port=https_port,
        certificates=certificates,
        **({"https": "on"} | options),  # type: ignore[arg-type]
    )
    command = front.render(settings, binary, target)
    with launched(command, target, port, folder) as started:
        wait_for(lambda: is_up(started), "nginx to answer on its internal socket")
        yield SecureFront(started, https_port, settings)


def kept(connection: ssl.SSLSocket, port: int) -> HTTPConnection:
    """An HTTP/1.1 client on a connection that is there already, and stays."""
    client = HTTPConnection("localhost", port, timeout=PATIENCE_S)
    client.sock = connection
    return client
