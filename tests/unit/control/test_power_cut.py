"""A power cut: a file system is stopped without a flush, mounted again, and looked at. Needs root and ext4."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hedgerow.control import durable, releases, tree

EXT4_IOC_SHUTDOWN = 0x8004587D
WITHOUT_A_FLUSH = struct.pack("I", 2)
JOURNAL_S = 7.0  # the kernel writes names every 5 s by itself, and content later


class Disk:
    def __init__(self, image: Path, place: Path) -> None:
        self.image, self.place = image, place

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self.image, self.place], check=True)

    def umount(self) -> None:
        subprocess.run(["umount", self.place], check=True)

    def cut(self) -> None:
        descriptor = os.open(self.place, os.O_RDONLY)
        fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, WITHOUT_A_FLUSH)
        os.close(descriptor)
        self.umount()
        self.mount()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(100 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    found = Disk(image, place)
    found.mount()
    yield found
    found.umount()


@pytest.mark.slow
@pytest.mark.parametrize("synced", [True, False])
def test_after_a_power_cut_a_name_that_is_there_stands_for_all_of_it(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, synced: bool
) -> None:
    """Without the calls of durable.py the same names stand for empty files; this shows that the cut is one."""
    if not synced:
        monkeypatch.setattr(durable, "sync_tree", lambda root: None)
        monkeypatch.setattr(durable, "sync_folder", lambda folder: None)
    folder, state = tmp_path / "blog", disk.place / "state"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "words").write_text("seed" * 1000)
    for number in range(100):
        (folder / f"m{number}.py").write_text(f"X = {number}\n" * 50)
    release = releases.make(folder, state)
    if not synced:
        time.sleep(JOURNAL_S)
    disk.cut()
    assert release.root.exists()
    whole = tree.digest(release.code, releases.data_names(folder)) == release.root.name
    pycs = [path for path in release.code.rglob("*.pyc") if path.stat().st_size > 16]
    seed = (state / "data" / "blog" / "data" / "words").read_text()
    assert (whole, len(pycs), len(seed)) == ((True, 100, 4000) if synced else (False, 0, 0))
