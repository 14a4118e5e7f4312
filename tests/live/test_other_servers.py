"""Servers of other makers through `run`: those of Python from the package index, and one of Node. All are mounted,
used, brought anew under load, and started again when they are killed.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from control_support import Load, Stack, get, stack, until
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

pytestmark = pytest.mark.slow

TORNADO = """
import asyncio, os, socket, sys
import tornado.httpserver, tornado.web, tornado.websocket
VERSION = "one"

class Tell(tornado.web.RequestHandler):
    async def get(self):
        self.write({"server": f"tornado {tornado.version}", "version": VERSION, "pid": os.getpid(),
                    "path": self.request.uri, "prefix": self.request.headers["X-Forwarded-Prefix"]})
    async def post(self):
        if self.request.body:
            self.write(self.request.body.upper())
        else:
            await self.get()

class Stream(tornado.web.RequestHandler):
    async def get(self):
        for number in range(3):
            self.write(f"{number} ")
            await self.flush()
            await asyncio.sleep(0.2)

class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, text):
        self.write_message(f"heard {text}")

async def main():
    server = tornado.httpserver.HTTPServer(
        tornado.web.Application([("/stream", Stream), ("/echo", Echo), ("/.*", Tell)])
    )
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.setblocking(False)
    server.add_socket(listener)
    await asyncio.Event().wait()

asyncio.run(main())
"""
TWISTED = """
import json, os
import twisted
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
VERSION = "one"

class Root(Resource):
    isLeaf = True
    def render_GET(self, request):
        if request.path == b"/stream":
            def send(number):
                request.write(f"{number} ".encode())
                reactor.callLater(0.2, send, number + 1) if number < 2 else request.finish()
            reactor.callLater(0, send, 0)
            return NOT_DONE_YET
        prefix = request.getHeader("x-forwarded-prefix")
        return json.dumps({"server": f"twisted {twisted.__version__}", "version": VERSION, "pid": os.getpid(),
                           "path": request.uri.decode(), "prefix": prefix}).encode()
    def render_POST(self, request):
        return request.content.read().upper() or self.render_GET(request)
"""
ASGI = """
import asyncio, importlib.metadata, json, os
VERSION = "one"

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while (event := await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": "heard " + event["text"]})
        return
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"].endswith("/stream"):
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d " % number, "more_body": True})
            await asyncio.sleep(0.2)
        return await send({"type": "http.response.body", "body": b""})
    headers = dict(scope["headers"])
    query = "?" + scope["query_string"].decode() if scope["query_string"] else ""
    told = {"server": "hypercorn " + importlib.metadata.version("hypercorn"), "version": VERSION, "pid": os.getpid(),
            "path": scope["raw_path"].decode() + query, "prefix": headers[b"x-forwarded-prefix"].decode()}
    await send({"type": "http.response.body", "body": body.upper() or json.dumps(told).encode()})
"""
NODE = """
const http = require("http"), crypto = require("crypto")
const VERSION = "one"
const server = http.createServer(async (request, response) => {
    let body = ""
    for await (const block of request) body += block
    if (request.url == "/stream") {
        for (const number of [0, 1, 2]) {
            response.write(number + " ")
            await new Promise(go => setTimeout(go, 200))
        }
        return response.end()
    }
    response.end(body.toUpperCase() || JSON.stringify({server: "node " + process.version, version: VERSION,
        pid: process.pid, path: request.url, prefix: request.headers["x-forwarded-prefix"]}))
})
server.on("upgrade", (request, socket) => {  // a WebSocket whose messages are short
    const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    const accept = crypto.createHash("sha1").update(key).digest("base64")
    socket.write("HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n" +
                 "Sec-WebSocket-Accept: " + accept + "\\r\\n\\r\\n")
    socket.on("data", frame => {
        const mask = frame.subarray(2, 6), text = frame.subarray(6).map((byte, at) => byte ^ mask[at % 4])
        const answer = Buffer.from("heard " + text.toString())
        socket.write(Buffer.concat([Buffer.from([0x81, answer.length]), answer]))
    })
})
server.listen({fd: Number(process.argv[2])})
"""
# app → its requirements, its command, its file, whether it speaks WebSocket
SERVERS = {
    "tornado": ("tornado", "python server.py {fd}", ("server.py", TORNADO), True),
    "twisted": (
        "twisted",
        "twist web --listen systemd:domain=UNIX:index=0 --class pages.Root",
        ("pages.py", TWISTED),
        False,
    ),
    "hypercorn": ("hypercorn", "hypercorn --bind fd://{fd} main:application", ("main.py", ASGI), True),
    "node": ("", "node server.js {fd}", ("server.js", NODE), True),
}


@pytest.fixture(scope="module")
def here() -> Iterator[Stack]:
    assert shutil.which("node"), "install Node.js (Debian: nodejs); this test runs a server of it"
    with stack(workers=2) as made:
        for name, (requirements, run, (file, text), _) in SERVERS.items():
            folder = made.apps / name
            folder.mkdir()
            if requirements:
                (folder / "requirements.txt").write_text(requirements + "\n")
            (folder / "app.toml").write_text(f"run = {json.dumps(run)}\n")
            (folder / file).write_text(text)
        made.up()
        for name in SERVERS:
            until(functools.partial(answers, made, name), 90, f"{name} answers")
        yield made


def answers(here: Stack, name: str) -> bool:
    error = next((one["error"] for one in here.status()["apps"] if one["name"] == name), "")
    assert not error, here.run("status").stdout
    return get(here.port, f"/{name}/")[0] == 200


def asked(here: Stack, name: str, path: str = "/") -> dict[str, Any]:
    status, body = get(here.port, f"/{name}{path}")
    assert status == 200, (status, body)
    found: dict[str, Any] = json.loads(body)
    return found


def test_each_is_mounted(here: Stack) -> None:
    apps = {one["name"]: one for one in here.status()["apps"]}
    for name in SERVERS:
        found = asked(here, name, "/a%2Fb?q=/x")
        assert (found["path"], found["prefix"]) == ("/a%2Fb?q=/x", f"/{name}")
        assert (apps[name]["pool"], apps[name]["reason"]) == ("own", f"{name}: it brings a server of its own")
        print(f"{name:10} {found['server']:20} {apps[name]['pool']} {apps[name]['reason']}")
    print(here.run("status").stdout)


@pytest.mark.parametrize("name", SERVERS)
def test_bodies_go_in_and_streams_come_out(here: Stack, name: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=20)
    with contextlib.closing(connection):
        for size in (10, 3_000_000):
            connection.request("POST", f"/{name}/", b"x" * size)
            assert connection.getresponse().read() == b"X" * size
        connection.request("GET", f"/{name}/stream", headers={"X-Accel-Buffering": "no"})
        began = time.monotonic()
        answer = connection.getresponse()
        first, took = answer.read1(2), time.monotonic() - began
        assert (first, answer.read()) == (b"0 ", b"1 2 ")
        assert took < 0.2 + time.monotonic() - began - 0.4, "the first block comes before the last is made"


@pytest.mark.parametrize("name", [name for name, (*_, websocket) in SERVERS.items() if websocket])
def test_websockets(here: Stack, name: str) -> None:
    heard: list[str] = []
    with socket.create_connection(("127.0.0.1", here.port), timeout=10) as sock:
        web = WSConnection(ConnectionType.CLIENT)
        sock.sendall(web.send(Request(host="localhost", target=f"/{name}/echo")))
        while len(heard) < 3:
            web.receive_data(sock.recv(4096))
            for event in web.events():
                assert isinstance(event, TextMessage | AcceptConnection), event
                if isinstance(event, TextMessage):
                    heard.append(event.data)
                sock.sendall(web.send(TextMessage(f"word {len(heard)}")))
    assert heard == [f"heard word {number}" for number in range(3)]


def test_new_releases_under_load(here: Stack) -> None:
    loads = {name: Load(here.port, f"/{name}/") for name in SERVERS}
    with contextlib.ExitStack() as running:
        for load in loads.values():
            running.enter_context(load.running(2))
        for name, (_, _, (file, text), _) in SERVERS.items():
            beside = here.apps / name / ".new~"
            beside.write_text(re.sub(r'(VERSION = )"one"', r'\1"two"', text))
            os.replace(beside, here.apps / name / file)
        until(lambda: all(asked(here, name)["version"] == "two" for name in SERVERS), 60, "all serve the next one")
        until(lambda: all(len(one["slots"]) == 1 for one in here.status()["replicas"][0]["pools"]), 60, "one slot each")
    print({name: load.count for name, load in loads.items()})
    assert [failed for load in loads.values() for failed in load.failed] == []


@pytest.mark.parametrize("name", SERVERS)
def test_one_that_is_killed_is_started_again(here: Stack, name: str) -> None:
    pid = asked(here, name)["pid"]
    os.kill(pid, signal.SIGKILL)
    assert asked(here, name)["pid"] != pid, "who asks meanwhile waits until it has been started again"
