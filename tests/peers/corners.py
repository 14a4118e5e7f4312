"""Runs the corner cases against every server, one after another, and writes docs/corner-cases.md.

What lives here: running, and the table. A server that does not answer behind a case is started anew, and the case is
lost to it. It must not know what a case asks, nor what is right.
"""

from __future__ import annotations

import argparse
import datetime
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE), str(HERE.parent / "corpus")]

import servers  # noqa: E402 - the paths above lead to them
from cases import Case  # noqa: E402
from corner_table import Column, page  # noqa: E402
from verdicts import Verdict, wrong  # noqa: E402
from wire import Outcome, talk  # noqa: E402
from wire_cases import WIRE_CASES  # noqa: E402
from wsgi_cases import WSGI_CASES  # noqa: E402

CASES: list[Case] = [*WIRE_CASES, *WSGI_CASES]
COLUMNS = (
    servers.HEDGEROW, servers.GUNICORN_GTHREAD, servers.UWSGI, servers.UWSGI_ROUTER, servers.GRANIAN, servers.WAITRESS,
    servers.CHEROOT, servers.PYWSGI,
)  # fmt: skip
DOCUMENT = servers.ROOT / "docs" / "corner-cases.md"
LATE_S = 2.0  # for what an app notes behind its answer
READING_S = 0.3  # for an app that was entered to end its read
ALIVE_S = 3.0


class Subject:
    """A server under question: it is started, asked, and started again when it is lost."""

    def __init__(self, server: servers.Server, python: Path, work: Path) -> None:
        self._server = server
        self._record = work / "record"
        self._record.touch()
        environ = {"CORNERS_RECORD": str(self._record)}
        self._launch = servers.Launch(python, "corner_app:application", HERE, work / "run", environ)
        self._running: servers.Running | None = None
        self._process = ""

    def verdict(self, case: Case) -> Verdict:
        """What the server does in this case, judged."""
        outcome = self.outcome(case)
        return case.judge(outcome) if outcome.alive else wrong("server gone")

    def outcome(self, case: Case) -> Outcome:
        running = self._running or self._start()
        seen = self._record.stat().st_size
        outcome = talk(running.address, case.steps, case.methods, case.keeps)
        outcome.events = self._settled(seen, case.awaits)
        process, self._process = self._process, self._living(running)
        outcome.alive, outcome.same_process = bool(self._process), process == self._process
        if not outcome.alive:
            self.stop()
        return outcome

    def _start(self) -> servers.Running:
        self._running = servers.start(self._server, self._launch)
        servers.wait_until_answering(self._running)
        self._process = self._living(self._running)
        return self._running

    def _living(self, running: servers.Running) -> str:
        """The process that answers a right request by now, or soon."""
        deadline = time.monotonic() + ALIVE_S
        while running.process.poll() is None and time.monotonic() < deadline:
            if process := answering(running.address):
                return process
            time.sleep(0.02)
        return ""

    def stop(self) -> None:
        if self._running:
            servers.stop(self._running)
        self._running = None

    def _settled(self, start: int, awaited: str) -> list[dict[str, Any]]:
        """The app's notes since then, once those that are still to come have come."""
        begun = time.monotonic()
        while True:
            with self._record.open() as record:
                record.seek(start)
                events = [json.loads(line) for line in record]
            names = [event["event"] for event in events]
            reading = names.count("enter") > names.count("saw")
            late = LATE_S if awaited and awaited not in names else READING_S if reading else 0
            if not late or time.monotonic() > begun + late:
                return events
            time.sleep(0.005)


def answering(address: tuple[str, int]) -> str:
    """Who answers a right request: a process's id, or nothing."""
    received = b""
    with suppress(OSError), socket.create_connection(address, ALIVE_S) as sock:
        sock.settimeout(ALIVE_S)
        sock.sendall(b"GET /alive HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        while not received.endswith(b".") and (block := sock.recv(1000)):
            received += block
    return received.partition(b"alive in ")[2].decode()


@contextmanager
def subject(server: servers.Server) -> Iterator[Subject]:
    python = servers.OWN_PYTHON if server is servers.HEDGEROW else servers.PEERS_PYTHON
    with tempfile.TemporaryDirectory() as folder:
        one = Subject(server, python, Path(folder))
        try:
            yield one
        finally:
            one.stop()


def verdicts(server: servers.Server, cases: Iterable[Case], tell: Callable[[str], None]) -> dict[str, Verdict]:
    """Each case's verdict by its id."""
    with subject(server) as one:
        found = {}
        for case in cases:
            found[case.id] = one.verdict(case)
            tell(f"{server.name:18} {case.id:28} {found[case.id]}")
        return found


def version(server: servers.Server) -> str:
    python = servers.OWN_PYTHON if server is servers.HEDGEROW else servers.PEERS_PYTHON
    script = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    told = subprocess.run([python, "-c", script, server.package], check=True, capture_output=True, text=True)
    return told.stdout.strip()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="ids of cases; the document is then left alone")
    parser.add_argument("--servers", nargs="+", default=[], help="names of servers; the document is then left alone")
    chosen = parser.parse_args(arguments)
    cases = [case for case in CASES if not chosen.only or case.id in chosen.only]
    columns = []
    for server in COLUMNS:
        if not chosen.servers or server.name in chosen.servers:
            columns.append(Column(server.name, version(server), verdicts(server, cases, print)))
    if not (chosen.only or chosen.servers):
        today = datetime.datetime.now(datetime.UTC).date()
        DOCUMENT.write_text(page(CASES, columns, today), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
