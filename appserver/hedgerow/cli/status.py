"""`hedgerow status`: apps, addresses and replicas as the replicas' records tell them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from ..config import Settings
from ..control.canary import read, total
from ..control.entries import SAME_RELEASE, Deploy, State
from ..control.ledger import Ledger
from ..control.placement import OWN, SHARED
from ..control.records import read_records
from ..errors import HedgerowError
from .options import setting
from .printable import printable, table

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@click.command(short_help="Apps, addresses and replicas.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@setting("state")
def status(as_json: bool, state: Path | None) -> None:
    """Show the apps with their last error, the addresses, and all replicas."""
    settings = Settings.from_env(state=state)
    records = read_records(settings.state)
    ledger = Ledger(settings.state).read()
    apps = apps_of(records, {name: app.trouble for name, app in ledger.apps.items() if app.trouble})
    for app in apps:
        placement = ledger.app(app["name"]).placement
        app |= {"pool": placement.pool, "reason": placement.reason}
    known = {name for name, app in ledger.apps.items() if app.release or app.trouble}
    known.update(*(record.get("folders", ()) for record in records if not record["stale"]))  # one may be new
    kept = _kept_data(settings.state, known)
    if as_json:
        json.dump({"replicas": records, "apps": apps, "data_without_app": kept}, sys.stdout, indent=1)
        click.echo()
        sys.exit(0 if records else 1)
    if not records:
        raise HedgerowError(f"nothing runs on {settings.state}")
    click.echo(_apps(apps))
    if reasons := [(app["name"], app["reason"]) for app in apps if app["reason"]]:
        click.echo(table(("IN ANOTHER POOL", "BECAUSE"), reasons))
    if canaries := list(_canaries(records, ledger)):
        click.echo(table(("CANARY", "RELEASE", "SHARE", "FOR", "SO FAR"), canaries))
    if refused := refused_connections(records):
        click.echo(table(("OUTBOUND CONNECTIONS OF", "OPEN", "REFUSED"), refused))
    click.echo(_addresses(records))
    click.echo(_replicas(records))
    if kept:
        click.echo(table(("DATA WITHOUT AN APP", "FOLDER"), sorted(kept.items())))


def _canaries(records: list[dict[str, Any]], ledger: State) -> Iterable[tuple[str, ...]]:
    """A row for each release that a part of an app's clients has."""
    told = [record.get("canaries", {}) for record in records if not record["stale"]]
    for name, app in ledger.apps.items():
        if known := app.canary:
            sides = total(known.number, (read(one[name]) for one in told if name in one))
            age = _age(time.time() - known.began) if known.began else "-"
            so_far = sides.trouble or str(sides)
            yield name, known.release, f"{known.terms.share:g} %", f"{age} of {_age(known.terms.window_s)}", so_far


def _kept_data(state: Path, apps: Collection[str]) -> dict[str, str]:
    """The data of apps that are no more, by name: it stays until somebody removes it; an app that returns finds it."""
    folders = [path for path in (state / "data").glob("*") if path.name not in apps]
    return {path.name: str(path) for path in folders if any(names for _, _, names in os.walk(path))}


def apps_of(records: list[dict[str, Any]], failed: Mapping[str, Deploy]) -> list[dict[str, Any]]:
    """Each app once: up only if every worker that lives says so, and with the error of one that does not.

    failed: the last deploys of those that came to nothing.
    """
    apps: dict[str, dict[str, Any]] = {}
    missing: set[str] = set()  # from a worker that has not turned to the release yet
    living = [record for record in records if not record["stale"]] or records
    for record in living:
        wanted = {**record["apps"], **record["broken"]}
        for name in wanted:
            error = record["broken"].get(name)
            state = "down" if error else "loading"
            apps.setdefault(name, {"name": name, "mount": None, "host": None, "state": state, "error": error})
        for told in _told_by_workers(record):
            for app in told:
                known = apps.setdefault(app["name"], app)
                if known["state"] == "loading" or app["state"] != "up":
                    apps[app["name"]] = known | app
            for name in wanted.keys() - {app["name"] for app in told}:
                missing.add(name)
        for app in _told_by_pools(record):
            if app["state"] != "up" and app["name"] in apps:
                apps[app["name"]] |= app
        for name, trouble in record.get("troubles", {}).items():
            if name in apps and not apps[name].get("error"):
                apps[name] |= {"error": f"an older release runs: {trouble}"}
    for name, deploy in failed.items():
        if name in apps:
            _tell_failure(apps[name], deploy)
    for name in missing:
        if apps[name]["state"] == "up":
            apps[name] = apps[name] | {"state": "loading"}
    return [apps[name] for name in sorted(apps)]


def _tell_failure(app: dict[str, Any], deploy: Deploy) -> None:
    goes_on = "it stays where it is" if deploy.cause in SAME_RELEASE else "an older release runs"
    prefix = "" if app["state"] == "down" else f"{goes_on}: "
    app |= {"error": f"{prefix}{deploy.step}: {deploy.reason}", "traceback": deploy.traceback}


def _told_by_workers(record: dict[str, Any]) -> Iterable[list[dict[str, Any]]]:
    """What each active worker that answers tells of its apps."""
    for address in record["addresses"]:
        slot = address["slots"].get(address["active"], {})
        if "apps" in slot:
            yield slot["apps"]


def _told_by_pools(record: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """What is to be said of each app that the addresses send on, beside where it is mounted."""
    for pool in record.get("pools", ()):
        if pool.get("canary"):
            continue  # it has a table of its own
        told = pool["slots"].get(pool["active"], {}).get("apps", ())
        if pool.get("pool") != SHARED and not told and not pool["asleep"]:
            yield from ({"name": name, "state": "loading"} for name in pool.get("apps", ()))
        for app in told:
            yield {key: app[key] for key in ("name", "state", "error", "traceback")}


def refused_connections(records: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Of each app that workers, as they are now, have refused some: its name, how many it has, how many it has not."""
    counts: dict[str, list[int]] = {}
    for record in records:
        groups = [] if record["stale"] else [*record["addresses"], *record.get("pools", ())]
        for slot in (slot for group in groups for slot in group["slots"].values()):
            for name, told in slot.get("outbound", {}).items():
                count = counts.setdefault(name, [0, 0])
                count[0] += sum(told["open"].values())
                count[1] += told["refused"]
    return [(name, str(held), str(refused)) for name, (held, refused) in sorted(counts.items()) if refused]


def _apps(apps: list[dict[str, Any]]) -> str:
    rows = [(app["name"], _mount(app), app["state"], app["pool"], app["error"] or "") for app in apps]
    text = table(("APP", "MOUNT", "STATE", "POOL", "LAST ERROR"), rows)
    for app in apps:
        if app.get("traceback"):
            rows_below = app["traceback"].rstrip().splitlines()
            text += f"\n{printable(app['name'])}:\n" + "".join(f"    {printable(row)}\n" for row in rows_below)
    return text


def _mount(app: dict[str, Any]) -> str:
    return f"{app.get('host') or ''}{app.get('mount') or '-'}"


def _addresses(records: list[dict[str, Any]]) -> str:
    rows = []
    for record in records:
        for group in (*record["addresses"], *record.get("pools", ())):
            if group.get("asleep"):
                rows.append((record["replica"], _group(group), "-", "asleep", *("-",) * 6))
            for name, slot in sorted(group["slots"].items()):
                state = "unknown" if record["stale"] else slot.get("state", slot["process"].lower())
                worn = f", worn by {slot['worn']}" if slot.get("worn") else ""
                replaced = slot.get("replaced") or "-"
                rows.append((record["replica"], _group(group), name, state + worn, *_figures(slot), replaced))
    names = ("REPLICA", "ADDRESS", "SLOT", "STATE", "AGE", "REQUESTS", "NOW", "MEMORY", "DROPPED", "INSTEAD OF WORN BY")
    return table(names, rows)


def _group(group: dict[str, Any]) -> str:
    address, pool = str(group["address"]), group.get("pool", "")
    if pool == SHARED:
        return f"shared pool {address[1:]}"
    if group.get("canary"):
        return f"canary of {group['apps'][0]}"
    if pool == OWN:
        return f"pool of {group['apps'][0]}"
    return f"pool {pool}" if pool else address


def _figures(slot: dict[str, Any]) -> tuple[str, ...]:
    if "age_s" not in slot:
        return ("-",) * 5
    memory = f"{slot['memory_bytes'] / 1e6:.0f} MB"
    return (_age(slot["age_s"]), str(slot["requests"]), str(slot["in_flight"]), memory, str(slot["log_dropped"]))


def _replicas(records: list[dict[str, Any]]) -> str:
    rows = []
    for record in records:
        front = f"port {record['front']['port']}" if record.get("front") else "-"
        word = f"STALE, silent for {_age(record['age_s'])}" if record["stale"] else "alive"
        rows.append((record["replica"], str(len(record["addresses"])), front, word))
    return table(("REPLICA", "ADDRESSES", "FRONT", "STATE"), rows)


def _age(seconds: float) -> str:
    for size, unit in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return "0 s"
