"""Apps that bring a server of their own (`run` in app.toml), in a real stack: mounted, swapped, started again."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from control_support import Load, Stack, get, stack, until

# An HTTP/1.1 server on the descriptor that it is given, with nothing of ours; it also speaks an upgraded protocol.
SERVER = """
import base64, hashlib, http.server, json, os, socket, socketserver, sys
VERSION = "one"
assert os.environ["LISTEN_PID"] == str(os.getpid()) and os.environ["LISTEN_FDS"] == "1"

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            while data := self.rfile.read1(100):
                self.wfile.write(data.upper())
                self.wfile.flush()
            self.close_connection = True
            return
        if self.path == "/end":
            os._exit(3)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = {"path": self.path, "headers": dict(self.headers), "body": body.decode(), "pid": os.getpid(),
                "version": VERSION, "mount": os.environ["HEDGEROW_MOUNT"], "variable": os.environ.get("OUR_VARIABLE")}
        text = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Accel-Redirect", "@refused")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    do_GET = do_POST = answer
    def address_string(self):
        return "unix"

class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    def get_request(self):
        request, _ = self.socket.accept()
        return request, ("unix", 0)

server = Server(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
print("it listens", flush=True)
server.serve_forever()
"""


@pytest.fixture
def here() -> Iterator[Stack]:
    with stack(workers=2) as made:
        yield made


def add(here: Stack, run: str = "python3 server.py {fd}", text: str = SERVER, name: str = "live") -> None:
    folder = here.apps / name
    folder.mkdir(exist_ok=True)
    (folder / "server.py").write_text(text)
    (folder / "app.toml").write_text(f"run = {json.dumps(run)}\nenv = {{OUR_VARIABLE = 'ours'}}\n")


def asked(here: Stack, path: str = "/live/") -> dict[str, Any]:
    status, body = get(here.port, path)
    assert status == 200, (status, body)
    found: dict[str, Any] = json.loads(body)
    return found


def told(here: Stack, name: str = "live") -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in here.status()["apps"] if one["name"] == name)
    return found


def test_a_server_of_the_apps_own_is_mounted_swapped_and_started_again(here: Stack) -> None:
    add(here)
    here.up()
    found = asked(here, "/live/a%2Fb?q=/x")
    assert found["path"] == "/a%2Fb?q=/x", "what it is asked for begins below its mount"
    assert (found["mount"], found["headers"]["X-Forwarded-Prefix"]) == ("/live", "/live")
    assert found["variable"] == "ours"
    assert found["headers"]["X-Request-Id"]
    assert not any(name.startswith("X-Hedgerow") for name in found["headers"]), found["headers"]
    assert (told(here)["pool"], told(here)["reason"]) == ("own", "live: it brings a server of its own")
    until(lambda: "it listens" in here.run("logs", "live").stdout, 10, "what it prints is in its log")

    load = Load(here.port, "/live/")
    with load.running():
        add(here, text=SERVER.replace('"one"', '"two"'))
        until(lambda: asked(here)["version"] == "two", 30, "the next release serves")
        until(lambda: len(here.status()["replicas"][0]["pools"][0]["slots"]) == 1, 20, "the first one has gone")
    assert load.failed == []
    print(f"{load.count} requests, 0 failed")

    pid = asked(here)["pid"]
    os.kill(pid, signal.SIGKILL)
    assert asked(here)["pid"] != pid, "who asks meanwhile waits until it has been started again"


def test_other_protocols_go_through(here: Stack) -> None:
    add(here)
    here.up()
    with socket.create_connection(("127.0.0.1", here.port), timeout=10) as sock:
        head = "GET /live/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket"
        sock.sendall(head.encode() + b"\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(1000)
        assert answer.startswith(b"HTTP/1.1 101 ")
        for word in (b"hello", b"again"):
            sock.sendall(word)
            assert sock.recv(100) == word.upper()


@pytest.mark.parametrize(
    ("run", "reason", "said"),
    [
        (
            "python3 -c 'print(\"so it is\"); raise SystemExit(4)'",
            "loading it ends the process (exit status 4)",
            "so it is",
        ),
        ("no-such-command {fd}", "loading it ends the process (exit status 127)", "no-such-command: not found"),
    ],
)
def test_a_server_that_does_not_start_is_a_failed_deploy(here: Stack, run: str, reason: str, said: str) -> None:
    add(here)
    here.up()
    add(here, run)
    until(lambda: told(here)["error"], 30, "it is refused")
    assert reason in told(here)["error"]
    assert said in told(here)["traceback"]
    assert asked(here)["version"] == "one"
