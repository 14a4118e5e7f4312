"""What environments of well-known packages take in time and disk, from the index that uv finds; by hand, not in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from environment_support import Site, index_of, wheel

from hedgerow.config import Settings
from hedgerow.control import attempts
from hedgerow.control.child import Clock
from hedgerow.control.environments import base, builds, interpreters, resolution
from hedgerow.control.environments.interpreters import Interpreter
from hedgerow.control.environments.lock import Lock
from hedgerow.control.environments.requirements import Requirements, wanted
from hedgerow.control.environments.uv import Uv
from hedgerow.control.process import interpreter
from hedgerow.errors import UserError

pytestmark = pytest.mark.slow
SETS = {"Flask 2.2": "flask<2.3\nwerkzeug<3\n", "Django 5.2": "django==5.2\n", "pandas": "flask\npandas\n"}


def disk_kb(*places: Path) -> int:
    """What they take together; a file with two names counts once."""
    told = subprocess.run(["du", "-skc", *places], capture_output=True, text=True, check=True).stdout
    return int(told.splitlines()[-1].split()[0])


def asked(root: Path, text: str) -> Requirements:
    root.mkdir()
    (root / "requirements.txt").write_text(text)
    found = wanted(root.name, root)
    assert found is not None
    return found


def pythons() -> list[Interpreter]:
    """Each line of Python of this machine once: those on PATH, and those that pyenv keeps beside it."""
    path = os.pathsep.join([os.environ["PATH"], *map(str, Path.home().glob(".pyenv/versions/3.*/bin"))])
    settings = Settings.from_env({})
    found = Uv(settings, Clock(60.0, threading.Event()), {**os.environ, "PATH": path}).interpreters()
    lines = {one.numbers[:2]: one for one in found if one.numbers >= interpreters.OLDEST}
    return [*(one for one in lines.values() if one.numbers[:2] != interpreters.running().numbers[:2])]


def test_time_and_disk_of_environments(tmp_path: Path) -> None:
    settings = Settings.from_env({}, state=tmp_path / "state", run=tmp_path / "run")
    settings.state.mkdir()
    home, cache = settings.state / "environments", settings.state / "cache"

    def uv() -> Uv:
        return Uv(settings, Clock(600.0, threading.Event()))

    for number, (name, text) in enumerate(SETS.items()):
        app = asked(tmp_path / f"app{number}", text)
        for which in ("first", "again, from the cache"):
            began = time.monotonic()
            found = resolution.own(uv(), app, interpreters.running())
            resolved = time.monotonic()
            made = builds.build(uv(), builds.own(found, interpreters.running()), app)
            built = time.monotonic()
            new_kb = disk_kb(cache, home / made) - disk_kb(cache)
            print(
                f"{name}, {which}: {len(found.packages)} packages, resolved in {resolved - began:.2f} s, "
                f"built in {built - resolved:.2f} s, {disk_kb(home / made) / 1024:.1f} MB, of which "
                f"{new_kb / 1024:.1f} MB are not shared with the cache of {disk_kb(cache) / 1024:.1f} MB"
            )
            subprocess.run([interpreter(settings.state, made), "-P", "-c", "import gevent"], check=True)
            if which == "first":
                shutil.rmtree(home / made)


def test_another_python_runs_a_worker(tmp_path: Path) -> None:
    settings = Settings.from_env({}, state=tmp_path / "state", run=tmp_path / "run")
    settings.state.mkdir()
    app = asked(tmp_path / "blog", "flask\n")
    others = pythons()
    print(f"beside {interpreters.running().version} there are {[one.version for one in others]}")
    for one in others or [interpreters.running()]:
        uv = Uv(settings, Clock(600.0, threading.Event()))
        made = builds.build(uv, builds.own(resolution.own(uv, app, one), one), app)
        code = "import gevent.monkey; gevent.monkey.patch_all(); import hedgerow.worker.start, flask, sys"
        command = [interpreter(settings.state, made), "-P", "-c", f"{code}; print(sys.version)"]
        told = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
        assert told.stdout.startswith(one.version)


def made(site: Site, app: Requirements) -> str:
    found = resolution.shared(site.uv(), app, base.Overlay())
    assert isinstance(found, Lock)
    return builds.build(site.uv(), builds.shared(found), app)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_the_machines_fault_and_leaves_nothing(tmp_path: Path, small_disk: Path) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    wheel(folder, "large", "1.0", files={f"large/data_{n}.txt": os.urandom(50_000).hex() for n in range(30)})
    with index_of(folder) as index:
        site = Site(small_disk, index)
        app = site.app("blog", "large\n")
        with pytest.raises(UserError) as told:
            made(site, app)
        print(told.value)
        assert "No space left on device" in str(told.value)
        assert attempts._is_the_machine(told.value)
        assert [name for name in site.names if not name.startswith(base.STAND_INS)] == []
