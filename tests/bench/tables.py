"""Figures as Markdown, the same on the terminal and between the markers of docs/benchmarks.md."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from density import Gunicorns
from rounds import Figures, Verdict, cpu_us, requests_per_s
from servers import Server

if TYPE_CHECKING:  # it starts stacks by the tests' own means, which are not everywhere
    from noisy import Beside, Stall

_ASK = """
import importlib.metadata, json, platform, sys
from pathlib import Path
told = {"Python": platform.python_version()}
for name in sys.argv[1:]:
    told[name] = importlib.metadata.version(name)
if "hedgerow" in told:
    import hedgerow
    compiled = any(Path(hedgerow.__file__).parent.rglob("*.so"))
    told["hedgerow"] += " (compiled)" if compiled else " (plain Python)"
print(json.dumps(told))
"""


def versions(python: Path, packages: Iterable[str]) -> dict[str, str]:
    """The version of an environment's Python and of these packages in it."""
    command = [str(python), "-c", _ASK, *packages]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def machine() -> str:
    """Processor, cores and kernel."""
    models = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{len(models)} × {models[0] if models else platform.machine()}, Linux {platform.release()}"


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def small(figures: Figures, ours: str) -> str:
    """One shape, a row a target, the cheapest first."""
    rows = []
    for name in sorted(figures.samples, key=lambda name: figures.median(name, cpu_us)):
        samples = figures.samples[name]
        values = [sample.cpu_us for sample in samples]
        rows.append(
            [
                name + (" ¹" if samples[0].reopened else ""),
                f"{figures.median(name, cpu_us):.1f}",
                f"{min(values):.1f} – {max(values):.1f}",
                "" if name == ours else f"{figures.ratio(ours, name, cpu_us):.3f}",
                f"{figures.median(name, requests_per_s):,.0f}",
            ]
        )
    head = ["", "CPU µs a request", "lowest – highest", f"{ours} ÷ this", "requests a second"]
    return _table(head, rows) + _note(figures)


def bodies(shapes: Sequence[Figures], ours: str) -> str:
    """Two tables: a row a target, a column a shape; CPU µs a request, and requests a second."""
    names = list(shapes[0].samples)
    head = ["", *(figures.shape.name for figures in shapes)]
    cpu = [[name, *(_cpu(figures, name) for figures in shapes)] for name in names]
    speed = [[name, *(_speed(figures, name) for figures in shapes)] for name in names]
    notes = {_note(figures) for figures in shapes if _note(figures)}
    return "\n\n".join(
        [
            "CPU µs a request:",
            _table(head, cpu),
            "Requests a second (and MB a second where the bodies are large):",
            _table(head, speed) + (notes.pop() if notes else ""),
        ]
    )


def _cpu(figures: Figures, name: str) -> str:
    return f"{figures.median(name, cpu_us):,.1f}{_mark(figures, name)}"


def _speed(figures: Figures, name: str) -> str:
    speed = figures.median(name, requests_per_s)
    moved = max(figures.shape.body_bytes, figures.samples[name][0].answer_bytes)
    return f"{speed:,.0f}" + (f" ({speed * moved / 1e6:,.0f} MB)" if moved >= 2**16 else "")


def _mark(figures: Figures, name: str) -> str:
    return " ¹" if figures.samples[name][0].reopened and not figures.shape.closes else ""


def _note(figures: Figures) -> str:
    marked = any(samples[0].reopened for samples in figures.samples.values()) and not figures.shape.closes
    return "\n\n¹ closes the connection after each answer; the client opens a new one." if marked else ""


def density(count: int, ours: str, our_bytes: int, others: Mapping[str, Gunicorns]) -> str:
    """A row a server; what `count` apps take of each."""
    rows = [[ours, str(count), _mb(our_bytes), "", _mb(our_bytes), ""]]
    for name, one in others.items():
        in_all = one.of(count)
        row = [name, str(one.started), _mb(one.bytes), _mb(one.next_bytes), _mb(in_all), f"{in_all / our_bytes:.1f}"]
        rows.append(row)
    return _table(["", "apps started", "MB", "MB for one more", f"MB for {count}", f"this ÷ {ours}"], rows)


def noisy(crowds: Iterable[Beside], stalls: Mapping[str, Sequence[Stall]], memory: Sequence[float]) -> str:
    """Two tables, and a line about the leak. memory: of who serves, before, with, and some seconds behind it."""
    beside = [
        [
            one.name,
            *(f"{statistics.median(side):.1f} ({min(side):.1f} – {max(side):.1f})" for side in (one.alone, one.noisy)),
        ]
        for one in crowds
    ]
    stalled = [
        [
            name,
            f"{statistics.median(one.longest_s for one in rounds):.1f}",
            f"{statistics.median(one.quick_s for one in rounds):.1f} – {max(one.quick_s for one in rounds):.1f}",
            str(sum(one.gets for one in rounds)),
            f"{sum(one.posts for one in rounds)} of {len(rounds) * 4}",
        ]
        for name, rounds in stalls.items()
    ]
    head = ["", "longest wait, s", "quick again after, s", "GETs failed", "POSTs inside it lost"]
    grown = ", ".join(f"{one:,.0f}" for one in memory)
    return "\n\n".join(
        [
            _table(["beside", "p99 alone, ms", "p99 beside it, ms"], beside),
            _table(head, stalled),
            f"Memory in MB of the worker that serves before the leak, with it, and some seconds later: {grown}.",
        ]
    )


def _mb(size: float) -> str:
    return f"{size / 10**6:,.1f}"


def verdicts(found: Iterable[Verdict]) -> str:
    """A row a bar."""
    rows = []
    for one in found:
        wanted = f"{'≥' if one.least else '≤'} {one.bar:.3g}"
        rows.append([one.text, f"{one.figure:.3f}", wanted, "met" if one.is_met else "**missed**"])
    return _table(["bar", "measured", "wanted", ""], rows)


def about(servers: Iterable[Server]) -> str:
    """What is on in each server."""
    rows = ([server.name, server.access_log, server.limits] for server in servers)
    return _table(["", "access log", "limits"], rows).replace("---:", "---")


def write(document: Path, parts: dict[str, str]) -> None:
    """Replace what stands between the markers of each part."""
    text = document.read_text()
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        head, found, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not found or not closed:
            raise SystemExit(f"{document}: has no place for the part {name}")
        text = f"{head}{begin}\n{part}\n{end}{tail}"
    document.write_text(text)
