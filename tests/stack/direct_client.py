"""Asks one address without the front, from inside its container.

Called with PORT PATH PREFIX CLIENTS SECONDS: each client sends POST and GET in turns, each on a new connection, for so
many seconds but at least once. It prints a JSON list of [method, id, began, ended, outcome]; times are those of this
machine's monotonic clock, and outcome is "answered", "refused" (the connect) or what else went wrong. It needs nothing
but Python.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time

HEARD: list[tuple[str, str, float, float, str]] = []


def ask(port: int, path: str, method: str, identity: str) -> str:
    body = identity.encode() if method == "POST" else None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.connect()
    except OSError:
        return "refused"
    try:
        connection.request(method, path, body, {"Connection": "close"})
        answer = connection.getresponse()
        whole = answer.read() == (body or b"ok")
        return "answered" if whole and answer.status == 200 else f"status {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()


def client(port: int, path: str, prefix: str, end: float) -> None:
    number = 0
    while number == 0 or time.monotonic() < end:
        method, identity = ("POST", "GET")[number % 2], f"{prefix}-{number}"
        began = time.monotonic()
        outcome = ask(port, path, method, identity)
        HEARD.append((method, identity, began, time.monotonic(), outcome))
        number += 1
        time.sleep(0.005)


def main(port: str, path: str, prefix: str, clients: str, seconds: str) -> None:
    end = time.monotonic() + float(seconds)
    threads = [
        threading.Thread(target=client, args=(int(port), path, f"{prefix}-{n}", end)) for n in range(int(clients))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(HEARD))


if __name__ == "__main__":
    main(*sys.argv[1:])
