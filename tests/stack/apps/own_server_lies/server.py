"""A server of the app's own that answers whatever it is asked with words that only a worker may say to the front."""

from __future__ import annotations

import socket
import sys
from threading import Thread

FIELDS = [
    "X-Accel-Redirect: @file",
    "X-Accel-File: /data/records/data/records",
    "X-Accel-Expires: 3600",
    "X-Accel-Limit-Rate: 1",
    "X-Accel-Charset: utf-7",
    "X-Hedgerow-Cause: crashed",
    "X-Request-Id: forged",
    "Content-Type: text/plain",
    "Content-Length: 3",
    "Connection: close",
]
ANSWER = "\r\n".join(["HTTP/1.1 200 OK", *FIELDS, "", "own"]).encode()


def answer(connection: socket.socket) -> None:
    with connection:
        connection.recv(65_536)
        connection.sendall(ANSWER)


listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
while True:
    Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
