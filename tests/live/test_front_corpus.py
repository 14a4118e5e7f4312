"""The whole corpus through the project's nginx to a real worker: both must see the same requests, and no other.

No client closes its sending half. Rejected cases are sent as they are and with a request behind them, accepted ones
with a request behind them, and those with chunks once more so that nginx has sent their head on before it has the rest.
Each case comes from a loopback address of its own, so all of them can run at once
and share the connections behind nginx, as clients do: a case that left a worker out of step would be seen in the next.
What nginx sent is what the tap between the two kept, cut where nginx says that it ended. `docs/through-nginx.md` tells
how a case fares other than directly at a worker, and is held against the run here.
"""

from __future__ import annotations

import json
import re
import select
import signal
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import wire_corpus
from front_backends import PATIENCE_S
from front_support import Front, binaries, running, wait_for
from front_tap import Sent, Tap, requests, tapped
from wire_corpus import OF_THE_CONNECTION, Accept, Reject, Wanted, environ_key
from worker_support import APPS, Worker, serving

TABLES = Path(__file__).parents[2] / "docs" / "through-nginx.md"
LAST = b"GET /last HTTP/1.1\r\nHost: last.example\r\nConnection: close\r\n\r\n"
CLIENTS = 32

# The corpus's limits, and room for what nginx adds to a head.
LIMITS = {
    "MAX_HEAD_BYTES": wire_corpus.MAX_HEAD_BYTES + 512,
    "MAX_TARGET_BYTES": wire_corpus.MAX_TARGET_BYTES,
    "MAX_HEADERS": wire_corpus.MAX_HEADERS + 8,
    "MAX_BODY_BYTES": wire_corpus.MAX_BODY_BYTES,
    "TRUST_FRONT": 1,
}

# How long a client waits for more. It ends most cases that are sent alone, since the connection stays open behind them;
# what it cuts off only has to be cut off for the app, too. The others end by themselves, but for the few of which nginx
# wants more bytes than there are, whatever the time.
ALONE_S = 0.2
FOLLOWED_S = 3.0

# What nginx tells a worker itself, of every request; the worker keeps the last two.
OF_THE_FRONT = {f"HTTP_X_{name}" for name in ("REQUEST_ID", "REAL_IP", "HEDGEROW_ROUND", "HEDGEROW_FRONT")} | {
    f"HTTP_X_FORWARDED_{name}" for name in ("FOR", "PROTO", "HOST", "PORT")
}
KEPT_BY_THE_WORKER = {"HTTP_X_HEDGEROW_ROUND", "HTTP_X_HEDGEROW_FRONT", "HTTP_X_HEDGEROW_CAUSE"}


@dataclass
class Seen:
    """One case. log: nginx's lines; sent: what it sent on; entered: what the app was asked; all in their order.

    way: "alone", "followed" by LAST, or "cut" behind its head and followed.
    """

    case: Accept | Reject
    way: str
    log: list[dict[str, Any]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    entered: list[dict[str, Any]] = field(default_factory=list)

    @property
    def pieces(self) -> list[bytes]:
        data = self.case.data + (b"" if self.way == "alone" else LAST)
        middle = data.index(b"\r\n\r\n") + 4 if self.way == "cut" else 0
        return [data[:middle], data[middle:]]

    @property
    def patience_s(self) -> float:
        return ALONE_S if self.way == "alone" else FOLLOWED_S


@dataclass
class Run:
    cases: list[Seen]
    accesses: int  # that the worker logged


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    cases = all_cases()
    by_address = {f"127.1.{number // 250}.{number % 250 + 1}": seen for number, seen in enumerate(cases)}
    with (
        serving(folder, {"recorder": APPS / "recorder"}, settings=LIMITS) as worker,
        tapped(worker.address) as tap,
        running(folder, binaries()[0], [tap]) as front,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        list(clients.map(lambda pair: talk(front.port, tap, *pair), by_address.items()))
        entered = all_that_was_asked(front, tap, worker)
    assign(by_address, front.log_lines(), tap, entered)
    return Run(cases, sum(line["kind"] == "access" for line in worker.lines()))


def all_cases() -> list[Seen]:
    both: list[Accept | Reject] = [*wire_corpus.rejects(), *wire_corpus.accepts()]
    chunked = [case for case in both if b"\r\nTransfer-Encoding: chunked\r\n" in case.data]
    return [
        *(Seen(case, "followed") for case in both),
        *(Seen(case, "alone") for case in wire_corpus.rejects()),
        *(Seen(case, "cut") for case in chunked if b"\r\n\r\n" in case.data),
    ]


def talk(port: int, tap: Tap, address: str, seen: Seen) -> None:
    """Send, and read until the end or until nothing more comes."""
    head, rest = seen.pieces
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S, (address, 0)) as sock:
        sock.settimeout(seen.patience_s)
        with suppress(ConnectionError, TimeoutError):
            if head:
                sock.sendall(head)
                wait_for(lambda: tap.saw(f"X-Real-IP: {address}\r\n") or is_answered(sock), "nginx to do something")
            sock.sendall(rest)
            while sock.recv(65_536):
                pass


def is_answered(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def all_that_was_asked(front: Front, tap: Tap, worker: Worker) -> list[dict[str, Any]]:
    """nginx ends when it has done and logged everything, and the tap's connections when the worker has."""
    front.process.send_signal(signal.SIGQUIT)
    front.process.wait(PATIENCE_S)
    tap.wait_until_all_have_ended()
    records: list[dict[str, Any]] = json.loads(worker.ask("/entered")[1])
    return records


def assign(by_address: dict[str, Seen], log: list[dict[str, Any]], tap: Tap, entered: list[dict[str, Any]]) -> None:
    """To each case what is its own: nginx knows the addresses, and its ids tie the rest to them."""
    owners = {line["request_id"]: by_address[line["client"]] for line in log}
    numbers = {line["request_id"]: number for number, line in enumerate(log)}
    for line in log:
        by_address[line["client"]].log.append(line)
    # A list ("," or ":") would be a request that was sent twice: no int.
    bytes_sent = {line["request_id"]: int(line["upstream_bytes_sent"]) for line in log if line["upstream_bytes_sent"]}
    for stream in tap.streams:
        for sent in requests(bytes(stream), bytes_sent):
            owners[sent.request_id].sent.append(sent)
    assert not bytes_sent, "nginx says that it sent what never came"
    for seen in by_address.values():
        seen.sent.sort(key=lambda sent: numbers[sent.request_id])
    for record in entered:
        owners[record["fields"]["HTTP_X_REQUEST_ID"]].entered.append(record)


# --- both see the same ------------------------------------------------------------------------------------------------


def test_the_app_is_entered_for_what_nginx_sent_and_for_nothing_else(run: Run) -> None:
    wrong = {f"{seen.case.name} {seen.way}": found for seen in run.cases if (found := strayed(seen))}
    assert wrong == {}


def strayed(seen: Seen) -> list[str]:
    """What is wrong with a case, in words."""
    statuses = {line["request_id"]: line["upstream_status"] for line in seen.log}
    records: dict[str, list[dict[str, Any]]] = {}
    for record in seen.entered:
        records.setdefault(record["fields"]["HTTP_X_REQUEST_ID"], []).append(record)
    found = []
    for sent in seen.sent:
        got = records.pop(sent.request_id, [])
        if not sent.whole:
            if len(got) > 1 or any("body" in record for record in got):
                found.append(f"a body that nginx broke off looks whole: {got}")
        elif len(got) != (statuses[sent.request_id] == "200"):
            found.append(f"entered {len(got)} times, answered with {statuses[sent.request_id]}: {sent}")
        elif got and (differing := [key for key, value in as_entered(sent).items() if got[0].get(key) != value]):
            found.append(f"{differing} differ: sent {sent}, got {got[0]}")
    return found + [f"nginx never sent {record}" for record in records.values()]


def as_entered(sent: Sent) -> dict[str, Any]:
    """What the app has to be asked when nginx sent this."""
    fields: dict[str, str] = {}
    for name, value in sent.fields:
        key = environ_key(name)
        fields[key] = f"{fields[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}" if key in fields else value
    for key in [*KEPT_BY_THE_WORKER, "HTTP_TRANSFER_ENCODING"]:
        fields.pop(key, None)
    return {
        "method": sent.method,
        "target": sent.target,
        "version": sent.version,
        "fields": fields,
        "body": sent.body.decode("latin-1"),
    }


def test_the_worker_saw_as_many_requests_as_nginx_sent(run: Run) -> None:
    """A rest of one that was read as a request would be one more, refused, and perhaps never seen by an app."""
    asked_by_the_test = 1
    assert run.accesses == sum(len(seen.sent) for seen in run.cases) + asked_by_the_test


def test_whatever_arrives_arrives_in_nginxs_own_form(run: Run) -> None:
    """Its version, its fields, of the connection's only Trailer and a wish for WebSocket, in its own words; what is
    broken off is never framed by a length.
    """
    for sent in (sent for seen in run.cases for sent in seen.sent):
        keys = [environ_key(name) for name, _ in sent.fields]
        assert sent.version == "1.1"
        wish = sent.values("connection"), sent.values("upgrade")
        assert wish in (([], []), (["upgrade"], ["websocket"])), sent
        assert {*OF_THE_CONNECTION} & {*keys} <= {"HTTP_TRAILER", "HTTP_CONNECTION", "HTTP_UPGRADE"}, sent
        assert [keys.count(key) for key in OF_THE_FRONT] == [1] * len(OF_THE_FRONT), sent
        assert keys.count("HTTP_HOST") == 1
        assert sent.whole or sent.values("transfer-encoding") == ["chunked"], sent
        assert len(sent.values("transfer-encoding") + sent.values("content-length")) <= 1, sent


# --- the tables -------------------------------------------------------------------------------------------------------

REFUSED_LATER = "Rejected cases that the worker refuses behind nginx"
MADE_RIGHT = "Rejected cases that nginx makes right"
REFUSED_SOONER = "Accepted cases that nginx refuses"
CHANGED = "Accepted cases that the app sees otherwise"


def fate(seen: Seen) -> tuple[str, frozenset[str]]:
    """The table in which a case belongs, or none, and the words that its row must have."""
    log = [line for line in seen.log if not line["request"].startswith("GET /last ")]
    if isinstance(seen.case, Reject):
        return fate_of_reject(seen.case, seen, log)
    if any(line["status"] != 200 for line in log):
        return REFUSED_SOONER, frozenset({str(log[-1]["status"])})
    entered = [record for record in seen.entered if record["target"] != "/last"]
    pairs = zip(entered, seen.case.requests, strict=True)
    changed = frozenset(word for record, wanted in pairs for word in changes(record, wanted))
    return (CHANGED if changed else ""), changed


def fate_of_reject(case: Reject, seen: Seen, log: list[dict[str, Any]]) -> tuple[str, frozenset[str]]:
    wrong = log[case.before :]  # the first request of a pair is right
    whole = {sent.request_id for sent in seen.sent if sent.whole}
    passed = [line for line in wrong if line["request_id"] in whole]
    if not passed:
        return "", frozenset()
    if passed[0]["status"] == 200:
        return MADE_RIGHT, frozenset()
    return REFUSED_LATER, frozenset({str(passed[0]["status"])})


def changes(record: dict[str, Any], wanted: Wanted) -> Iterable[str]:
    """What the app saw otherwise than directly. A length that stands for chunks is no change, nor how it is written."""
    for name in ("method", "target", "version", "body"):
        if record[name] != getattr(wanted, name):
            yield name
    left_out = {*OF_THE_FRONT, *OF_THE_CONNECTION, "CONTENT_LENGTH"}
    got = {key: value for key, value in record["fields"].items() if key not in left_out}
    fields = {key: value for key, value in wanted.fields.items() if key not in left_out}
    for key in got.keys() | fields.keys():
        if got.get(key) != fields.get(key):
            yield key if key.isidentifier() else "HTTP_*"
    assert int(record["fields"].get("CONTENT_LENGTH", len(record["body"]))) == len(record["body"])


@pytest.mark.parametrize("title", [REFUSED_LATER, MADE_RIGHT, REFUSED_SOONER, CHANGED])
def test_the_tables_tell_what_nginx_changes(run: Run, title: str) -> None:
    """Each case in one row and its words in the row; in each row nothing but such cases."""
    fates = {seen.case.name: fate(seen) for seen in run.cases if seen.way == "followed"}
    kind = Accept if title in (REFUSED_SOONER, CHANGED) else Reject
    names = {seen.case.name for seen in run.cases if isinstance(seen.case, kind)}
    told: dict[str, set[str]] = {}
    for words, patterns in rows(title):
        for pattern in patterns:
            matching = [name for name in names if fnmatchcase(name, pattern)]
            assert matching, f"{pattern} is no case"
            for name in matching:
                told.setdefault(name, set()).update(words)
    happened = {name: set(words) for name, (where, words) in fates.items() if where == title and name in names}
    differing = sorted(name for name in told.keys() | happened.keys() if told.get(name) != happened.get(name))
    assert {name: (told.get(name), happened.get(name)) for name in differing} == {}, "(in the table, in the run)"


def rows(title: str) -> Iterable[tuple[list[str], list[str]]]:
    """Of a table: the words and the patterns of each row, which are its last two cells."""
    text = TABLES.read_text(encoding="utf-8")
    section = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            *_, words, patterns = line.strip("| ").split(" | ")
            if "`" in patterns:
                yield re.findall(r"`([^`]+)`", words), re.findall(r"`([^`]+)`", patterns)
