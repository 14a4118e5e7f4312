"""`make reloads`: new code is brought to busy servers, ours and others', behind the same front; what their clients notice.

What lives here: the cases, and running them in rounds, one server after another. It must not know how a server is
started or reloaded, nor how the page looks.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE), str(HERE.parent / "stack")]

import reload_table  # noqa: E402 - the paths above lead to them
from deploy_client import Outcome, clients  # noqa: E402
from reload_servers import NAME, WAYS, Subject, Way, app_text  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "reloads.md"
PATH = f"/{NAME}/"
CROWD = {"get": 3, "small": 3, "buffered": 1, "streamed": 1, "slow_answer": 2, "late_answer": 2}
BUSY_S = 1.0  # before the first change and after the last
WATCHED_S = 15.0  # behind a broken release: Granian takes its workers one after another
QUIET_S = 4.0  # only new answers for so long: the reload is over
PATIENCE_S = 40.0
PROBE_S = 0.1
MIGRATE = Path("/proc/sys/net/ipv4/tcp_migrate_req")


@dataclass(frozen=True)
class Case:
    """What is brought. breaks: a statement that the app's import meets; sign: by which one knows that it was said why."""

    id: str
    meaning: str
    import_s: float = 0.0
    breaks: str = ""
    sign: str = ""


CASES = (
    Case("slow-import", "an app whose import takes 3 s", import_s=3.0),
    Case("import-error", "a release that imports a module which is not there", 0.0, "import nothing_such", "nothing_such"),
    Case("exit-at-import", "a release that ends by `sys.exit(…)` at its import", 0.0, 'raise SystemExit("no key")', "no key"),
)


@dataclass
class Result:
    """What the clients of one server noticed in one case, in one round or in all.

    first_new_s, last_old_s: of each reload, from its change on; silent_s: of each broken one, from its change to the
    last right answer, or infinite if they went on coming.
    """

    requests: int = 0
    failed: int = 0
    longest_s: float = 0.0
    first_new_s: list[float] = field(default_factory=list)
    last_old_s: list[float] = field(default_factory=list)
    silent_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    told: list[bool] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.requests += other.requests
        self.failed += other.failed
        self.longest_s = max(self.longest_s, other.longest_s)
        for name in ("first_new_s", "last_old_s", "silent_s", "failures", "told"):
            getattr(self, name).extend(getattr(other, name))


def measured(way: Way, case: Case, reloads: int) -> Result:
    """One case with one server that is started for it."""
    with way.running(app_text("v0", case.import_s)) as subject:
        return broken(subject, case) if case.breaks else reloaded(subject, case, reloads)


def reloaded(subject: Subject, case: Case, reloads: int, since: str = "v0") -> Result:
    """So many reloads in a row, each begun when the one before it is over."""
    versions = [since, *(f"v{number}" for number in range(1, reloads + 1))]
    changed: dict[str, float] = {}
    with clients(subject.port, PATH, **CROWD) as crowd:
        time.sleep(BUSY_S)
        for version in versions[1:]:
            changed[version] = subject.change(app_text(version, case.import_s))
            wait_until_only(subject.port, version)
        time.sleep(BUSY_S)
        outcome = crowd.stop()
    result = _result(outcome)
    for old, new in pairwise(versions):
        result.first_new_s.append(outcome.seen.get(new, [float("inf")])[0] - changed[new])
        result.last_old_s.append(outcome.seen[old][1] - changed[new] if old in outcome.seen else float("nan"))
    return result


def broken(subject: Subject, case: Case, watched_s: float = WATCHED_S, ended: Callable[[], bool] = bool) -> Result:
    """One broken release, and what becomes of the one before it; watched until `ended`, or for so long."""
    with clients(subject.port, PATH, **CROWD) as crowd:
        time.sleep(BUSY_S)
        changed = subject.change(app_text("broken", breaks=case.breaks))
        deadline = changed + watched_s
        while time.monotonic() < deadline and not ended():
            time.sleep(PROBE_S)
        asked = time.monotonic()
        outcome = crowd.stop()
    result = _result(outcome)
    last = max(ended for _, ended in outcome.seen.values())
    result.silent_s.append(float("inf") if last > asked - BUSY_S else last - changed)
    result.told.append(case.sign in subject.said())
    return result


def _result(outcome: Outcome) -> Result:
    return Result(outcome.requests, outcome.failed, outcome.longest_s, failures=outcome.failures)


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
    parser.add_argument("--reloads", type=int, default=3, help="of the slow app, in each round")
    parser.add_argument("--only", nargs="+", default=[], help="ids of cases")
    parser.add_argument("--servers", nargs="+", default=[], help="the first words of servers, as gunicorn")
    parser.add_argument("--write", action="store_true", help=f"the page {DOCUMENT.name}")
    options = parser.parse_args(arguments)
    if options.write and (options.only or options.servers):
        parser.error("--write: the page has all cases and all servers")
    return options


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    in_own_network(arguments)
    cases = [case for case in CASES if not options.only or case.id in options.only]
    ways = [way for way in WAYS if not options.servers or way.name.split()[0] in options.servers]
    results = {(case, way): Result() for case in cases for way in ways}
    for number in range(1, options.rounds + 1):
        for case in cases:
            for way in ways:
                found = measured(way, case, options.reloads)
                results[case, way].add(found)
                print(f"round {number}: {case.id}, {way.name}, {way.how}: {found}", file=sys.stderr, flush=True)
    tables = {case: reload_table.table(case, [(way, results[case, way]) for way in ways]) for case in cases}
    for case, table in tables.items():
        print(f"## {case.id}\n\n{table}\n")
    if options.write:
        today = datetime.datetime.now(datetime.UTC).date()
        migrates = MIGRATE.read_text().strip()
        DOCUMENT.write_text(reload_table.page(tables, ways, today, migrates), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
