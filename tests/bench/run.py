"""`make bench`: the CPU time that a request costs, ours beside the peers', in alternating rounds of one run; and the
memory of many apps.

CPU (user and system, of the whole process tree) is divided by the answers counted. Exit status 1 when a bar is missed.
How it is measured, and what the bars are, stands in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent / "peers"))

import density  # noqa: E402  # beside us, as the other modules that are imported by their bare names
import front  # noqa: E402
import noisy  # noqa: E402
import servers  # noqa: E402
import tables  # noqa: E402
from load import Shape  # noqa: E402
from rounds import Figures, Target, Verdict, bars, bars_of_best, measure  # noqa: E402
from servers import HEDGEROW, Launch, Running, Server  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "benchmarks.md"
APP = "app:application"
OURS = HEDGEROW.name

# In this order a round goes: those that a bar names are measured right beside ours.
PEERS = (
    servers.FASTWSGI, servers.BJOERN, servers.GRANIAN, servers.GUNICORN_GEVENT, servers.UWSGI, servers.UWSGI_ROUTER,
    servers.WAITRESS, servers.GUNICORN_GTHREAD, servers.GUNICORN_SYNC,
)  # fmt: skip
# Not uWSGI's http11-socket: an answer without a length it sends neither in chunks nor with an end.
BODIES_PEERS = tuple(server for server in PEERS if server is not servers.UWSGI)
FRONT_PEERS = (servers.BJOERN, servers.GRANIAN, servers.GUNICORN_GEVENT)

BARS = {"bjoern": 1.2, "Granian": 0.75, "gunicorn gevent": 0.12}
FRONT_BARS = {front.FLOOR: 1.2}
SHARE_OF_BEST = 0.9
MODES = ("small", "front", "bodies", "density", "noisy")

SMALL = Shape("small")
FRONT = Shape("small, through nginx")
LARGE = (Shape("64 KiB answer", "/64k"), Shape("10 MiB answer", "/10m", connections=8))
BODIES = (
    Shape("1 KiB POST", "/upload", body_bytes=2**10),
    Shape("1 MiB POST", "/upload", body_bytes=2**20, connections=16),
    *LARGE,
    Shape("4 chunks", "/pieces"),
    Shape("`Connection: close`", closes=True),
)


@dataclass
class Bench:
    """One run. `parts` are the tables by the name of their place in the document."""

    python: Path
    peers_python: Path
    peers: Sequence[Server]
    work: Path

    def __post_init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.verdicts: list[Verdict] = []

    @contextmanager
    def running(self, chosen: Sequence[Server], folder: Path, trusting: bool = False) -> Iterator[list[Running]]:
        """All these servers at once: those that are not asked cost nothing."""
        environ = {"HEDGEROW_TRUST_FRONT": "1"} if trusting else {}
        started: list[Running] = []
        try:
            for number, server in enumerate(chosen):
                python = self.python if server is HEDGEROW else self.peers_python
                started.append(servers.start(server, Launch(python, APP, HERE, folder / str(number), environ)))
            for one in started:
                servers.wait_until_answering(one)
            yield started
        finally:
            servers.stop(*started)

    def rounds(self, count: int, folder: str) -> Iterator[Path]:
        """A folder a round; the servers of each are new processes."""
        for number in range(1, count + 1):
            begin = time.monotonic()
            with tempfile.TemporaryDirectory(dir=self.work) as path:
                yield Path(path)
            print(f"{folder}: round {number} of {count}, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)

    def small(self, rounds: int, seconds: float) -> None:
        figures = Figures(SMALL)
        for folder in self.rounds(rounds, "small"):
            with self.running(self._with_ours(self.peers), folder) as all_running:
                for one in all_running:
                    figures.add(one.server.name, measure(_bare(one), SMALL, seconds))
        self._tell("small", tables.small(figures, OURS), bars(figures, OURS, BARS))

    def front(self, rounds: int, seconds: float) -> None:
        figures = Figures(FRONT)
        chosen = self._with_ours([server for server in FRONT_PEERS if server in self.peers])
        for folder in self.rounds(rounds, "front"):
            with ExitStack() as stack:
                all_running = stack.enter_context(self.running(chosen, folder, trusting=True))
                targets = [stack.enter_context(front.floor(folder))]
                for one in sorted(all_running, key=lambda one: one.server is not HEDGEROW):
                    targets.append(stack.enter_context(front.before(one, folder / f"{one.server.name}-front")))
                for target in targets:
                    figures.add(target.name, measure(target, FRONT, seconds))
        self._tell("front", tables.small(figures, OURS), bars(figures, OURS, FRONT_BARS))

    def bodies(self, rounds: int, seconds: float) -> None:
        shapes = [Figures(shape) for shape in BODIES]
        chosen = self._with_ours([server for server in self.peers if server in BODIES_PEERS])
        for folder in self.rounds(rounds, "bodies"):
            with self.running(chosen, folder) as all_running:
                for figures in shapes:
                    for one in all_running:
                        figures.add(one.server.name, measure(_bare(one), figures.shape, seconds))
        found = [
            verdict
            for figures in shapes
            if figures.shape in LARGE and self.peers
            for verdict in bars_of_best(figures, OURS, SHARE_OF_BEST)
        ]
        self._tell("bodies", tables.bodies(shapes, OURS), found)

    def density(self) -> None:
        """Memory: no rounds, since it does not vary. By our Python alone, so that all have the same Flask."""
        with tempfile.TemporaryDirectory(dir=self.work) as path:
            work = Path(path)
            apps = density.make_apps(work / "apps", density.COUNT)
            used = density.ours(self.python, apps, work)
            some = {name: apps[name] for name in list(apps)[: density.STARTED]}
            others = {
                server.name: density.gunicorns(server, self.python, some, work / server.name)
                for server in (density.DEFAULT, density.PRELOADED)
            }
        ratio = others[density.DEFAULT.name].of(density.COUNT) / used
        text = f"{density.COUNT} Flask apps: memory of {density.DEFAULT.name}, one an app, against ours"
        found = [Verdict(text, ratio, density.BAR, least=True)]
        self._tell("density", tables.density(density.COUNT, OURS, used, others), found)

    def noisy(self, rounds: int, seconds: float) -> None:
        """Real stacks, by the Python that runs this."""
        slow = noisy.slow(rounds, seconds)
        leak, memory = noisy.leaking(rounds, seconds)
        stalls = noisy.stalls(rounds)
        found = [slow.verdict, leak.verdict, *noisy.verdicts(stalls)]
        self._tell("noisy", tables.noisy([slow, leak], stalls, memory), found)

    def _with_ours(self, peers: Sequence[Server]) -> list[Server]:
        """Ours third: after fastwsgi and bjoern, before Granian and gunicorn gevent."""
        return [*peers[:2], HEDGEROW, *peers[2:]]

    def _tell(self, part: str, table: str, found: list[Verdict]) -> None:
        self.verdicts += found
        self.parts[part] = table
        print(f"\n## {part}\n\n{table}\n", flush=True)

    def setup(self, command: str) -> str:
        """Command, date, versions and machine."""
        told = tables.versions(self.python, ["hedgerow", "gevent"])
        told |= tables.versions(self.peers_python, sorted({server.package for server in self.peers}))
        what = ", ".join(f"{name} {version}" for name, version in told.items())
        nginx = ".".join(map(str, front.nginx().version))
        return f"`{command}`, {time.strftime('%Y-%m-%d')}. {tables.machine()}.\n\n{what}, nginx {nginx}."


def _bare(running: Running) -> Target:
    return Target(running.server.name, running.address, (running.pid,))


def _peers(text: str) -> list[Server]:
    """Comma-separated names, in any case, blanks as hyphens; nothing for none."""
    known = {server.name.lower().replace(" ", "-"): server for server in (*PEERS, *servers.PEERS)}
    wanted = [name for name in text.lower().split(",") if name]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such peer: {', '.join(unknown)}; there are {', '.join(known)}")
    return [server for name, server in known.items() if name in wanted]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(MODES), help=f"modes, comma-separated: {', '.join(MODES)}")
    parser.add_argument("--peers", type=_peers, default=list(PEERS), help="comma-separated, as gunicorn-gevent")
    parser.add_argument("--python", type=Path, default=servers.OWN_PYTHON, help="the one that has hedgerow")
    parser.add_argument("--peers-python", type=Path, default=servers.PEERS_PYTHON, help="the one that has the peers")
    parser.add_argument(
        "--rounds", type=int, help="of every mode but density; else 9 of small and front, 4 of bodies, 5 of noisy"
    )
    parser.add_argument("--seconds", type=float, help="of a measurement; else 1.2, 1.5, 0.8 and 8")
    parser.add_argument("--write", action="store_true", help=f"the tables into {DOCUMENT.relative_to(HERE.parents[1])}")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if not set(options.only) <= set(MODES):
        parser.error(f"--only {','.join(options.only)}: {', '.join(MODES)}")
    if options.write and (options.peers != list(PEERS) or len(options.only) < len(MODES)):
        parser.error("--write: the document has all peers and all modes")
    return options


def _command() -> str:
    options = " ".join(sys.argv[1:])
    return f'make bench BENCH="{options}"' if options else "make bench"


def main() -> int:
    """Print the tables; 0 when every bar is met."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="hedgerow-bench-") as work:
        bench = Bench(options.python, options.peers_python, options.peers, Path(work))
        setup = bench.setup(_command())
        print(setup)
        modes: dict[str, tuple[Callable[[int, float], None], int, float]] = {
            "small": (bench.small, 9, 1.2),
            "front": (bench.front, 9, 1.5),
            "bodies": (bench.bodies, 4, 0.8),
            "noisy": (bench.noisy, 5, 8.0),
        }
        for name in options.only:
            if name == "density":
                bench.density()
                continue
            run, rounds, seconds = modes[name]
            run(options.rounds or rounds, options.seconds or seconds)
    verdicts = tables.verdicts(bench.verdicts)
    print(f"## bars\n\n{verdicts}")
    if options.write:
        about = tables.about([HEDGEROW, *options.peers])
        tables.write(DOCUMENT, {"setup": setup, "bars": verdicts, "about": about, **bench.parts})
    return 0 if all(verdict.is_met for verdict in bench.verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
