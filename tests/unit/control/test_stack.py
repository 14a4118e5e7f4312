"""The locks of a stack, with real files and processes."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hedgerow.config import Settings
from hedgerow.control import stack
from hedgerow.errors import UserError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    return made


def test_a_state_is_held_once_whatever_the_run_folder(tmp_path: Path, run: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    first, second = stack.Hold(tmp_path), stack.Hold(tmp_path)
    assert not second.is_held
    assert first.take(run)
    assert second.is_held
    assert not second.take(other)
    assert second.holder is not None
    (run / "supervisord.pid").write_text("123\n")
    assert second.supervisord == 123


def test_a_run_folder_serves_one_state_at_a_time(tmp_path: Path, run: Path) -> None:
    states = [tmp_path / "one", tmp_path / "two"]
    for state in states:
        state.mkdir()
    first, second = map(stack.Hold, states)
    assert first.take(run)
    with pytest.raises(UserError, match="stack of another state"):
        second.take(run)


def test_the_lock_lives_as_long_as_a_child_that_has_it(tmp_path: Path, run: Path) -> None:
    text = (
        "import subprocess, sys; from pathlib import Path; from hedgerow.control.stack import Hold\n"
        "hold = Hold(Path(sys.argv[1])); assert hold.take(Path(sys.argv[2]))\n"
        "print(subprocess.Popen(['cat'], pass_fds=hold.fds, stdout=subprocess.DEVNULL).pid, flush=True)"
    )
    command = [sys.executable, "-c", text, str(tmp_path), str(run)]
    taker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert taker.stdin
    assert taker.stdout
    with taker.stdin, taker.stdout:
        assert int(taker.stdout.readline()) > 0
        assert taker.wait(10) == 0
        hold = stack.Hold(tmp_path)
        assert hold.is_held
        assert hold.holder is None  # it is gone, its child has the lock
    end = time.monotonic() + 5
    while hold.is_held and time.monotonic() < end:
        time.sleep(0.01)
    assert hold.take(run)


def test_one_start_at_a_time_chooses_ports(tmp_path: Path) -> None:
    first, second = stack.PortsHold(tmp_path), stack.PortsHold(tmp_path)
    first.take()
    with pytest.raises(UserError, match="does not get on"):
        second.take(patience_s=0.2)
    first.give()
    first.give()
    second.take(patience_s=0.2)
    second.give()


def test_a_port_that_somebody_else_was_quicker_to_take_is_named(tmp_path: Path, run: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        apps = tmp_path / "apps"
        apps.mkdir()
        settings = Settings(apps=apps, state=tmp_path, run=run, workers=1, first_address=port, replica="r1")
        hold = stack.Hold(tmp_path)
        assert hold.take(run)
        started = stack.Stack(settings, stack.prepare(settings), hold)
        try:
            end = time.monotonic() + 20
            while started.is_running and time.monotonic() < end:
                time.sleep(0.05)
            assert not started.is_running
            assert not started.listens
            assert started.lost_ports() == [port]
        finally:
            started.kill()
            started.wait()
    assert "Address already in use" in (tmp_path / "logs" / "r1" / "supervisord.log").read_text()
