"""Connects to wherever it is told to, in each way that there is, and keeps what it has until it is told to drop it. For
tests/live/test_outbound_budgets.py.
"""

import asyncio
import errno
import gc
import http.client
import json
import os
import socket
import ssl
import threading
from pathlib import Path
from urllib.parse import parse_qs

import gevent
import requests

CERTIFICATE = Path(__file__).parent / "remote_tls.pem"
HELD = []
SESSION = requests.Session()


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    asked = {key: value for key, [value] in parse_qs(environ["QUERY_STRING"]).items()}
    body = json.dumps(globals()[f"do_{name}"](**asked)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def do_open(to, how="create", times="1"):
    """What became of each: "" if it is open, or the error."""
    found = []
    for _ in range(int(times)):
        try:
            HELD.append(globals()[f"by_{how}"](address_of(to)))
        except OSError as error:
            found.append(f"{type(error).__name__} {errno.errorcode.get(error.errno)} {error}")
        else:
            found.append("")
    return found


def address_of(to):
    host, colon, port = to.rpartition(":")
    return (host, int(port)) if colon else to


def by_create(address):
    return socket.create_connection(address)


def by_unix(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


def by_ex(address):
    sock = socket.socket()
    if number := sock.connect_ex(address):
        sock.close()
        raise OSError(number, "by number")
    return sock


def by_nonblocking(address):
    sock = socket.socket()
    sock.setblocking(False)
    try:
        sock.connect(address)
    except BlockingIOError:
        pass
    except OSError:
        sock.close()
        raise
    return sock


def by_detach(address):
    """The descriptor goes to another object, as in asyncio's transports."""
    return socket.socket(fileno=socket.create_connection(address).detach())


def context():
    return ssl.create_default_context(cafile=CERTIFICATE)


def by_ssl(address):
    """Connected, then wrapped: as http.client does it."""
    return context().wrap_socket(socket.create_connection(address), server_hostname="localhost")


def by_ssl_first(address):
    """Wrapped, then connected."""
    sock = context().wrap_socket(socket.socket(), server_hostname="localhost")
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def by_http(address):
    connection = http.client.HTTPConnection(*address)
    connection.request("GET", "/")
    connection.getresponse().read()
    return connection


def by_requests(address):
    """A pool that all calls have in common."""
    SESSION.get(f"http://{address[0]}:{address[1]}/").raise_for_status()
    return SESSION


def by_asyncio(address):
    async def connect():
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        return sock

    return asyncio.run(connect())


def by_greenlet(address):
    return gevent.spawn(by_create, address).get()


def by_thread(address):
    found = []

    def run():
        try:
            found.append(by_create(address))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def by_udp(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(address)
    return sock


def by_pair(address):
    near, far = socket.socketpair()
    HELD.append(far)
    return near


def do_close():
    for one in HELD:
        one.close()
    HELD.clear()


def do_drop():
    """Nobody closes it, and nobody has it any more."""
    HELD.clear()
    gc.collect()


def do_leak():
    """Files until there is no descriptor left."""
    while True:
        try:
            HELD.append(open(os.devnull))  # noqa: SIM115 - the leak is meant
        except OSError as error:
            return [len(HELD), errno.errorcode[error.errno]]


def do_pid():
    return os.getpid()
