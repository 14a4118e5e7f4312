"""`kill -9` of the only running worker of an address, whose app has started a long-lived child.

The address is asked without the front, from inside its container: the front would hide a refused connect. What was
being served at that moment is lost, and nobody can say whether it ran; everything else is answered.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from .engine import HERE, Stack, family, init_pid, inspect, wait_for
from .footprint import command_line
from .load_client import load

APPS = [HERE / "apps" / name for name in ("counting", "starts_a_child")]
ADDRESS = "8001"
CLIENT = (HERE / "direct_client.py").read_text()
CLIENTS = 8
BACK_S = 5.0  # a worker starts in about one second here

LOAD_S = [6, pytest.param(60, marks=pytest.mark.slow)]


@dataclass(frozen=True)
class Heard:
    """One request of the direct client."""

    method: str
    identity: str
    began: float
    ended: float
    outcome: str


@dataclass(frozen=True)
class Replica:
    """One replica, seen by the pids of this machine."""

    container: str

    @property
    def supervisord(self) -> tuple[int, str]:
        return one(self.processes, "supervisor.supervisord")

    @property
    def keepers(self) -> list[tuple[int, str]]:
        """The processes that hold the addresses' sockets: supervisord's children that do nothing else."""
        return [found for found in self.processes if found[1] == "sleep infinity"]

    @property
    def worker(self) -> tuple[int, str]:
        return one(self.processes, f"/{ADDRESS}.json")

    @property
    def processes(self) -> list[tuple[int, str]]:
        return described(family(init_pid(self.container)))

    def queued(self) -> int:
        """Connections to the address that nobody has accepted yet."""
        wanted = f":{int(ADDRESS):04X}"
        rows = [row.split() for row in Path(f"/proc/{init_pid(self.container)}/net/tcp").read_text().splitlines()[1:]]
        listening = [row for row in rows if row[1].endswith(wanted) and row[3] == "0A"]
        return int(listening[0][4].partition(":")[2], 16)

    @contextmanager
    def asked(self, prefix: str, seconds: float) -> Iterator[subprocess.Popen[str]]:
        """The direct client, running in the container."""
        arguments = [ADDRESS, "/counting/", prefix, str(CLIENTS), str(seconds)]
        command = ["docker", "exec", self.container, "python3", "-c", CLIENT, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            yield process


def described(pids: list[int]) -> list[tuple[int, str]]:
    return [(pid, command_line(pid)) for pid in pids]


def one(processes: list[tuple[int, str]], part: str) -> tuple[int, str]:
    found = [process for process in processes if part in process[1]]
    assert len(found) == 1, f"{part}: {found}"
    return found[0]


def heard(process: subprocess.Popen[str]) -> list[Heard]:
    printed, _ = process.communicate(timeout=120)
    return [Heard(*row) for row in json.loads(printed)]


def child_of(worker: int) -> int:
    return one(described(family(worker)), "sleep 3600")[0]


def is_dead(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def sockets_of(pid: int) -> list[str]:
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return [link for link in links if link.startswith("socket:")]


def executed(stack: Stack, prefix: str) -> Counter[str]:
    """How often each id ran that begins so, as the app tells."""
    return Counter(line for line in stack.get("/counting/ids").text.split() if line.startswith(prefix))


@pytest.fixture
def replica(stack: Stack) -> Iterator[Replica]:
    """The first replica, with a worker that is ready; supervisord and keepers must be the same after the test."""
    replica = Replica(stack.containers("appserver")[0])
    wait_for(lambda: serves(replica), "the address serves")
    before = (replica.supervisord, replica.keepers, inspect(replica.container)["RestartCount"])
    assert len(before[1]) == 2
    yield replica
    assert (replica.supervisord, replica.keepers, inspect(replica.container)["RestartCount"]) == before


def serves(replica: Replica) -> bool:
    with replica.asked("serves", 0) as process:
        return {request.outcome for request in heard(process)} == {"answered"}


def test_what_is_queued_at_a_killed_worker_runs_once_in_the_next(stack: Stack, replica: Replica) -> None:
    """The worker is stopped first, so that every POST is connected, sent and not accepted when it is killed."""
    worker, _ = replica.worker
    child = child_of(worker)
    os.kill(worker, signal.SIGSTOP)
    with replica.asked("queued", 0) as process:
        wait_for(lambda: replica.queued() >= CLIENTS, f"{CLIENTS} POSTs are queued")
        killed = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        requests = heard(process)
    assert Path(f"/proc/{child}").exists(), "the child of the app lives on"
    assert sockets_of(child) == [], "and has none of its worker's sockets"
    assert [request.outcome for request in requests] == ["answered"] * CLIENTS
    assert executed(stack, "queued") == {request.identity: 1 for request in requests}
    took = max(request.ended for request in requests) - killed
    print(f"{CLIENTS} queued POSTs were answered {took:.2f} s after the kill")
    assert took < BACK_S


@pytest.mark.parametrize("seconds", LOAD_S)
def test_under_load_a_killed_worker_refuses_nobody_and_is_back_soon(
    stack: Stack, replica: Replica, seconds: float
) -> None:
    prefix = f"direct{seconds}"
    with replica.asked(prefix, seconds) as process:
        time.sleep(2)  # load on the worker that is there now
        worker, _ = replica.worker
        killed = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: is_dead(worker), "the worker is dead")
        dead = time.monotonic()
        requests = heard(process)
    assert [request for request in requests if request.outcome == "refused"] == []
    lost = [request for request in requests if request.outcome != "answered"]
    assert [request for request in lost if request.began > dead] == []
    assert len(lost) <= CLIENTS, "what was being served"
    waited = [request for request in requests if request.began > killed and request.ended - request.began > 0.2]
    back = max(request.ended for request in waited) - killed
    print(f"{len(requests)} requests, {len(lost)} lost, {len(waited)} waited; back after {back:.2f} s")
    assert waited, "some came while no worker was there"
    assert back < BACK_S
    assert replica.worker[0] != worker
    ran = executed(stack, prefix)
    assert [r for r in requests if r.method == "POST" and r.outcome == "answered" and ran[r.identity] != 1] == []
    assert max(ran.values()) == 1


def test_through_the_front_a_killed_worker_fails_no_get_and_runs_no_post_twice(stack: Stack, replica: Replica) -> None:
    with load(stack.port, "/counting/", prefix="front", clients=CLIENTS, pause_s=0.005, seconds=60) as running:
        time.sleep(2)
        worker, _ = replica.worker
        os.kill(worker, signal.SIGKILL)
        time.sleep(3)
        outcome = running.stop()
    ran = executed(stack, "front")
    print(f"{outcome.requests} requests, lost: {outcome.failures}")
    assert [line for line in outcome.failures if not re.search(r"POST \S+: 502 ", line)] == []
    assert outcome.failed <= CLIENTS, "what was being served"
    assert [identity for identity in outcome.answered if ran[identity] != 1] == []
    assert max(ran.values()) == 1
