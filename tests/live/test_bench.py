"""The benchmark tells the truth: its clock, its client, its ratios; and one short run of ours and one peer."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from control_support import until

ROOT = Path(__file__).parents[2]
sys.path[1:1] = [str(ROOT / "tests" / "bench"), str(ROOT / "tests" / "peers")]

import noisy  # noqa: E402
import rounds  # noqa: E402
import servers  # noqa: E402
import tables  # noqa: E402
from load import LoadError, Shape, load  # noqa: E402
from meter import tree_cpu_s  # noqa: E402

BURN_S = 0.15
BURNER = f"""
import os, sys, threading, time

def burn():
    begin = time.thread_time()
    while time.thread_time() - begin < {BURN_S}:
        pass

def forked(then):
    pid = os.fork()
    if pid == 0:
        burn()
        then()
        os._exit(0)
    return pid

print("idle", flush=True)
sys.stdin.readline()
thread = threading.Thread(target=burn)
thread.start()
thread.join()
os.waitpid(forked(lambda: None), 0)
burnt, told = os.pipe()
forked(lambda: (os.write(told, b"."), sys.stdin.readline()))
os.read(burnt, 1)
print("burnt", flush=True)
sys.stdin.readline()
"""


def test_the_meter_counts_an_ended_thread_an_ended_child_and_a_living_one() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BURNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "idle\n"
        before = tree_cpu_s(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "burnt\n"
        burnt = tree_cpu_s(process.pid) - before
    assert burnt == pytest.approx(3 * BURN_S, rel=0.1)


@contextmanager
def answering(answer: Callable[[int, socket.socket], None]) -> Iterator[tuple[str, int]]:
    """A server of one connection at a time. answer: given the number of the request and the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            number = 0
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, suppress(OSError):  # the load may have ended
                    while client.recv(65_536):
                        number += 1
                        answer(number, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive()


def hello(number: int, client: socket.socket, body: bytes = b"hello", more: str = "") -> None:
    client.sendall(f"HTTP/1.1 200 OK\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def test_the_client_counts_every_answer() -> None:
    asked = []

    def answer(number: int, client: socket.socket) -> None:
        asked.append(number)
        hello(number, client)

    with answering(answer) as address, load(address, Shape("one", connections=1)) as running:
        running.run(0.2)
        answers = running.answers
    assert len(asked) - 2 <= answers <= len(asked) - 1  # the first answer is not of the load; the last may be under way
    assert running.reopened == 0
    assert answers > 100


def test_the_client_opens_again_what_a_server_closes_after_each_answer() -> None:
    def answer(number: int, client: socket.socket) -> None:
        hello(number, client, more="Connection: close\r\n")
        client.shutdown(socket.SHUT_WR)

    with answering(answer) as address, load(address, Shape("closed", connections=1)) as running:
        running.run(0.2)
        assert running.reopened > 10
        assert running.answers - running.reopened in (0, 1)  # 1: the time was over between an answer and its close


def test_a_status_that_is_not_200_is_no_answer() -> None:
    def answer(number: int, client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")

    with answering(answer) as address, pytest.raises(LoadError, match="503"), load(address, Shape("refused")):
        pass


def test_answers_that_grow_are_an_error() -> None:
    def answer(number: int, client: socket.socket) -> None:
        hello(number, client, b"x" * (10 if number < 20 else 300))

    with (
        answering(answer) as address,
        load(address, Shape("growing", connections=1)) as running,
        pytest.raises(LoadError, match="were not"),
    ):
        running.run(0.2)


def test_an_answer_that_is_cut_off_is_an_error() -> None:
    def answer(number: int, client: socket.socket) -> None:
        if number < 3:
            hello(number, client, b"x" * 200)
        else:
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nxxx")
            client.shutdown(socket.SHUT_WR)

    with (
        answering(answer) as address,
        load(address, Shape("cut", connections=1)) as running,
        pytest.raises(LoadError, match="closed a connection after"),
    ):
        running.run(1)


def test_who_asks_a_quiet_app_counts_each_wait_from_when_it_was_to_ask() -> None:
    def answer(number: int, client: socket.socket) -> None:
        if number == 10:
            time.sleep(0.3)
        hello(number, client, b"quiet" if number < 60 else b"other")

    with answering(answer) as (_, port):
        asker, end = noisy.Asker(port, every_s=0.01), threading.Event()
        thread = threading.Thread(target=asker.ask_until, args=(end,))
        thread.start()
        until(lambda: len(asker.asked) > 60, 10, "it has asked so often")
        end.set()
        thread.join()
    late = [one.waited_s for one in asker.asked if one.waited_s > 0.1]
    assert max(late) >= 0.3
    assert len(late) > 10, "those that were due while one waited"
    assert [one.fine for one in asker.asked[:60]] == [True] * 59 + [False]


def test_the_bar_of_a_quiet_app_is_a_share_or_some_milliseconds() -> None:
    beside = noisy.Beside("a crowd", [1.0, 2.0, 90.0], [6.9, 7.1, 6.8])
    assert (beside.verdict.figure, beside.verdict.bar, beside.verdict.is_met) == (6.9, 7.0, True)
    assert noisy.Beside("a crowd", [20.0], [30.0]).verdict.bar == 30.0


def sample(cpu_us: float, per_s: float = 1.0) -> rounds.Sample:
    return rounds.Sample(cpu_us, per_s, 100, False)


def test_a_ratio_is_the_median_of_the_ratios_of_neighbours() -> None:
    figures = rounds.Figures(Shape("small"))
    for ours, theirs in ((10, 10), (30, 20), (100, 50)):  # a machine that gets slower: 1, 1.5, 2
        figures.add("ours", sample(ours))
        figures.add("theirs", sample(theirs))
    (verdict,) = rounds.bars(figures, "ours", {"theirs": 1.5, "not measured": 1.0})
    assert (verdict.figure, verdict.is_met) == (1.5, True)
    (verdict,) = rounds.bars(figures, "ours", {"theirs": 1.4})
    assert not verdict.is_met


def test_the_best_peer_is_found_for_cpu_and_throughput_apart() -> None:
    figures = rounds.Figures(Shape("large"))
    figures.add("ours", sample(11, 80))
    figures.add("thrifty", sample(10, 50))
    figures.add("fast", sample(30, 100))
    cpu, speed = rounds.bars_of_best(figures, "ours", 0.9)
    assert (cpu.text, cpu.is_met) == ("large: CPU against the best, thrifty", True)
    assert (speed.text, speed.is_met) == ("large: throughput against the best, fast", False)


def test_tables_are_written_between_their_markers_only(tmp_path: Path) -> None:
    document = tmp_path / "doc.md"
    document.write_text("before\n<!-- one -->\nold\n<!-- /one -->\nafter\n")
    tables.write(document, {"one": "new"})
    assert document.read_text() == "before\n<!-- one -->\nnew\n<!-- /one -->\nafter\n"
    with pytest.raises(SystemExit, match="no place for the part two"):
        tables.write(document, {"two": "new"})


def test_the_document_has_a_place_for_every_part() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    for part in ("setup", "small", "front", "bodies", "density", "noisy", "bars", "about"):
        assert len(re.findall(f"<!-- /?{part} -->", text)) == 2, part


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    launch = servers.Launch(Path(sys.executable), "missing:application", tmp_path, tmp_path / "work")
    with (
        pytest.raises(RuntimeError, match="No module named 'missing'"),
        servers.serving(servers.GUNICORN_GEVENT, launch),
    ):
        pass


def test_a_short_run_prints_ours_beside_a_peer_directly_and_behind_nginx() -> None:
    command = [sys.executable, "tests/bench/run.py", "--only", "small,front", "--rounds", "1", "--seconds", "0.1"]
    command += ["--peers", "gunicorn-gevent", "--peers-python", sys.executable]
    run = subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=60, check=False)
    rows = [line.split(" | ") for line in run.stdout.splitlines() if re.match(r"\| (hedgerow|gunicorn|floor)", line)]
    assert sorted(row[0].strip("| ") for row in rows) == [
        "floor: nginx", "gunicorn gevent", "gunicorn gevent", "hedgerow", "hedgerow",
    ], run.stderr  # fmt: skip
    assert all(float(row[1]) > 1 for row in rows)
    (ratio,) = re.findall(r"CPU against gunicorn gevent \| ([0-9.]+)", run.stdout)
    assert 0 < float(ratio) < 1
    assert run.returncode == ("**missed**" in run.stdout)


def test_a_short_run_prints_the_parts_of_the_way_through_the_front() -> None:
    command = [sys.executable, "tests/bench/front_hop.py", "--rounds", "1", "--seconds", "0.1"]
    run = subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=60, check=False)
    figures = [[float(figure) for figure in re.findall(r"\d+\.\d", line)[:4]] for line in run.stdout.splitlines()]
    assert len(figures) == 2, run.stderr
    assert all(len(line) == 4 and min(line) > 1 for line in figures), run.stdout
