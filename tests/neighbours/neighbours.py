"""The apps beside this file, one for each framework, laid into an apps folder, and people who use them."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sessions import Wrong, session

APPS = Path(__file__).parent / "apps"
DJANGOS = {"django42": "django~=4.2.0\n", "django52": "django~=5.2.0\n"}


def lay(apps: Path, names: Iterable[str]) -> None:
    """Their folders, each whole at once. `django52` is the Django project with Django 5.2."""
    for name in names:
        lay_as(apps, name, "django" if name in DJANGOS else name, DJANGOS.get(name, ""))


def lay_as(apps: Path, name: str, folder: str, requirements: str = "") -> None:
    """The folder of `APPS`, whole at once, as an app of that name. requirements: instead of those that it has."""
    made = apps / f".{name}"
    shutil.copytree(APPS / folder, made)
    for path in (APPS / "common").glob("*.py"):
        if not (made / path.stem).is_dir():
            shutil.copy(path, made)
    if requirements:
        (made / "requirements.txt").write_text(requirements)
    (made / "data").mkdir(exist_ok=True)
    made.rename(apps / name)


def newer(app: Path) -> None:
    """The folder's next release: its /about says "two"."""
    beside = app / ".about~"
    beside.write_text((APPS / "common" / "about.py").read_text().replace('"one"', '"two"'))
    os.replace(beside, app / "about.py")


@dataclass
class Use:
    """Sessions at an app with these pages, again and again in some threads. wrong: what went wrong; steps: of one
    session.
    """

    port: int
    app: str
    page: str
    done: int = 0
    steps: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def once(self, mark: str) -> None:
        steps = []
        try:
            for step in session(self.port, self.app, self.page, mark):
                steps.append(step)
        except (Wrong, OSError, http.client.HTTPException) as error:
            self.wrong.append(f"{self.app} behind {steps}: {error!r}")
            return
        self.steps = steps
        self.done += 1

    @contextlib.contextmanager
    def again(self, threads: int = 2) -> Iterator[None]:
        end = threading.Event()

        def use(number: int) -> None:
            count = 0
            while not end.is_set():
                count += 1
                self.once(f"{number}-{count}-{time.monotonic()}")

        running = [threading.Thread(target=use, args=(number,)) for number in range(threads)]
        for one in running:
            one.start()
        try:
            yield
        finally:
            end.set()
            for one in running:
                one.join()
