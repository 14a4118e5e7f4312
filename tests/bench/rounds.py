"""Alternating rounds: in each, every target is measured once, one after the other, so that a ratio of two figures is
one of neighbours in time. A table has medians of figures and medians of those ratios.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from load import Shape, load
from meter import tree_cpu_s

WARM_S = 0.3


@dataclass(frozen=True)
class Target:
    """What is measured: where it answers, and the processes whose CPU counts."""

    name: str
    address: tuple[str, int]
    pids: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """One measurement. cpu_us: of the processes, a request."""

    cpu_us: float
    requests_per_s: float
    answer_bytes: int
    reopened: bool


def measure(target: Target, shape: Shape, seconds: float) -> Sample:
    """Load the target, and read the clocks of its processes before and after. Both ends fall into steady load."""
    with load(target.address, shape) as running:
        running.run(min(WARM_S, seconds))
        answers, cpu_s = running.answers, tree_cpu_s(*target.pids)
        running.run(seconds)
        answers = running.answers - answers
        cpu_s = tree_cpu_s(*target.pids) - cpu_s
        if answers == 0:
            raise RuntimeError(f"{target.name}, {shape.name}: no answer within {seconds} s")
        reopened = running.reopened > running.answers / 2
        return Sample(cpu_s / answers * 1e6, answers / running.took_s, len(running.answer.raw), reopened)


class Figures:
    """The samples of one shape: a list a target, one sample a round."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.samples: dict[str, list[Sample]] = {}

    def add(self, name: str, sample: Sample) -> None:
        self.samples.setdefault(name, []).append(sample)

    def median(self, name: str, value: Callable[[Sample], float]) -> float:
        return statistics.median(map(value, self.samples[name]))

    def ratio(self, one: str, other: str, value: Callable[[Sample], float]) -> float:
        """The median of one's figure divided by the other's of the same round."""
        pairs = zip(self.samples[one], self.samples[other], strict=True)
        return statistics.median(value(ours) / value(theirs) for ours, theirs in pairs)


def cpu_us(sample: Sample) -> float:
    return sample.cpu_us


def requests_per_s(sample: Sample) -> float:
    return sample.requests_per_s


@dataclass(frozen=True)
class Verdict:
    """A bar and what was measured. least: the figure must not be below the bar, instead of not above."""

    text: str
    figure: float
    bar: float
    least: bool = False

    @property
    def is_met(self) -> bool:
        return self.figure >= self.bar if self.least else self.figure <= self.bar


def bars(figures: Figures, ours: str, wanted: Mapping[str, float]) -> list[Verdict]:
    """Our CPU a request against that of the named targets, as far as they were measured."""
    return [
        Verdict(f"{figures.shape.name}: CPU against {name}", figures.ratio(ours, name, cpu_us), bar)
        for name, bar in wanted.items()
        if name in figures.samples
    ]


def bars_of_best(figures: Figures, ours: str, share: float) -> list[Verdict]:
    """Ours against the best of the others, by CPU and by throughput: against which we are worst in the same rounds."""
    others = [name for name in figures.samples if name != ours]
    cheapest = max(others, key=lambda name: figures.ratio(ours, name, cpu_us))
    fastest = min(others, key=lambda name: figures.ratio(ours, name, requests_per_s))
    shape = figures.shape.name
    return [
        Verdict(f"{shape}: CPU against the best, {cheapest}", figures.ratio(ours, cheapest, cpu_us), 1 / share),
        Verdict(
            f"{shape}: throughput against the best, {fastest}",
            figures.ratio(ours, fastest, requests_per_s),
            share,
            least=True,
        ),
    ]
