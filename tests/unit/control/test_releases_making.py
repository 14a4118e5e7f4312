"""Making a release when things go wrong, and how long it takes: nothing half-made gets a name or stays behind."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hedgerow.control import durable, releases, tree
from hedgerow.errors import LoadError, UserError
from hedgerow.hosting.discovery import find_entry
from hedgerow.hosting.manifest import Manifest

NOBODY = 65534


def left_behind(state: Path) -> list[Path]:
    """Everything of releases and data but what a whole release has."""
    return [*state.glob("releases/*/.*"), *state.glob("data/*/.*")]


def test_a_name_is_given_when_all_is_on_the_disk_and_is_on_the_disk_then(
    folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "words").touch()
    told = []
    sync_tree, sync_folder = durable.sync_tree, durable.sync_folder

    def names() -> set[str]:
        return {str(path.relative_to(state)) for path in state.glob("*/blog/[!.]*")}

    def whole(root: Path) -> None:
        told.append((root.name[:6], names(), {path.name for path in root.rglob("*") if not path.is_dir()}))
        sync_tree(root)

    def one(place: Path) -> None:
        told.append((place.parent.name, names(), set()))
        sync_folder(place)

    monkeypatch.setattr(durable, "sync_tree", whole)
    monkeypatch.setattr(durable, "sync_folder", one)
    root = f"releases/blog/{releases.make(folder, state).root.name}"
    data = {"data/blog/data", "data/blog/instance", "data/blog/media"}
    pyc = f"app.{sys.implementation.cache_tag}.pyc"
    assert told == [
        (".seed-", set(), {"words"}),
        ("data", {"data/blog/data"}, set()),
        (".makin", data, {"app.py", pyc, "db.sqlite3"}),  # a link that leads nowhere yet
        ("releases", data | {root}, set()),
    ]
    told.clear()
    releases.make(folder, state)
    assert told == []


def test_a_disk_that_fails_is_one_sentence(folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        syncfs = staticmethod(lambda descriptor, close=durable._libc.close: close(-1))  # fails, and sets errno

    monkeypatch.setattr(durable, "_libc", Libc)
    with pytest.raises(UserError, match=rf"^{state}: Bad file descriptor$"):
        releases.make(folder, state)
    assert list(state.glob("releases/blog/*")) == []


MAKER = """
import sys
from pathlib import Path
from hedgerow.control import releases
folder, state, start = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for number in range(start, start + 1000):
    (folder / "app.py").write_text(f"application = {number}\\n")
    releases.make(folder, state)
    print(number, flush=True)
"""


def test_a_maker_that_is_killed_leaves_nothing_that_looks_whole_and_is_not(folder: Path, state: Path) -> None:
    dice = random.Random(4)
    for number in range(40):
        (folder / f"m{number}.py").write_text(f"X = {number}\n")
    environ = os.environ | {"PYTHONPATH": str(Path(releases.__file__).parents[2])}
    for start in range(0, 6000, 1000):
        command = [sys.executable, "-c", MAKER, str(folder), str(state), str(start)]
        maker = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE)
        assert maker.stdout is not None
        assert maker.stdout.readline()
        time.sleep(dice.uniform(0.0, 0.15))  # any moment will do
        maker.kill()
        maker.communicate()
        assert maker.returncode == -signal.SIGKILL
    whole = list(state.glob("releases/blog/[!.]*"))
    assert len(whole) >= 6
    names = releases.data_names(folder)
    for root in whole:
        assert tree.digest(root / "blog", names) == root.name
        assert len(list(root.rglob("*.pyc"))) == 41
    old = time.time() + 2 * releases.KEPT_S
    releases.prune(state, [], old)
    assert left_behind(state) == []


@contextlib.contextmanager
def not_root() -> Iterator[None]:
    """Root may read everything."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


@pytest.mark.parametrize("place", ["secret.key", "locked/", "data/secret.db", ".hedgerowignore"])
def test_what_may_not_be_read_is_named(place: str) -> None:
    with tempfile.TemporaryDirectory() as top:  # pytest's own is closed to others
        os.chmod(top, 0o777)  # noqa: S103
        folder, state = Path(top, "apps", "blog"), Path(top, "state")
        path = folder / place
        with not_root():
            path.parent.mkdir(parents=True)
            path.mkdir() if place.endswith("/") else path.touch()
            path.chmod(0)
            with pytest.raises(UserError, match=rf"^{path}: Permission denied$"):
                releases.make(folder, state)
            path.chmod(0o700)
        assert left_behind(state) == []
        assert list(state.glob("releases/blog/*")) == []


def writes(folder: Path, how: str, stop: threading.Event) -> None:
    while not stop.is_set():
        with open(folder / "static" / "now", "ab") as file:
            file.write(b"x" * 4096)
        if how == "vanishes":
            (folder / "static" / "now").unlink()
        stop.wait(0.001)


@pytest.mark.parametrize("how", ["vanishes", "grows"])
def test_a_file_that_vanishes_or_grows_at_any_moment_is_one_sentence(folder: Path, state: Path, how: str) -> None:
    (folder / "static").mkdir()
    for number in range(50):
        (folder / "static" / f"f{number}").write_text("x")
    stop = threading.Event()
    writer = threading.Thread(target=writes, args=(folder, how, stop))
    writer.start()
    made, refused = set(), []
    try:
        for _ in range(6):
            try:
                made.add(releases.make(folder, state))
            except UserError as error:
                refused.append(str(error))
    finally:
        stop.set()
        writer.join()
    assert set(refused) <= {f"{folder} changes while it is copied; it is taken when it holds still"}
    for release in made:
        assert tree.digest(release.code, releases.data_names(folder)) == release.root.name
    assert set(state.glob("releases/blog/*")) == {release.root for release in made}
    assert left_behind(state) == []
    releases.make(folder, state)


def test_a_file_that_grows_after_each_look_is_one_sentence(
    folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = tree.digest

    def grows_after_the_look(place: Path, names: frozenset[str]) -> str:
        found = look(place, names)
        with open(folder / "access.log", "a") as file:
            file.write("a line\n")
        return found

    (folder / "access.log").touch()
    monkeypatch.setattr(tree, "digest", grows_after_the_look)
    with pytest.raises(UserError, match=rf"^{folder} changes while it is copied; it is taken when it holds still$"):
        releases.make(folder, state)
    assert list(state.glob("releases/blog/*")) == []
    assert left_behind(state) == []
    (folder / ".hedgerowignore").write_text("*.log\n")
    assert not (releases.make(folder, state).code / "access.log").exists()


def test_a_file_is_not_followed_while_it_grows(folder: Path) -> None:
    path = folder / "log"
    path.write_bytes(b"x" * (3 * tree.PIECE + 5))
    size = 0
    for piece in tree.pieces(str(path)):
        size += len(piece)
        with open(path, "ab") as file:
            file.write(piece * 2)
    assert size == 3 * tree.PIECE + 5


def test_a_file_that_vanishes_once_is_no_trouble(folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "going.txt").touch()
    look = tree.digest

    def goes_after_the_look(place: Path, names: frozenset[str]) -> str:
        found = look(place, names)
        (folder / "going.txt").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(tree, "digest", goes_after_the_look)
    code = releases.make(folder, state).code
    assert not (code / "going.txt").exists()
    assert left_behind(state) == []


def test_a_folder_without_an_entry_is_a_release_whose_loading_tells(folder: Path, state: Path) -> None:
    (folder / "app.py").unlink()
    code = releases.make(folder, state).code
    with pytest.raises(LoadError, match=r"^blog: no entry; looked for app\.py, "):
        find_entry(code, Manifest())


def makes_many(folder: Path, state: Path, count: int) -> None:
    for number in range(count - 1):
        path = folder / f"part{number // 100}" / f"f{number}.{'py' if number % 5 == 0 else 'txt'}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"LINES = {number}\n" * 100)
    began = time.monotonic()
    release = releases.make(folder, state)
    took = time.monotonic() - began
    began = time.monotonic()
    assert releases.make(folder, state) == release
    again = time.monotonic() - began
    began = time.monotonic()
    releases.scan(folder)
    print(f"{count} files: {took:.2f} s made, {again:.2f} s found, {time.monotonic() - began:.2f} s looked at")
    assert sum(1 for path in release.code.rglob("*.*") if path.suffix in (".py", ".txt")) == count
    assert took < count / 200


def test_a_thousand_files(folder: Path, state: Path) -> None:
    makes_many(folder, state, 1_000)


@pytest.mark.slow
def test_ten_thousand_files(folder: Path, state: Path) -> None:
    makes_many(folder, state, 10_000)
