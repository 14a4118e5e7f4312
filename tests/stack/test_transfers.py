"""Large bodies go through the front in both directions: whole, with flat memory, and never laid down on the way.

In CI 100 MB; marked `slow` 1 GiB. A worker that is replaced meanwhile would make the sampling fail: none is.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .engine import HERE, Stack
from .footprint import Footprint, tmpfs_of
from .transfer_client import PIECE, Body, digest, download, upload

APPS = [HERE / "apps" / name for name in ("keeps_uploads", "streams_bytes")]

CI = 100_000_000 // PIECE
FULL = 2**30 // PIECE
SLOW_S = 10  # how long the slow client takes for 100 MB
FLAT_BYTES = 16_000_000
SPOOLED_BYTES = 64 << 10  # records and sockets of the control plane come and go

SIZES = [
    pytest.param(CI, id="100MB"),
    pytest.param(FULL, id="1GiB", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
]


@pytest.fixture
def flat(stack: Stack) -> Iterator[Footprint]:
    """What the test does takes little memory, and nothing in any tmpfs, during and after it."""
    with Footprint(stack) as seen:
        yield seen
    print(seen)
    assert seen.samples > 5
    assert seen.growth("front") < FLAT_BYTES
    assert seen.growth("appserver") < FLAT_BYTES
    assert seen.spooled < SPOOLED_BYTES
    assert temporary_files(stack) == []


def temporary_files(stack: Stack) -> list[Path]:
    """Files in nginx's temporary folders and in the app servers' /tmp."""
    folders = [
        place for mount in tmpfs_of(stack) for place in ([mount] if mount.name == "tmp" else mount.glob("*_temp"))
    ]
    return [file for folder in folders for file in folder.rglob("*") if file.is_file()]


def assert_whole(body: Body, count: int) -> None:
    assert (body.status, body.size, body.digest) == (200, count * PIECE, digest(count))


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload_comes_back_byte_by_byte(stack: Stack, flat: Footprint, chunked: bool, count: int) -> None:
    path = "/keeps_uploads/chunked" if chunked else "/keeps_uploads/length"
    assert upload(stack.port, path, count, chunked=chunked) == 204
    body = download(stack.port, path)
    assert stack.request("DELETE", path).status == 204
    print(f"{body.size / 1e6:.0f} MB came back in {body.seconds:.1f} s")
    assert_whole(body, count)


@pytest.mark.parametrize("count", SIZES)
def test_a_download_to_a_fast_client_keeps_memory_flat(stack: Stack, flat: Footprint, count: int) -> None:
    body = download(stack.port, f"/streams_bytes/{count}")
    print(f"{body.size / 1e6:.0f} MB in {body.seconds:.1f} s")
    assert_whole(body, count)


@pytest.mark.parametrize("count", SIZES)
def test_a_download_to_a_slow_client_keeps_memory_flat(stack: Stack, flat: Footprint, count: int) -> None:
    """Two clients at once: one takes what an app makes as it goes, the other what lies in a file."""
    kept = "/keeps_uploads/kept"
    assert upload(stack.port, kept, count, chunked=False) == 204
    rate = CI * PIECE / SLOW_S
    with ThreadPoolExecutor() as pool:
        bodies = list(pool.map(lambda path: download(stack.port, path, rate), [f"/streams_bytes/{count}", kept]))
    assert stack.request("DELETE", kept).status == 204
    for body in bodies:
        print(f"{body.size / 1e6:.0f} MB in {body.seconds:.1f} s")
        assert_whole(body, count)
        assert body.seconds > SLOW_S * count / CI * 0.95
