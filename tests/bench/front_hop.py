"""What a request costs through the front, by its parts: CPU of the front's nginx and of what stands behind it, which is
a worker, or an nginx that answers the same bytes.

    python tests/bench/front_hop.py [--rounds N] [--seconds S] [--python PYTHON]

Rounds alternate, and each starts all processes anew. For the compiled modules put what `.ci/compiler.sh build` unpacks
in front of PYTHONPATH. Exit status 1 when the bar is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent / "peers"))

import front  # noqa: E402  # beside us
import servers  # noqa: E402
from load import Shape, load  # noqa: E402
from meter import tree_cpu_s  # noqa: E402
from rounds import WARM_S, Target  # noqa: E402

BAR = 1.25
SHAPES = (Shape("13 bytes", "/"), Shape("1 KiB", "/1k"))
Parts = tuple[float, float]  # CPU us a request: of the front's nginx, and of what is behind it


@contextmanager
def both(python: Path, work: Path) -> Iterator[tuple[Target, Target]]:
    """The front before a worker, and before an nginx."""
    launch = servers.Launch(python, "app:application", HERE, work / "worker", {"HEDGEROW_TRUST_FRONT": "1"})
    running = servers.start(servers.HEDGEROW, launch)
    try:
        servers.wait_until_answering(running)
        with ExitStack() as stack:
            ours = stack.enter_context(front.before(running, work / "ours"))
            yield ours, stack.enter_context(front.floor(work))
    finally:
        servers.stop(running)


def parts(target: Target, shape: Shape, seconds: float) -> tuple[Parts, int]:
    """What each costs, and how long an answer is."""
    with load(target.address, shape) as running:
        running.run(min(WARM_S, seconds))
        answers, before = running.answers, [tree_cpu_s(pid) for pid in target.pids]
        running.run(seconds)
        used = [tree_cpu_s(pid) - clock for pid, clock in zip(target.pids, before, strict=True)]
        nginx, behind = (cpu_s / (running.answers - answers) * 1e6 for cpu_s in used)
        return (nginx, behind), len(running.answer.raw)


def measured(python: Path, rounds: int, seconds: float) -> dict[str, list[tuple[Parts, Parts]]]:
    """By shape, a pair a round: ours and the floor's."""
    found: dict[str, list[tuple[Parts, Parts]]] = {shape.name: [] for shape in SHAPES}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="hedgerow-") as work, both(python, Path(work)) as (ours, floor):
            for shape in SHAPES:
                (our_parts, our_bytes), (floor_parts, floor_bytes) = (
                    parts(target, shape, seconds) for target in (ours, floor)
                )
                if our_bytes != floor_bytes:
                    raise RuntimeError(f"{shape.name}: {our_bytes} bytes by a worker, {floor_bytes} by nginx")
                found[shape.name].append((our_parts, floor_parts))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="What a request costs through the front")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.2)
    parser.add_argument("--python", type=Path, default=servers.OWN_PYTHON, help="the one that has hedgerow")
    given = parser.parse_args()
    missed = False
    for name, pairs in measured(given.python, given.rounds, given.seconds).items():
        nginx, worker, floor_nginx, backend = (
            statistics.median(column) for column in zip(*([*ours, *floor] for ours, floor in pairs), strict=True)
        )
        ratios = sorted(sum(ours) / sum(floor) for ours, floor in pairs)
        ratio = statistics.median(ratios)
        missed |= ratio > BAR
        print(
            f"{name:8} nginx {nginx:.1f} + worker {worker:.1f} us, nginx {floor_nginx:.1f} + nginx {backend:.1f} us; "
            f"ratio {ratio:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), wanted at most {BAR}"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
