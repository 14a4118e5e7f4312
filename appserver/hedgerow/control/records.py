"""The status records of replicas: `state/replicas/<id>.json`, written by each deployer, read by the command line.

A record is what one replica says of itself at one moment; who reads decides what is too old. It knows no processes.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ..hosting.findings import Finding
from . import canary
from .plan import write_json
from .rounds import ReplicaView

WRITTEN_EVERY_S = 2.0
STALE_S = 10.0
FORGOTTEN_S = 24 * 3600.0


def record_path(state: Path, replica: str) -> Path:
    return state / "replicas" / f"{replica}.json"


def write_record(state: Path, record: dict[str, Any]) -> None:
    write_json(record_path(state, record["replica"]), record)


def read_records(state: Path, now: float | None = None) -> list[dict[str, Any]]:
    """All records by replica, each with `age_s` and `stale` added. A broken file is passed over: it is written anew."""
    now = time.time() if now is None else now
    records = []
    for path in sorted((state / "replicas").glob("[!.]*.json")):
        try:
            record = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if not _is_record(record):
            continue
        age = abs(now - record["time"])  # also one from the future is no word of now
        records.append(record | {"age_s": age, "stale": age > STALE_S})
    return records


def _is_record(told: Any) -> bool:
    """Whether it has what its readers go by."""
    return (
        isinstance(told, dict)
        and isinstance(told.get("replica"), str)
        and isinstance(told.get("time"), int | float)
        and isinstance(told.get("apps"), dict)
        and isinstance(told.get("broken"), dict)
        and isinstance(told.get("addresses"), list)
        and all(isinstance(one, dict) and one.keys() >= {"address", "active", "slots"} for one in told["addresses"])
    )


def replica_view(record: dict[str, Any]) -> ReplicaView:
    """What a replica's record tells of a round."""
    return ReplicaView(
        record["replica"],
        tuple(record.get("runs", ())),
        record.get("refuses"),
        str(record.get("blamed", "")),
        str(record.get("reason", "")),
        any(address["state"] == "draining" for address in record["addresses"]),
        tuple(map(str, record.get("folders", ()))),
        {name: Finding(**one) for name, one in record.get("found", {}).items()},
        {
            name: (record.get("ordered", {}).get(name, 0), trouble)
            for name, trouble in record.get("troubles", {}).items()
        },
        {name: canary.read(told) for name, told in record.get("canaries", {}).items()},
    )


def used_releases(records: list[dict[str, Any]]) -> list[Path]:
    """The releases that replicas run, also those of replicas that have been silent for less than a day."""
    return [Path(code) for record in records if record["age_s"] < FORGOTTEN_S for code in record.get("releases", [])]
