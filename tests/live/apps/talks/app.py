"""Speaks WebSocket, one kind of conversation a path; what becomes of each is in a file of its data."""

import json
import os
import time

SEEN = os.path.join(os.path.dirname(__file__), "data", "seen")


def note(**told):
    file = os.open(SEEN, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, json.dumps(told).encode() + b"\n")
    os.close(file)


def echo(websocket, environ):
    for message in websocket:
        websocket.send(message)


def sends_only(websocket, environ):
    number = 0
    while True:
        websocket.send(f"tick {number}")
        number += 1
        time.sleep(0.01)


def fails(websocket, environ):
    raise ValueError(f"on hearing {websocket.receive()!r}")


def swallows_its_failure(websocket, environ):
    websocket.receive()
    environ["test.start_response"]("500 Internal Server Error", [("Content-Type", "text/plain")])


def leaves(websocket, environ):
    websocket.receive()


def closes(websocket, environ):
    websocket.close(4000, websocket.receive())


def tells(websocket, environ):
    told = {
        "subprotocol": websocket.subprotocol,
        "offered": websocket.offered,
        "multithread": environ["wsgi.multithread"],
        "worker": environ.get("hedgerow.worker"),
    }
    websocket.send(json.dumps(told))
    echo(websocket, environ)


def pings(websocket, environ):
    websocket.ping(b"are you there")
    echo(websocket, environ)


def waits_a_moment(websocket, environ):
    try:
        websocket.receive(timeout_s=0.05)
    except TimeoutError:
        websocket.send("nothing came")


PATHS = {
    "/" + talk.__name__: talk
    for talk in (echo, sends_only, fails, swallows_its_failure, leaves, closes, tells, pings, waits_a_moment)
}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/page":
        body = environ["REQUEST_METHOD"].encode() + b" " + environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]
    if path == "/refuses":
        start_response("401 Unauthorized", [("Content-Type", "text/plain"), ("WWW-Authenticate", "Basic")])
        return [b"who are you"]
    if path == "/generates":
        return generates(environ, start_response)
    if path not in PATHS:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"nothing of that kind"]
    environ["test.start_response"] = start_response
    websocket = environ["wsgi.websocket"]
    error = None
    try:
        PATHS[path](websocket, environ)
    except Exception as raised:
        error = type(raised).__name__
        raise
    finally:
        ended = websocket.ended
        how = (type(ended).__name__, ended.code, ended.reason) if ended is not None else None
        note(path=path, error=error, how=how)
    return []


def generates(environ, start_response):
    for message in environ["wsgi.websocket"]:
        environ["wsgi.websocket"].send(message)
        yield b"nobody reads this"
