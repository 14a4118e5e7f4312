"""In a stack: an app that takes connections without end, and one that takes all descriptors of its worker. What its
neighbours notice, and who sees it.
"""

from __future__ import annotations

import errno
import http.client
import socket
import time
from typing import Any

from control_support import Neighbour, drop, get, stack, until

GREEDY = """
import os
import socket

HELD = []


def connect(port):
    refused = 0
    for _ in range(1200):
        try:
            HELD.append(socket.create_connection(("127.0.0.1", int(port))))
        except OSError:
            refused += 1
    return len(HELD), refused


def leak(_):
    while True:
        try:
            HELD.append(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            return error.errno


def application(environ, start_response):
    ask = {"/connect": connect, "/leak": leak}.get(environ["PATH_INFO"], str)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(ask(environ["QUERY_STRING"])).encode()]
"""
QUIET = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REQUEST_METHOD"].encode()]
"""


def post(port: int) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/quiet/", b"1")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_neighbours_of_one_that_takes_all_it_can_get_are_served() -> None:
    with stack(workers=2) as here, socket.create_server(("127.0.0.1", 0), backlog=4096) as remote:
        drop(here.apps, "greedy", GREEDY)
        drop(here.apps, "quiet", QUIET)
        here.up()
        until(lambda: all(get(here.port, f"/{name}/")[0] == 200 for name in ("greedy", "quiet")), 40, "both are up")
        gets = Neighbour(lambda: get(here.port, "/quiet/", timeout_s=20), (200, b"GET"), threads=2)
        posts = Neighbour(lambda: post(here.port), (200, b"POST"), threads=2)
        with gets, posts:
            port = remote.getsockname()[1]
            assert get(here.port, f"/greedy/connect?{port}") == (200, b"(1000, 200)")
            address = f"127.0.0.1:{port}"
            until(lambda: {"open": {address: 1000}, "refused": 200} in outbound(here.status()), 10, "it is told")
            rows = here.run("status").stdout.splitlines()
            assert rows[rows.index(next(row for row in rows if row.startswith("OUTBOUND"))) + 1].split() == [
                "greedy", "1000", "200",
            ]  # fmt: skip
            assert get(here.port, "/greedy/leak") == (200, str(errno.EMFILE).encode())
            until(
                lambda: any(one["descriptors"] >= 0.99 * one["descriptors_most"] for one in told(here.status())), 10, ""
            )
            time.sleep(2)
        print(f"a neighbour waited for {gets.longest:.2f} s (GET), {posts.longest:.2f} s (POST) at most")
        assert (gets.wrong, posts.wrong) == ([], [])
        assert max(gets.longest, posts.longest) < 2


def told(status: dict[str, Any]) -> list[dict[str, Any]]:
    """What each worker that answers tells."""
    groups = status["replicas"][0]["addresses"]
    return [slot for group in groups for slot in group["slots"].values() if "outbound" in slot]


def outbound(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [worker["outbound"]["greedy"] for worker in told(status)]
