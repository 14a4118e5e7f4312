"""`make reloads`: new code is brought to busy servers, ours and others', behind one front; what clients notice.

What lives here: running the cases in rounds, one server after another. It must not know how a server is started or
reloaded, nor how the page looks.
"""

from __future__ import annotations

import argparse
import dataclasses
import http.client
import itertools
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE), str(HERE.parent / "stack"), str(HERE.parent / "bench")]

import front  # noqa: E402 - the paths above lead to them
import reload_table  # noqa: E402
import tables  # noqa: E402
from deploy_client import clients  # noqa: E402
from reload_cases import CASES, Case, Result  # noqa: E402
from reload_servers import HEDGEROW, NAME, WAYS, Subject, Way, app_text  # noqa: E402
from servers import OWN_PYTHON, PEERS_PYTHON  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "reloads.md"
PATH = f"/{NAME}/"
CROWD = {"get": 3, "small": 3, "buffered": 1, "streamed": 1, "slow_answer": 2, "late_answer": 2}
BUSY_S = 1.0  # before the first change; without a right answer for so long at the end a server counts as silent
WATCHED_S = 15.0  # behind a broken release: Granian takes its workers one after another
QUIET_S = 4.0  # only new answers for so long: the reload is over
PATIENCE_S = 40.0
PROBE_S = 0.1
MIGRATE = Path("/proc/sys/net/ipv4/tcp_migrate_req")


def measured(way: Way, case: Case, reloads: int) -> Result:
    """One case with one server that is started for it."""
    with way.running(app_text("v0", case.import_s)) as subject:
        return broken(subject, case) if case.breaks else reloaded(subject, case, reloads)


def reloaded(subject: Subject, case: Case, reloads: int) -> Result:
    """So many reloads in a row, each begun when the one before it is over."""
    versions = [f"v{number}" for number in range(reloads + 1)]
    changed: dict[str, float] = {}
    with clients(subject.port, PATH, **CROWD) as crowd:
        time.sleep(BUSY_S)
        for version in versions[1:]:
            changed[version] = subject.change(app_text(version, case.import_s))
            wait_until_only(subject.port, version)
        outcome = crowd.stop()
    first = [outcome.seen[new][0] - changed[new] if new in outcome.seen else math.inf for new in versions[1:]]
    last = [outcome.seen[old][1] - changed[new] for old, new in itertools.pairwise(versions) if old in outcome.seen]
    return Result(outcome.requests, outcome.failed, outcome.failures, outcome.longest_s, first, last)


def broken(subject: Subject, case: Case, watched_s: float = WATCHED_S) -> Result:
    """One broken release, and what becomes of the one that runs."""
    with clients(subject.port, PATH, **CROWD) as crowd:
        time.sleep(BUSY_S)
        changed = subject.change(app_text("broken", breaks=case.breaks))
        time.sleep(max(0.0, changed + watched_s - time.monotonic()))
        asked = time.monotonic()
        outcome = crowd.stop()
    last = max(ended for _, ended in outcome.seen.values())
    silent_after_s = last - changed if last < asked - BUSY_S else None
    told = case.sign in subject.said()
    return Result(
        outcome.requests, outcome.failed, outcome.failures, outcome.longest_s, silent_after_s=silent_after_s, told=told
    )


def wait_until_only(port: int, version: str) -> None:
    """Until every answer is of this version for a while; or not, within PATIENCE_S: the figures tell."""
    deadline, other = time.monotonic() + PATIENCE_S, time.monotonic()
    while (now := time.monotonic()) < min(deadline, other + QUIET_S):
        if answering(port) != version:
            other = now
        time.sleep(PROBE_S)


def answering(port: int) -> str:
    """The version that answers, or nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", PATH)
        return connection.getresponse().headers.get("X-Version", "")
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


# --- the command ------------------------------------------------------------------------------------------------------


def in_own_network(arguments: Sequence[str]) -> None:
    """Begin anew in a network of our own in which the kernel moves what waits at a listener that closes to another one.

    Granian's documents ask for that setting where workers are replaced; it is a machine's, so it is not changed here.
    """
    if os.geteuid() or MIGRATE.read_text().strip() == "1":
        return
    script = f'ip link set lo up && echo 1 >{MIGRATE} && exec "$@"'
    os.execvp("unshare", ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, __file__, *arguments])


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--reloads", type=int, default=2, help="of the slow app, in each round")
    parser.add_argument("--only", nargs="+", default=[], help="ids of cases")
    parser.add_argument("--servers", nargs="+", default=[], help="the first words of servers, as gunicorn")
    parser.add_argument("--write", action="store_true", help=f"the page {DOCUMENT.name}")
    options = parser.parse_args(arguments)
    if options.write and (options.only or options.servers):
        parser.error("--write: the page has all cases and all servers")
    return options


def setup(ways: Sequence[Way], options: argparse.Namespace) -> str:
    """Command, date, versions and machine."""
    packages = sorted({way.package for way in ways if way is not HEDGEROW})
    told = tables.versions(OWN_PYTHON, ["hedgerow"]) | tables.versions(PEERS_PYTHON, packages)
    told["nginx"] = ".".join(map(str, front.nginx().version))
    count = f"{options.rounds} rounds, {options.reloads} reloads of the slow app in each"
    versions = ", ".join(f"{name} {version}" for name, version in told.items())
    kernel = f"`net.ipv4.tcp_migrate_req` is {MIGRATE.read_text().strip()}"
    return f"{time.strftime('%Y-%m-%d')}, {count}. {tables.machine()}; {kernel}. {versions}."


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    in_own_network(arguments)
    cases = [case for case in CASES if not options.only or case.id in options.only]
    ways = [way for way in WAYS if not options.servers or way.name.split(maxsplit=1)[0] in options.servers]
    results: dict[Case, dict[Way, list[Result]]] = {case: {way: [] for way in ways} for case in cases}
    for number in range(1, options.rounds + 1):
        for case, way in itertools.product(cases, ways):
            found = measured(way, case, options.reloads)
            results[case][way].append(found)
            short = dataclasses.replace(found, failures=found.failures[:2])
            print(f"round {number}: {case.id}, {way.name}, {way.how}: {short}", file=sys.stderr, flush=True)
    done = {case: reload_table.table(case, rows) for case, rows in results.items()}
    told = setup(ways, options)
    print("\n\n".join([told, *(f"## {case.id}\n\n{table}" for case, table in done.items())]))
    if options.write:
        DOCUMENT.write_text(reload_table.page(told, done), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
