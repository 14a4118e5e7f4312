"""What it costs that an app runs in a pool: CPU of the address's worker, and of the pool's, a request.

    python tests/bench/hop.py [--rounds N] [--seconds S]

The same app three times behind one worker: in it, in a pool of its own, and in the shared pool as it stands behind a
gateway. Rounds alternate. For the compiled modules put
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
HERE, POOLED, BEHIND = "here", "pooled", "behind"
SHAPES = (("GET of 13 bytes", "", 0), ("POST of 64 KiB", "upload", 2**16), ("GET of 64 KiB", "64k", 0))


@contextmanager
def workers() -> Iterator[tuple[Worker, dict[str, Worker]]]:
    """An address's worker, that has the app itself, and those that it sends to."""
    with tempfile.TemporaryDirectory(prefix="hedgerow-") as place, ExitStack() as stack:
        run = Path(place)
        pools, forwards = {}, {}
        for name, pool in ((POOLED, "own"), (BEHIND, "shared")):
            socket = stack.enter_context(listening_at(run / f"{name}.sock"))
            content = {"behind": True, "pool": pool}
            pools[name] = Worker(run, {name: APP}, socket, "a", name=name, content=content)
            forwards[name] = {"path": f"/{name}", "host": None, "sockets": [pools[name].address]}
        listener = stack.enter_context(listening())
        yield Worker(run, {HERE: APP}, listener, "a", content={"forwards": forwards}), pools


def hops(rounds: int, seconds: float) -> list[Figures]:
    """A figure for each shape, of all three."""
    with workers() as (front, pools):
        found = []
        for name, path, size in SHAPES:
            figures = Figures(Shape(name, path, size))
            for _ in range(rounds):
                for mount in (HERE, POOLED, BEHIND):
                    shape = Shape(name, f"/{mount}/{path}", size, connections=16)
                    pids = (front.process.pid, *([pools[mount].process.pid] if mount in pools else []))
                    figures.add(mount, measure(Target(mount, front.address, pids), shape, seconds))
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
        here, own, shared = (figures.median(name, cpu_us) for name in (HERE, POOLED, BEHIND))
        rate = figures.median(POOLED, requests_per_s)
        told = f"in the worker {here:6.1f} us, in an own pool {own:6.1f}, behind a gateway {shared:6.1f}"
        print(f"{figures.shape.name:16} {told}; hop {own - here:6.1f}, {shared - here:6.1f} ({rate:,.0f} requests/s)")


if __name__ == "__main__":
    main()
