"""Apps are changed while clients are busy; every answer is looked at, and none may fail, whatever its method.

The figures are printed; a tenth of the counts here, the full ones in the slow ring. The stack's workers may drain for
25 s after a swap (`deploy_load.compose.yml`), so that the end of an open stream can be awaited.
"""

from __future__ import annotations

import http.client
import itertools
import re
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from .deploy_client import clients, told
from .deploys import SAMPLE, Deploys, change, replace, sample
from .engine import Stack

APPS = [SAMPLE]
NAME = SAMPLE.name
PATH = f"/{NAME}/"

# Two cores serve, deploy and ask: about 400 requests a second leave time for the rest.
CROWD = {"get": 3, "small": 4, "buffered": 1, "streamed": 1, "slow_answer": 2, "slow_body": 2, "late_answer": 2}
NEW_APP_S = 2.0  # from dropping a folder to its first answer,
SETTLE_S = 1.0  # and how long it is watched whether it holds still
# From a change to the last answer by old code, where a trial's load takes LOAD_S: three loads follow one another, and
# the machine may be slower just now.
OLD_CODE_S, LOAD_S = 6.0, 0.6
LONG_S = 20.0  # a long request
DRAIN_S = 25.0
LAST_CHUNK = b"0\r\n\r\n"

FLASK = """
from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    return "hello"
"""


@pytest.mark.parametrize("count", [10, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(2400)])])
def test_deploys_in_a_row_lose_nothing(stack: Stack, deploys: Deploys, count: int) -> None:
    versions = [f"row{count}-{n}" for n in range(count)]
    changed, took = {}, []
    with clients(stack.port, PATH, **CROWD) as crowd:
        time.sleep(1)
        for version in versions:
            before = deploys.number(NAME)
            changed[version] = change(stack.apps / NAME, version)
            took.append(deploys.wait_live(NAME, before) - changed[version])
        time.sleep(1)
        outcome = crowd.stop()
    late = [outcome.seen[old][1] - changed[new] for old, new in itertools.pairwise(versions)]
    print(
        f"{count} deploys: {told(outcome)}: {dict(sorted(outcome.ended.items()))}; from a change to the end of its"
        f" round {sum(took) / count:.1f} s ({max(took):.1f} at most), to the last old answer {max(late):.1f} s at most"
    )
    assert outcome.failures == []
    assert set(versions) <= set(outcome.seen)
    assert outcome.requests >= 500 * count


def test_a_dropped_folder_answers_soon_and_is_never_unknown_again(stack: Stack, deploys: Deploys) -> None:
    heard: list[tuple[float, float, int]] = []
    with asked(stack.port, "/dropped/", heard):
        time.sleep(0.5)
        (stack.apps / "dropped").mkdir()
        replace(stack.apps / "dropped" / "app.py", FLASK)
        dropped = time.monotonic()
        deploys.wait_live("dropped", 0)
        time.sleep(1)
    first = min(ended for _, ended, status in heard if status == 200)
    before = {status for began, ended, status in heard if ended < first}
    after = [status for began, _, status in heard if began > first]
    print(
        f"{first - dropped:.2f} s from dropping a Flask app to its first answer; before it {sorted(before)},"
        f" behind it {dict(Counter(after))}"
    )
    assert len(after) > 100
    assert set(after) == {200}
    assert before <= {404, 503}
    assert first - dropped <= NEW_APP_S + SETTLE_S


@contextmanager
def asked(port: int, path: str, heard: list[tuple[float, float, int]]) -> Iterator[None]:
    """A few clients that ask for this path while the block runs, and when they were told what."""
    ended = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while not ended.is_set():
            began = time.monotonic()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            heard.append((began, time.monotonic(), answer.status))
            time.sleep(0.01)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


class Listener(threading.Thread):
    """Reads an event stream to its end, as it comes: `http.client` does not tell a last chunk from a broken end."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self.heard = b""
        self.ended = 0.0
        self._port = port
        self._path = path

    def run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
            connection.sendall(f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            while not self.heard.endswith(LAST_CHUNK) and (data := connection.recv(65_536)):
                self.heard += data
        self.ended = time.monotonic()

    @property
    def events(self) -> list[str]:
        return re.findall("data: .*", self.heard.decode())


def test_long_requests_open_streams_and_slow_imports_outlast_a_deploy(stack: Stack, deploys: Deploys) -> None:
    """Three apps are changed at once: one needs 3 s to load, one answers after 20 s, one has an open event stream."""
    folders = [sample(stack.apps / name, "old", 3.0 if name == "heavy" else 0) for name in ("heavy", "long", "stream")]
    wait_all_live(deploys, {folder.name: 0 for folder in folders})
    stream = Listener(stack.port, "/stream/events")
    with ExitStack() as crowds:
        heavy = crowds.enter_context(clients(stack.port, "/heavy/", get=2, small=2, late_answer=1))
        long = crowds.enter_context(clients(stack.port, "/long/", long=4))
        stream.start()
        time.sleep(2)
        before = {folder.name: deploys.number(folder.name) for folder in folders}
        changed = [change(folder, "new") for folder in folders][-1]
        live = wait_all_live(deploys, before) - changed
        outcomes = {"heavy": heavy.stop(), "long": long.stop()}
    stream.join(DRAIN_S + 5)
    for name, outcome in outcomes.items():
        print(f"{name}: {told(outcome)}")
    end = f"the stream ended {stream.ended - changed:.1f} s after the change with {stream.heard[-30:]!r}"
    print(f"live after {live:.1f} s; {end}")
    assert {name: outcome.failures for name, outcome in outcomes.items()} == {"heavy": [], "long": []}
    assert set(outcomes["heavy"].seen) == {"old", "new"}
    assert outcomes["long"].longest_s < LONG_S + 5, "each ran once"
    assert len(stream.events) > 20
    assert set(stream.events) == {"data: old old old"}
    assert not stream.is_alive(), "it is ended at the drain limit"
    assert stream.ended - changed > DRAIN_S
    assert stream.heard.endswith(LAST_CHUNK), "an end that its client can tell from a broken connection"


def wait_all_live(deploys: Deploys, before: dict[str, int]) -> float:
    return max([deploys.wait_live(name, number) for name, number in before.items()])


@pytest.mark.parametrize("count", [5, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_old_code_is_gone_soon_after_a_change(stack: Stack, deploys: Deploys, count: int) -> None:
    """So many apps that need 0.3 s to load each, all of them busy."""
    for folder in set(stack.apps.iterdir()) - {stack.apps / NAME}:
        remove(folder)
    folders = [sample(stack.apps / f"busy{count}x{n}", "old", 0.3) for n in range(count)]
    wait_all_live(deploys, {folder.name: 0 for folder in folders})
    deploys.wait_named_state()
    name = folders[0].name
    with ExitStack() as crowds:
        mine = crowds.enter_context(clients(stack.port, f"/{name}/", get=2, small=2))
        others = [crowds.enter_context(clients(stack.port, f"/{one.name}/", get=1, small=1)) for one in folders[1:5]]
        time.sleep(1)
        took = [deploy(deploys, folders[0], f"new{n}") for n in range(3 if count == 5 else 1)]
        outcomes = [crowd.stop() for crowd in (mine, *others)]
    seen, late = outcomes[0].seen, []
    for n, (changed, live, steps) in enumerate(took):
        late.append(seen[f"new{n - 1}" if n else "old"][1] - changed)
        first = seen[f"new{n}"][0] - changed
        print(f"{count} apps: new after {first:.2f} s, last old {late[-1]:.2f} s, round over {live:.2f} s, {steps}")
    print(f"{sum(outcome.requests for outcome in outcomes)} requests")
    assert [line for outcome in outcomes for line in outcome.failures] == []
    if count == 5:
        load_s = statistics.median(steps["load"] for *_, steps in took)
        assert statistics.median(late) <= OLD_CODE_S * max(1, load_s / LOAD_S)


def deploy(deploys: Deploys, folder: Path, version: str) -> tuple[float, float, dict[str, float]]:
    """When it was changed, how long it took until it was live, and its steps."""
    before = deploys.number(folder.name)
    changed = change(folder, version)
    live = deploys.wait_live(folder.name, before, within_s=180) - changed
    return changed, live, deploys.last(folder.name)["steps"]


def remove(folder: Path) -> None:
    """As a user removes it: out of sight first."""
    gone = folder.rename(folder.parent.parent / f"removed-{folder.name}")
    assert gone.is_dir()
