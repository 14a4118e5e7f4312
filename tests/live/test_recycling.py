"""Workers that are replaced though nothing is wrong with what they serve, and the memory that one app may take."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from control_support import Load, Neighbour, Stack, descendants, drop, get, is_alive, stack, until

COUNTS = """
import os
import time

HERE = os.path.dirname(__file__)
time.sleep(0.5)
if os.path.exists("{away}"):
    raise OSError("the database is away")


def application(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        file = os.open(os.path.join(HERE, "data", "ids"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, environ["QUERY_STRING"].encode() + b"\\n")
        os.close(file)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"""
QUIET = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"quiet"]
"""
LEAKS = """
import os
import socket
import subprocess
import sys

import gevent

kept = []
CHILD = '''
try:
    print(len(b"x" * 300_000_000))
except MemoryError:
    print("none left")
'''


def much(megabytes):
    kept.append(b"x" * (megabytes * 10**6))


def little():
    kept.extend(bytes(500) for _ in range(20_000))


def child():
    return subprocess.run([sys.executable, "-c", CHILD], capture_output=True, check=True).stdout


def files():
    kept.extend(open(__file__) for _ in range(2))


def look_up():
    found = [gevent.spawn(socket.getaddrinfo, "localhost", number) for number in range(30)]
    return str(len([each.get() for each in found])).encode()


WAYS = {"/1": lambda: much(1), "/10": lambda: much(10), "/50": lambda: much(50)}
WAYS |= {"/files": files, "/little": little, "/child": child, "/names": look_up}


def application(environ, start_response):
    told = WAYS.get(environ["PATH_INFO"], lambda: None)()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [told or str(os.getpid()).encode()]
"""
SERVER = """
import http.server
import socket
import sys


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def address_string(self):
        return "a unix socket"


server = http.server.ThreadingHTTPServer(("", 0), Answer, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.serve_forever()
"""


def said(here: Stack) -> list[dict[str, Any]]:
    """What the deployer has done, one line each."""
    log = here.state / "logs" / "here" / "deployer.log"
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] in ("Start", "Activate", "Drain", "Stop", "Reject", "Blame")]


def recycled(here: Stack, since: int = 0) -> list[dict[str, Any]]:
    """The starts of workers that are to take over from worn ones."""
    return [line for line in said(here)[since:] if line["message"] == "Start" and line.get("worn")]


def process_of(here: Stack, group: str, slot: str) -> int:
    """The worker in a slot, if there is one; else 0."""
    for pid in descendants(here.supervisord):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if is_alive(pid) else []
        if any(word.endswith(f"/{group}.json".encode()) for word in line) and slot.encode() in line:
            return pid
    return 0


def one_of(here: Stack, start: dict[str, Any], *messages: str) -> dict[str, Any]:
    """What was done next at the address of this start; {} for nothing yet."""
    lines = said(here)
    after = lines[lines.index(start) + 1 :]
    found = (line for line in after if line["address"] == start["address"] and line["message"] in messages)
    return next(found, {})


def next_start(here: Stack, since: int) -> dict[str, Any]:
    until(lambda: recycled(here, since), 30, "one more worker is worn")
    return recycled(here, since)[0]


def test_under_load_workers_take_turns_and_nothing_is_lost_nor_done_twice() -> None:
    given = {"HEDGEROW_WORKER_REQUESTS": "100", "HEDGEROW_WORKER_REST_S": "1"}
    with stack(workers=2, **given) as here:
        away = here.base / "away"
        drop(here.apps, "counts", COUNTS.format(away=away))
        drop(here.apps, "counts", 'data = ["data"]\n', "app.toml")
        (here.apps / "counts" / "data").mkdir()
        here.up()
        until(lambda: get(here.port, "/counts/")[0] == 200, 40, "it is up")
        with Load(here.port, "/counts/").running() as load:
            until(lambda: len({line["address"] for line in recycled(here)}) == 2, 30, "both addresses have turned")
            until(lambda: said(here)[-1]["message"] == "Drain", 20, "and each by itself")

            start = next_start(here, len(said(here)))
            until(lambda: process_of(here, start["address"], start["slot"]), 10, "the new one is there")
            os.kill(process_of(here, start["address"], start["slot"]), signal.SIGKILL)
            until(lambda: one_of(here, start, "Activate"), 20, "another one takes over")

            away.touch()
            start = next_start(here, len(said(here)))
            until(lambda: one_of(here, start, "Activate", "Stop"), 20, "something comes of it")
            assert one_of(here, start, "Activate", "Stop")["message"] == "Stop", "it is not as good as the old one"
            time.sleep(0.5)
        print(f"{load.count} requests, {len(recycled(here))} workers took over from worn ones")
        assert load.failed == []
        ids = (here.state / "data" / "counts" / "data" / "ids").read_text().split()
        assert sorted(ids) == sorted(load.sent), "each POST once"
        assert {line["worn"] for line in recycled(here)} == {"requests"}
        assert {"Reject", "Blame"}.isdisjoint(line["message"] for line in said(here))
        starts = recycled(here)
        ends = [one_of(here, start, "Activate", "Stop") for start in starts]
        for end, start in zip(ends, starts[1:], strict=False):
            late = datetime.fromisoformat(start["time"]) - datetime.fromisoformat(end["time"])
            assert late.total_seconds() > -0.05, "one address at a time; the next one in the round that ends the last"


def test_who_leaks_descriptors_is_away_before_there_are_none() -> None:
    """The worker may have 120; it is worn at four fifths."""
    with stack(workers=1, HEDGEROW_WORKER_REST_S="1") as here:
        drop(here.apps, "leaks", LEAKS)
        drop(here.apps, "quiet", QUIET)
        here.up()
        until(lambda: all(get(here.port, f"/{name}/")[0] == 200 for name in ("leaks", "quiet")), 40, "both are up")
        resource.prlimit(here.worker(), resource.RLIMIT_NOFILE, (120, 120))
        with Neighbour(lambda: get(here.port, "/quiet/"), (200, b"quiet"), threads=2) as quiet:

            def leak() -> bool:
                time.sleep(0.2)  # a look at the worker comes every 2 s
                return get(here.port, "/leaks/files", timeout_s=20)[0] != 200 or bool(recycled(here))

            until(leak, 40, "the worker is worn")
            until(lambda: said(here)[-1]["message"] == "Drain", 20, "and another has taken over")
        assert quiet.wrong == []
        assert [line["worn"] for line in recycled(here)] == ["descriptors"]


@pytest.mark.parametrize(
    ("growth_mb", "path", "count"), [(60, "/10", 20), pytest.param(512, "/50", 20, marks=pytest.mark.slow)]
)
def test_a_neighbour_that_leaks_is_away_with_its_worker_and_the_quiet_app_feels_nothing(
    growth_mb: int, path: str, count: int
) -> None:
    with stack(workers=2, HEDGEROW_WORKER_GROWTH_MB=str(growth_mb), HEDGEROW_WORKER_REST_S="1") as here:
        drop(here.apps, "leaks", LEAKS)
        drop(here.apps, "quiet", QUIET)
        here.up()
        until(lambda: all(get(here.port, f"/{name}/")[0] == 200 for name in ("leaks", "quiet")), 40, "both are up")
        first = int(get(here.port, "/leaks/")[1])
        time.sleep(3.5)  # until all have rested, and have been looked at
        with Neighbour(lambda: get(here.port, "/quiet/"), (200, b"quiet"), threads=4) as quiet:
            asked = [get(here.port, f"/leaks{path}", timeout_s=20) for _ in range(count)]
            until(lambda: recycled(here), 20, "a worker is worn")
            start = recycled(here)[0]
            old = process_of(here, start["address"], "a")
            until(lambda: not is_alive(old), 40, "it has gone")
        print(f"{count} times {path[1:]} MB: the neighbour waited {1000 * quiet.longest:.0f} ms at most")
        assert first
        assert [status for status, _ in asked] == [200] * count
        assert quiet.wrong == []
        assert quiet.longest < 1
        assert start["worn"] == "memory"
        [group] = [one for one in here.status()["replicas"][0]["addresses"] if one["address"] == start["address"]]
        assert group["slots"][group["active"]]["replaced"] == "memory"
        assert "memory" in here.run("status").stdout


def points(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_an_own_pool_has_the_memory_that_its_manifest_says_and_no_more() -> None:
    with stack(workers=1, HEDGEROW_WORKER_REST_S="1") as here:
        drop(here.apps, "leaks", LEAKS)
        drop(here.apps, "leaks", "limits.memory_mb = 100\n", "app.toml")
        drop(here.apps, "server", SERVER, "server.py")
        drop(here.apps, "server", 'run = "python3 server.py {fd}"\nlimits.memory_mb = 200\n', "app.toml")
        drop(here.apps, "large", "kept = bytearray(200_000_000)\n" + QUIET)
        drop(here.apps, "large", "limits.memory_mb = 64\n", "app.toml")
        drop(here.apps, "quiet", QUIET)
        here.up()
        names = ("leaks", "server", "quiet")
        until(lambda: all(get(here.port, f"/{name}/")[0] == 200 for name in names), 40, "all are up")
        told = {app["name"]: app for app in here.status()["apps"]}
        assert told["leaks"]["reason"].startswith("leaks: its app.toml says limits.memory_mb")
        assert (
            "large/app.toml: limits.memory_mb = 64 is too little to load it: large/app.py line 1: MemoryError"
            in (told["large"]["error"])
        )

        groups = here.status()["replicas"][0]
        pools = {group["apps"][0]: group["slots"][group["active"]]["pid"] for group in groups["pools"]}
        base = points(here.supervisord)
        shared = here.worker()
        ours = {pid: points(pid) - base for pid in descendants(here.supervisord)}
        [server] = descendants(pools["server"])
        assert [ours.pop(pid) for pid in (shared, pools["leaks"], server)] == [200, 400, 400]
        assert set(ours.values()) == {0}, "deployer, keepers, nginx"
        limits = Path(f"/proc/{server}/limits").read_text()
        assert str(200 * 10**6 // 1024 * 1024) in next(line for line in limits.splitlines() if "data" in line)

        with Neighbour(lambda: get(here.port, "/quiet/"), (200, b"quiet")) as quiet:
            assert get(here.port, "/leaks/names") == (200, b"30"), "the threads that look up names take none of it"
            assert get(here.port, "/leaks/50")[0] == 200
            assert get(here.port, "/leaks/50")[0] == 500, "there is no more"
            assert get(here.port, "/leaks/") == (200, str(pools["leaks"]).encode()), "and nothing else has happened"
            assert get(here.port, "/leaks/child") == (200, b"none left\n")
            answers = [get(here.port, "/leaks/little", timeout_s=20)[0] for _ in range(10)]
            assert set(answers) <= {200, 500, 502, 503}, "nobody waits for ever"
            until(lambda: get(here.port, "/leaks/50")[0] == 200, 20, "another one has taken over")
            assert get(here.port, "/leaks/")[1] != str(pools["leaks"]).encode()
        assert quiet.wrong == []
