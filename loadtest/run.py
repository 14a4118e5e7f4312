"""`make load`: the steady scenario against a running stack, without a web page, for a bounded time.

Finds out first whether anything answers there. Ends with Locust's status: not zero when a request failed.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE_S = 5


def fault_of(url: str) -> str:
    """Why there is nothing to test at `url`, or nothing. Any answer will do: what it says is the scenario's matter."""
    if not url.startswith(("http://", "https://")):
        return f"{url!r} is no URL; it begins with http:// or https://"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S):
            return ""
    except urllib.error.HTTPError as answer:
        answer.close()
        return ""
    except (OSError, http.client.HTTPException, ValueError):
        return f"no stack answers at {url}; start it with make up"


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="http://127.0.0.1:8080", metavar="URL", help="the front (%(default)s)")
    parser.add_argument("--seconds", type=int, default=30, metavar="N", help="how long (%(default)s)")
    parser.add_argument("--users", type=int, default=40, metavar="N", help="how many visitors (%(default)s)")
    parser.add_argument("--reports", type=Path, default=HERE / "reports", metavar="DIR", help="where the report goes")
    given = parser.parse_args(arguments)
    for name in ("seconds", "users"):
        if getattr(given, name) < 1:
            parser.error(f"--{name} is 1 or more")
    return given


def command(given: argparse.Namespace) -> list[str]:
    line = [sys.executable, "-m", "locust", "--locustfile", str(HERE / "steady.py"), "--headless"]
    line += ["--host", given.host.rstrip("/"), "--run-time", f"{given.seconds}s"]
    line += ["--users", str(given.users), "--spawn-rate", str(max(1, given.users // 4))]
    # What a visitor has begun when the time is over may end; nothing is counted as failed because we left.
    line += ["--stop-timeout", "10", "--only-summary", "--loglevel", "WARNING"]
    return [*line, "--html", str(given.reports / "steady.html"), "--csv", str(given.reports / "steady")]


def main(arguments: list[str]) -> None:
    given = options(arguments)
    fault = fault_of(given.host)
    if fault:
        sys.exit(fault)
    given.reports.mkdir(parents=True, exist_ok=True)
    report = given.reports / "steady.html"
    print(f"{given.users} visitors for {given.seconds} s at {given.host}; report: {report}", flush=True)
    os.execv(sys.executable, command(given))


if __name__ == "__main__":
    main(sys.argv[1:])
