"""Requests of one session that come at once, in a worker whose requests share a thread."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from worker_support import receive, serving

APP = """
import os
os.environ["SESSION_KEY"] = "k" * 40

def application(environ, start_response):
    session = environ["hedgerow.session"]
    session[environ["QUERY_STRING"]] = 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d." % len(session)]
"""
AT_ONCE = 30


@pytest.mark.parametrize("threads", [False, True])
def test_many_at_once_of_one_session_all_change_it_and_hold_up_nobody(tmp_path: Path, threads: bool) -> None:
    app = tmp_path / "many"
    app.mkdir()
    (app / "app.py").write_text(APP)
    (app / "app.toml").write_text('[[middleware]]\nuse = "session"\nfolder = "data/sessions"\n')
    with serving(tmp_path, {"many": app}, threads=threads) as worker, ExitStack() as stack:
        response, _ = worker.ask("/many/?first")
        cookie = response.headers["Set-Cookie"].partition(";")[0]
        socks = [stack.enter_context(worker.connect()) for _ in range(AT_ONCE)]
        for number, sock in enumerate(socks):
            sock.sendall(f"GET /many/?k{number} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
        for sock in socks:
            assert receive(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        assert worker.ask("/many/?last", headers={"Cookie": cookie})[1] == b"%d." % (AT_ONCE + 2)
