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


def lay(apps: Path, names: Iterable[str]) -> None:
    """Their folders, each whole at once. `django52` is the Django project with Django 5.2."""
    for name in names:
        made = apps / f".{name}"
        shutil.copytree(APPS / ("django" if name.startswith("django") else name), made)
        shutil.copy(APPS / "common" / "about.py", made)
        if not (made / "notes").is_dir():
            shutil.copy(APPS / "common" / "notes.py", made)
        if name.startswith("django"):
            (made / "requirements.txt").write_text(f"django~={name[6]}.{name[7]}.0\n")
        (made / "data").mkdir()
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
