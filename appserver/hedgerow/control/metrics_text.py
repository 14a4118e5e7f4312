"""What replicas have counted, as Prometheus reads it (its text format, 0.0.4). Pure: from what is in their files.

A family is written once, here: name, type, what it means. docs/metrics.md is for users.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from .metrics import STALE_S, add

TYPE = "text/plain; version=0.0.4; charset=utf-8"
CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
USUAL = slice(2, 6)  # of them: those that are told while they are 0, so that the first one is seen as an increase

# fmt: off
FAMILIES = {
    "hedgerow_requests_total": ("counter", "Requests that entered an app, by status class."),
    "hedgerow_refused_total": ("counter", "Requests that were answered 503 or 429 before they entered, by cause."),
    "hedgerow_moved_total": ("counter", "Requests that were left to another address before they entered."),
    "hedgerow_aborted_total": ("counter", "Requests whose answer did not come whole."),
    "hedgerow_deadlines_total": ("counter", "Requests that were ended because they took too long."),
    "hedgerow_blocks_total": ("counter", "How often an app kept all others of a worker waiting for over 0.1 s."),
    "hedgerow_request_bytes_total": ("counter", "Bytes of requests' bodies."),
    "hedgerow_response_bytes_total": ("counter", "Bytes of answers' bodies."),
    "hedgerow_request_duration_seconds": ("histogram", "From entering the app to the end of the answer."),
    "hedgerow_rejected_total": ("counter", "What clients sent that was no request."),
    "hedgerow_requests_in_flight": ("gauge", "Requests that are inside an app."),
    "hedgerow_requests_waiting": ("gauge", "Requests that wait to enter an app."),
    "hedgerow_worker_memory_bytes": ("gauge", "Resident memory of a worker."),
    "hedgerow_worker_descriptors": ("gauge", "Open descriptors of a worker."),
    "hedgerow_worker_connections": ("gauge", "Connections to a worker."),
    "hedgerow_worker_greenlets": ("gauge", "Greenlets of a worker that serve, are parked, or were started by apps."),
    "hedgerow_worker_hub_lag_seconds": ("gauge", "How late a worker's hub was at worst within the last 10 to 20 s."),
    "hedgerow_replica_age_seconds": ("gauge", "How old a replica's figures are."),
}
# fmt: on
NUMBERS = {
    "aborted": "hedgerow_aborted_total",
    "deadlines": "hedgerow_deadlines_total",
    "blocks": "hedgerow_blocks_total",
    "bytes_in": "hedgerow_request_bytes_total",
    "bytes_out": "hedgerow_response_bytes_total",
}
CAUSES = {"refused": "hedgerow_refused_total", "moved": "hedgerow_moved_total"}
OF_WORKERS = {
    "memory_bytes": "hedgerow_worker_memory_bytes",
    "descriptors": "hedgerow_worker_descriptors",
    "connections": "hedgerow_worker_connections",
    "greenlets": "hedgerow_worker_greenlets",
    "lag_s": "hedgerow_worker_hub_lag_seconds",
}


class Page:
    """Samples by family."""

    def __init__(self) -> None:
        self._lines: defaultdict[str, list[str]] = defaultdict(list)

    def put(self, family: str, value: float, suffix: str = "", **labels: str) -> None:
        inside = ",".join(f'{name}="{_escaped(label)}"' for name, label in labels.items())
        self._lines[family].append(f"{family}{suffix}{{{inside}}} {value}")

    def text(self) -> str:
        parts = []
        for family, (kind, help_) in FAMILIES.items():
            if family in self._lines:
                parts += [f"# HELP {family} {help_}", f"# TYPE {family} {kind}", *self._lines[family]]
        return "\n".join([*parts, ""])


def render(replicas: Iterable[dict[str, Any]]) -> str:
    """replicas: as metrics.read_all() has them."""
    page = Page()
    for told in replicas:
        replica = told["replica"]
        page.put("hedgerow_replica_age_seconds", round(told["age_s"], 1), replica=replica)
        sums: dict[str, dict[str, Any]] = {name: {} for name in told["apps"]}
        add(sums, told["ended"])
        for worker in told["workers"].values():
            add(sums, worker["counts"])
        for app, counts in sorted(sums.items()):
            _app(page, counts, told["bounds"], replica=replica, app=app)
        if told["age_s"] <= STALE_S:
            workers = [worker["now"] for worker in told["workers"].values() if worker["now"] is not None]
            _now(page, replica, told["apps"], workers)
    return page.text()


def _app(page: Page, counts: dict[str, Any], bounds: list[float], **labels: str) -> None:
    requests = counts.get("requests", [0] * len(CLASSES))
    for code, number in zip(CLASSES, requests, strict=True):
        if number or code in CLASSES[USUAL]:
            page.put("hedgerow_requests_total", number, **labels, code=code)
    for key, family in CAUSES.items():
        for cause, number in sorted(counts.get(key, {}).items()):
            page.put(family, number, **labels, cause=cause)
    for key, family in NUMBERS.items():
        page.put(family, counts.get(key, 0), **labels)
    if "rejections" in counts:
        page.put("hedgerow_rejected_total", counts["rejections"], replica=labels["replica"])
    family, each = "hedgerow_request_duration_seconds", counts.get("durations", [0] * (len(bounds) + 1))
    for bound, number in zip([*map(str, bounds), "+Inf"], accumulate(each), strict=True):
        page.put(family, number, "_bucket", **labels, le=bound)
    page.put(family, counts.get("duration_us", 0) / 1e6, "_sum", **labels)
    page.put(family, sum(each), "_count", **labels)


def _now(page: Page, replica: str, apps: list[str], workers: list[dict[str, Any]]) -> None:
    gates: dict[str, Any] = {name: [0, 0] for name in apps}
    for worker in workers:
        add(gates, worker.get("gates", {}))
        labels = {"replica": replica, "address": worker["address"], "slot": worker["slot"]}
        for key, family in OF_WORKERS.items():
            if key in worker:
                page.put(family, worker[key], **labels)
    for app, (running, waiting) in sorted(gates.items()):
        page.put("hedgerow_requests_in_flight", running, replica=replica, app=app)
        page.put("hedgerow_requests_waiting", waiting, replica=replica, app=app)


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
