"""An upstream with nothing of ours, in a process of its own: `python remote_upstream.py LEDGER [unix:PATH]`.

It prints where it listens. Each id that a request with X-Id brings is a line of LEDGER, so that who counts sees what
was executed, also by one that was killed. How it answers is told by `POST /be/MANNER`: well; hanging; failing, which is
500 for one request of five.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import random
import socket
import socketserver
import ssl
import sys
import time
from collections.abc import Callable

BLOCK = b"0123456789abcdef" * 4096
HOW = {"manner": "well"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = False
    wbufsize = -1  # head and body in one send

    def answer(self) -> None:
        self.name = self.path.partition("?")[0].strip("/").split("/")
        query = self.path.partition("?")[2]
        self.number = int(query) if query.isdecimal() else 0
        if self.name[0] == "be":
            HOW["manner"] = self.name[1]
            self.whole(b"")
            return
        if "X-Id" in self.headers:
            with open(sys.argv[1], "ab", buffering=0) as ledger:
                ledger.write(self.headers["X-Id"].encode() + b"\n")
        if HOW["manner"] == "hanging":
            time.sleep(60)
        kind: Callable[[], None] = getattr(self, "do_" + self.name[0], self.do_tell)
        if HOW["manner"] == "failing" and random.random() < 0.2:
            kind = self.do_fail
        kind()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer

    def blocks(self):  # type: ignore[no-untyped-def]
        """Of the request's body, as they come."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        left = int(self.headers.get("Content-Length", 0))
        while left:
            block = self.rfile.read(min(left, len(BLOCK)))
            if not block:
                raise ConnectionError("the body ended early")
            left -= len(block)
            yield block

    def head(self, status: int, **fields: str) -> None:
        self.send_response(status)
        fields = ({} if status in (101, 204, 304) else {"Content_Type": "text/plain"}) | fields
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self, body: bytes, status: int = 200) -> None:
        self.head(status, Content_Length=str(len(body)))
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunk(self, block: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
        self.wfile.flush()

    def do_tell(self) -> None:
        """What has come."""
        body = b"".join(self.blocks())
        told = {
            "line": self.requestline, "headers": dict(self.headers), "body": body.decode("latin-1"), "pid": os.getpid(),
            "port": self.client_address[1] if len(self.client_address) > 1 else 0,
        }  # fmt: skip
        self.whole(json.dumps(told).encode())

    def do_fail(self) -> None:
        for _ in self.blocks():
            pass
        self.whole(b"it failed", 500)

    def do_status(self) -> None:
        for _ in self.blocks():
            pass
        self.whole(b"of the upstream", self.number)

    def do_upload(self) -> None:
        size, digest = 0, hashlib.sha256()
        for block in self.blocks():
            size += len(block)
            digest.update(block)
        self.whole(f"{size} {digest.hexdigest()}".encode())

    def do_download(self) -> None:
        """So many blocks of 64 KiB, by length; `/chunks`: in chunks; `/plain`: until the end."""
        self.head(200, **{"length": {"Content_Length": str(self.number * len(BLOCK))},
                          "chunks": {"Transfer_Encoding": "chunked", "Trailer": "X-Sum"},
                          "plain": {"Connection": "close"}}[self.name[1]])  # fmt: skip
        for _ in range(self.number):
            self.chunk(BLOCK) if self.name[1] == "chunks" else self.wfile.write(BLOCK)
        if self.name[1] == "chunks":
            self.wfile.write(b"0\r\nX-Sum: 1\r\n\r\n")

    def do_slowly(self) -> None:
        """So many small chunks, with a pause in front of each."""
        self.head(200, Transfer_Encoding="chunked")
        for number in range(self.number):
            self.wfile.flush()
            time.sleep(0.1)
            self.chunk(b"%d;" % number)
        self.wfile.write(b"0\r\n\r\n")

    def do_echo(self) -> None:
        """Each block of the request goes back at once."""
        self.head(200, Transfer_Encoding="chunked")
        for block in self.blocks():
            self.chunk(block)
        self.wfile.write(b"0\r\n\r\n")

    def do_early(self) -> None:
        """It answers and reads nothing."""
        self.whole(b"too large", 413)
        self.wfile.flush()
        time.sleep(0.2)
        self.close_connection = True

    def do_cut(self) -> None:
        """It breaks off in its answer."""
        self.head(200, Content_Length="100000")
        self.wfile.write(BLOCK)
        self.close_connection = True

    def do_leave(self) -> None:
        """It breaks off before its answer."""
        for _ in self.blocks():
            pass
        self.close_connection = True

    def do_pause(self) -> None:
        self.head(200, Content_Length="4")
        self.wfile.write(b"ab")
        self.wfile.flush()
        time.sleep(60)

    def do_last(self) -> None:
        """It keeps the connection, as it seems, and closes it when the next request comes."""
        self.whole(b"")
        self.wfile.flush()
        self.connection.recv(1, socket.MSG_PEEK)
        self.close_connection = True

    def do_quit(self) -> None:
        """It keeps the connection, as it seems, and closes it at once."""
        self.whole(b"")
        self.close_connection = True

    def do_hints(self) -> None:
        self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        self.whole(b"behind hints")

    def do_noise(self) -> None:
        self.wfile.write(b"this is no HTTP\r\n\r\n")
        self.close_connection = True

    def do_bare(self) -> None:
        """A status without a body."""
        self.head(self.number, **({} if self.number == 204 else {"ETag": '"a"', "Content_Length": "7"}))

    def do_switch(self) -> None:
        """Another protocol: what comes goes back in capitals."""
        self.head(101, Upgrade=self.headers.get("Upgrade", "unasked"), Connection="Upgrade")
        self.wfile.write(b"hello;")
        self.wfile.flush()
        while data := self.rfile.read1(1000):  # type: ignore[attr-defined]
            self.wfile.write(data.upper())
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass  # clients break off


class UnixServer(Server):
    address_family = socket.AF_UNIX


if __name__ == "__main__":
    if len(sys.argv) > 2:
        server: Server = UnixServer(sys.argv[2].removeprefix("unix:"), Handler)  # type: ignore[arg-type]
        print(sys.argv[2], flush=True)
    else:
        server = Server(("127.0.0.1", int(os.environ.get("PORT", "0"))), Handler)
        if certificate := os.environ.get("CERTIFICATE"):
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        print(f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever(0.05)
