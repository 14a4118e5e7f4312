"""Apps that keep all others of their worker from running, or end it: counted, until they are found to starve them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from ..hosting.findings import STARVES, Finding
from .observe import Seen
from .plan import SLOTS, died_file, fault_file
from .views import AddressView

TIMES, WITHIN_S = 3, 600.0
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)


@dataclass
class Offences:
    """Of one replica's apps, in memory: a deployer that is started again counts anew."""

    _when: dict[str, list[float]] = field(default_factory=dict)
    _counted: dict[tuple[str, int], int] = field(default_factory=dict)
    _found: dict[str, Finding] = field(default_factory=dict)
    _ready: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)  # generation and process id of each

    def note(self, app: str, what: str, now: float, times: int = 1) -> None:
        """what: as `kept all others waiting for 2.0 s in GET /a`."""
        when = [*(one for one in self._when.get(app, ()) if now - one < WITHIN_S), *[now] * times]
        self._when[app] = when
        if len(when) >= TIMES:
            minutes = round(WITHIN_S / 60)
            sentence = f"{app}: {len(when)} times in {minutes} minutes it {what}"
            self._found.setdefault(app, Finding(STARVES, sentence))

    def tell(self, pid: int, offenders: Mapping[str, tuple[int, str]], now: float) -> None:
        """What a worker says of itself: app → how often it was interrupted, and how it was the last time."""
        for app, (count, what) in offenders.items():
            new = count - self._counted.get((app, pid), 0)
            if new > 0:
                self._counted[app, pid] = count
                self.note(app, what, now, new)

    def look(self, run: Path, groups: Iterable[Seen], now: float, log: Callable[..., None]) -> None:
        """What the workers of these groups say, and what those have left that are no more."""
        groups = list(groups)
        sharing = {app for group in groups for app in group.plan.newest.apps if not group.plan.newest.alone}
        self._keep(sharing)
        for group in groups:
            for worker in group.workers.values():
                self.tell(worker["pid"], worker.get("offenders", {}), now)
            contents = [entry.content for entry in group.plan.slots.values() if entry is not None]
            apps = {name: folder for content in contents for name, folder in content.apps.items()}
            for slot in SLOTS:
                left = _left(run, group.view, slot)
                for path in left:
                    app = _death(path, apps, log)
                    if app in sharing and not any(content.alone for content in contents):  # not a canary's pool
                        self.note(app, "ended its worker", now)
                if left:
                    self._ready.pop((group.view.address, slot), None)
                if self._has_lost(group.view, slot):
                    log("error", f"{group.view.address}-{slot}: its worker has ended without a word, as by SIGKILL")

    def _has_lost(self, view: AddressView, slot: str) -> bool:
        """Whether another process has the place of one that was to go on. One that was told to go, or has gone to
        sleep, was not: supervisord starts no other for it.
        """
        one, key = view.slot(slot), (view.address, slot)
        before = self._ready.get(key)
        if one.ready:
            self._ready[key] = one.generation, one.pid
        elif one.going or one.pid or not one.alive:
            self._ready.pop(key, None)
        return before is not None and before[0] == one.generation and bool(one.pid) and one.pid != before[1]

    def _keep(self, sharing: Set[str]) -> None:
        """Who has a pool of its own by now begins anew when it comes back."""
        for app in self._found.keys() - sharing:
            del self._found[app], self._when[app]

    @property
    def found(self) -> dict[str, Finding]:
        return dict(self._found)


def _left(run: Path, view: AddressView, slot: str) -> list[Path]:
    """What workers of a slot have left that are no more."""
    last = fault_file(run, view.address, slot)
    found = sorted(run.glob(died_file(run, view.address, slot, "*").name))
    return found if view.slot(slot).alive or not last.exists() or not last.stat().st_size else [*found, last]


def _death(path: Path, apps: Mapping[str, str], log: Callable[..., None]) -> str:
    """Tells of it; the app in whose code it was, '' for none. While it was loaded is another matter (policy.py)."""
    try:
        stack = path.read_text("utf-8", "replace")
        path.unlink()
    except OSError:
        return ""
    app = culprit(stack, apps)
    whose = f"in {app}" if app else "in no app's code"
    loading = any(_is_load(file, function) for file, _, function in _FRAME.findall(stack))
    when = ", which it was loading" if loading and app else ""
    log("error", f"{path.stem}: its worker has ended {whose}{when}", app=app, traceback=stack)
    return "" if loading else app


def _is_load(file: str, function: str) -> bool:
    return function == "load_host" and file.endswith("/hedgerow/hosting/host.py")


def culprit(fault: str, apps: Mapping[str, str]) -> str:
    """Whose code ran when the worker ended: by the innermost frame within an app's folder. apps: name → folder."""
    for path, _, _ in _FRAME.findall(fault):
        for name, folder in apps.items():
            if Path(path).is_relative_to(folder):
                return name
    return ""
