"""What it costs that an app runs in a pool: CPU of the address's worker, and of the pool's, a request.

    python tests/bench/hop.py [--rounds N] [--seconds S]

The same app twice behind one worker: in it, and in a pool of its own. Rounds alternate. For the compiled modules put
what `.ci/compiler.sh build` unpacks in front of PYTHONPATH.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from load import Shape
from rounds import Figures, Target, cpu_us, measure, requests_per_s

sys.path.append(str(Path(__file__).parents[1] / "live"))

from worker_support import Worker, listening, listening_at

APP = Path(__file__).parent  # its app.py is one
HERE, POOLED = "here", "pooled"
SHAPES = (("GET of 13 bytes", "", 0), ("POST of 64 KiB", "upload", 2**16), ("GET of 64 KiB", "64k", 0))


@contextmanager
def workers() -> Iterator[tuple[Worker, Worker]]:
    """An address's worker, that has the app itself, and a pool's."""
    with tempfile.TemporaryDirectory(prefix="hedgerow-") as place, ExitStack() as stack:
        run = Path(place)
        behind = stack.enter_context(listening_at(run / "pool.sock"))
        alone = {"behind": True, "alone": True}
        pool = Worker(run, {POOLED: APP}, behind, "a", name="pool", content=alone)
        forward = {"path": f"/{POOLED}", "host": None, "sockets": [pool.address]}
        listener = stack.enter_context(listening())
        yield Worker(run, {HERE: APP}, listener, "a", content={"forwards": {POOLED: forward}}), pool


def hops(rounds: int, seconds: float) -> list[Figures]:
    """A figure for each shape, of both."""
    with workers() as (front, pool):
        found = []
        for name, path, size in SHAPES:
            figures = Figures(Shape(name, path, size))
            for _ in range(rounds):
                for mount in (HERE, POOLED):
                    shape = Shape(name, f"/{mount}/{path}", size, connections=16)
                    target = Target(mount, front.address, (front.process.pid, pool.process.pid))
                    figures.add(mount, measure(target, shape, seconds))
            found.append(figures)
        compiled = front.status()["compiled"]
    print(f"{'compiled' if compiled else 'plain'} modules; {rounds} alternating rounds of {seconds} s, 16 connections")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="What the hop to a pool costs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    for figures in hops(given.rounds, given.seconds):
        here, there = (figures.median(name, cpu_us) for name in (HERE, POOLED))
        rate = figures.median(POOLED, requests_per_s)
        told = f"in the worker {here:6.1f} us, in a pool {there:6.1f} us, the hop {there - here:6.1f} us"
        print(f"{figures.shape.name:16} {told} ({rate:,.0f} requests/s)")


if __name__ == "__main__":
    main()
