"""What a request costs in instructions does not grow with the number of apps beside the one that it is for.

Counted by callgrind, which is installed as a Debian package where it is missing: N requests and twice as many; what N
more have cost is theirs alone.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from worker_support import receive, serving

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("routing_driver.py")
BAR = 0.05
ROUTES = 200
REQUESTS = 500
WARM = 20  # of each app: until the interpreter has settled on how it executes each line
APPS = 200
ASKED = "app099"

# One that lets callgrind write down, by getpgrp(), what was executed since the last time.
APP = """
import os


def application(environ, start_response):
    if environ["PATH_INFO"] == "/mark":
        os.getpgrp()
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""


@pytest.fixture(autouse=True)
def _valgrind(monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([ROOT / ".ci" / "packages.sh", "valgrind:valgrind"], check=True, timeout=300)
    monkeypatch.setenv("PYTHONHASHSEED", "0")  # so that two runs meet the same collisions


def callgrind(folder: Path) -> list[str]:
    """A command that runs another, with its records in folder."""
    return ["valgrind", "-q", "--tool=callgrind", "--dump-before=getpgrp", f"--callgrind-out-file={folder / 'record'}"]


def stretches(folder: Path) -> list[int]:
    """The instructions between one mark and the next, as often as there are two."""
    found = {}
    for record in folder.glob("record.*"):
        text = record.read_text()
        if "--dump-before=getpgrp" in text.partition("\nfn=")[0]:
            found[_number("part", text)] = _number("totals", text)
    return [found[part] for part in sorted(found)][1:]


def _number(field: str, text: str) -> int:
    (value,) = re.findall(rf"^{field}: (\d+)", text, re.MULTILINE)
    return int(value)


def test_routing_takes_the_same_instructions_with_one_app_and_with_200(tmp_path: Path) -> None:
    command = [*callgrind(tmp_path), sys.executable, str(DRIVER), str(ROUTES)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr
    names, counted = run.stdout.splitlines(), stretches(tmp_path)
    assert len(counted) == 4 * len(names)
    beyond = []
    for name, once, twice, once_of_all, twice_of_all in zip(names, *(counted[n::4] for n in range(4)), strict=True):
        alone, beside = (twice - once) / ROUTES, (twice_of_all - once_of_all) / ROUTES
        told = f"{name}: {alone:,.0f} instructions alone, {beside:,.0f} with 200 apps, {beside / alone - 1:+.2%}"
        print(told)
        if abs(beside / alone - 1) > BAR:
            beyond.append(told)
    assert beyond == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_whole_request_takes_the_same_instructions_with_one_app_and_with_200(tmp_path: Path) -> None:
    names = [f"app{n:03}" for n in range(APPS)]
    alone = instructions_a_request(tmp_path / "alone", [ASKED], [ASKED])
    beside = instructions_a_request(tmp_path / "beside", names, [ASKED])
    in_turn = instructions_a_request(tmp_path / "in_turn", names, names)
    print(f"a request: {alone:,.0f} instructions alone, {beside / alone - 1:+.2%} beside {APPS - 1} other apps")
    print(f"{in_turn / alone - 1:+.2%} when all are asked in turn")
    assert abs(beside / alone - 1) <= BAR
    assert abs(in_turn / alone - 1) <= BAR


def instructions_a_request(folder: Path, names: list[str], asked: list[str]) -> float:
    """Of a worker that has the apps `names`, when those that are `asked` are asked in turn."""
    apps = {name: folder / name for name in names}
    for path in apps.values():
        path.mkdir(parents=True)
        (path / "app.py").write_text(APP)
    run = folder / "run"
    run.mkdir()
    with serving(run, apps, under=callgrind(folder)) as worker, worker.connect() as client:
        ask(client, asked, WARM * len(asked))
        for count in (REQUESTS, 2 * REQUESTS):
            ask(client, asked[:1], 1, "/mark")
            ask(client, asked, count)
        ask(client, asked[:1], 1, "/mark")
    once, twice = stretches(folder)
    return (twice - once) / REQUESTS


def ask(client: socket.socket, names: list[str], count: int, path: str = "/page") -> None:
    for number in range(count):
        name = names[number % len(names)]
        client.sendall(f"GET /{name}{path} HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n".encode())
        assert receive(client, b"\r\n\r\nhello").startswith(b"HTTP/1.1 200 ")
