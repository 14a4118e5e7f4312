"""Routes under callgrind, which writes down what was executed since the last getpgrp(): `routing_driver.py COUNT`.

For each of CASES, with one app and with all: COUNT times, and twice that. Prints the names of the cases.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from hedgerow.hosting.mounts import Mount, Mounts

APPS = 200
ASKED = (0, 99, 199)  # first, middle and last by name
WARM = 20  # until the interpreter has settled on how it executes each line


@dataclass(frozen=True, eq=False)
class App:
    name: str
    mount: Mount


@dataclass(frozen=True)
class Kind:
    """How all apps are mounted, and what is asked of number n: the path and the host."""

    name: str
    mount: Callable[[int], Mount]
    asked: Callable[[int], tuple[str, str]]


KINDS = (
    Kind("by name", lambda n: Mount(f"/app{n:03}"), lambda n: (f"/app{n:03}/some/page", "example.org")),
    Kind("below one prefix", lambda n: Mount(f"/team/app{n:03}"), lambda n: (f"/team/app{n:03}/page", "example.org")),
    Kind("by host", lambda n: Mount("", f"app{n:03}.org"), lambda n: ("/some/page", f"App{n:03}.org:8080")),
    Kind("asked as %61pp", lambda n: Mount(f"/app{n:03}"), lambda n: (f"/%61pp{n:03}/page", "example.org")),
)


def cases() -> dict[str, tuple[tuple[str, str], Mounts, Mounts]]:
    """By its name: what is asked, the mounts of that app alone, and those of all."""
    found = {}
    for kind in KINDS:
        apps = [App(f"app{n:03}", kind.mount(n)) for n in range(APPS)]
        for n in ASKED:
            found[f"{kind.name}, {apps[n].name}"] = kind.asked(n), Mounts([apps[n]]), Mounts(apps)
    return found


def drive(mounts: Mounts, path: str, host: str, count: int) -> None:
    route = mounts.route
    for _ in range(count):
        route(path, host)


def main(count: int) -> None:
    todo = cases()
    for name, (asked, *both) in todo.items():
        for mounts in both:
            route = mounts.route(*asked)
            assert route is not None
            assert name.endswith(route.app.name)
            drive(mounts, *asked, WARM)
    for asked, *both in todo.values():
        for mounts in both:
            for times in (count, 2 * count):
                os.getpgrp()
                drive(mounts, *asked, times)
    os.getpgrp()
    print("\n".join(todo))


if __name__ == "__main__":
    main(int(sys.argv[1]))
