"""What deploys do in a running stack, seen in its state volume from this machine; and folders changed as users do."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from .engine import HERE, Stack, inspect, wait_for

SAMPLE = HERE / "apps" / "tells_its_release"
BETWEEN_FILES_S = 0.05
FRESH_S = 5.0  # a record of a replica that lives is younger


class Deploys:
    """The deploys of a stack."""

    def __init__(self, stack: Stack) -> None:
        mounts = inspect(stack.containers("appserver")[0])["Mounts"]
        assert isinstance(mounts, list)
        self.state = Path(next(mount["Source"] for mount in mounts if mount["Destination"] == "/state"))

    def entries(self) -> list[dict[str, Any]]:
        """What the ledger still holds, the oldest first."""
        return [json.loads(path.read_text()) for path in sorted((self.state / "ledger").glob("[0-9]*.json"))]

    def now(self) -> dict[str, Any]:
        """What counts in the ledger now."""
        told: dict[str, Any] = json.loads(max((self.state / "ledger").glob("[0-9]*.json")).read_text())
        return told

    def last(self, app: str) -> dict[str, Any]:
        """The last deploy of an app; empty if there was none."""
        known = self.now()["apps"].get(app)
        return known["deploys"][0] if known and known["deploys"] else {}

    def number(self, app: str) -> int:
        """Of the last deploy of an app; 0 if there was none."""
        return int(self.last(app).get("number", 0))

    def wait_live(self, app: str, after: int, within_s: float = 60) -> float:
        """Until a deploy behind the one with this number is live everywhere; when that was seen."""
        wait_for(lambda: self._ended(app, after), f"{app} is deployed", within_s=within_s)
        assert self.last(app)["outcome"] == "live", self.last(app)
        return time.monotonic()

    def _ended(self, app: str, after: int) -> bool:
        last = self.last(app)
        return bool(last) and last["number"] > after and last["outcome"] != ""

    def records(self) -> list[dict[str, Any]]:
        """What the replicas say of themselves."""
        return [json.loads(path.read_text()) for path in sorted((self.state / "replicas").glob("[!.]*.json"))]

    def faults(self, replicas: int, since: float) -> list[str]:
        """Why this is no named state: no round, no lease, all addresses of all replicas run what is wanted.

        since: Unix time; what a replica told before counts as nothing.
        """
        oldest = max(since, time.time() - FRESH_S)
        told, records = self.now(), [one for one in self.records() if one["time"] > oldest]
        wanted = {name: app["release"] for name, app in told["apps"].items() if app["release"]}
        faults = ["a round is under way"] if told["round"] else []
        faults += ["somebody has the lease"] if told["lease"] else []
        faults += [f"{len(records)} replicas tell"] if len(records) != replicas else []
        faults += [f"{one['replica']} runs {one['runs']}" for one in records if any(r != wanted for r in one["runs"])]
        return faults

    def wait_named_state(self, replicas: int = 2, since: float = 0.0, within_s: float = 60) -> None:
        try:
            wait_for(lambda: not self.faults(replicas, since), "a named state", within_s=within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.faults(replicas, since)}") from None


def change(folder: Path, version: str) -> float:
    """Gives the sample app in this folder another version, file after file; when the last one was written."""
    replace(folder / "text.txt", version + "\n")
    time.sleep(BETWEEN_FILES_S)
    replace(folder / "part.py", f'VERSION = "{version}"\n')
    time.sleep(BETWEEN_FILES_S)
    replace(folder / "app.py", re.sub(r'VERSION = ".*"', f'VERSION = "{version}"', (folder / "app.py").read_text()))
    return time.monotonic()


def replace(path: Path, text: str) -> None:
    """As editors and copying tools do it: beside, then by rename."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.swp")
    beside.write_text(text)
    beside.chmod(0o644)
    beside.replace(path)


def sample(folder: Path, version: str, import_s: float = 0.0, more: str = "") -> Path:
    """The sample app under another name, so long in its import, with more lines in its manifest."""
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "app.py").read_text()
    replace(folder / "app.py", text.replace("IMPORT_S = 0.0", f"IMPORT_S = {import_s}"))
    if more:
        replace(folder / "app.toml", more)
    change(folder, version)
    return folder
