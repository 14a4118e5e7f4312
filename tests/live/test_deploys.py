"""Deploys on a real stack under load: broken ones, orders, history, hooks, restarts."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from pathlib import Path

from control_support import COUNTER, Load, Stack, drop, get, stack, until

APP = 'application = lambda e, s: (s("200 OK", []), [b"%s"])[1]\n'
RAISES = 'def application(environ, start_response):\n    raise LookupError("no such word")\n'
FACTORY = 'def create_app():\n    raise LookupError("no such word")\n'
FAILS = "[deploy]\ncheck = \"sh -c 'echo nothing fits; exit 3'\"\n"
HOOK = "[deploy]\nbefore = \"sh -c 'echo run >> data/hooks; test ! -e data/fail'\"\n"

# what the folder gets, in which file → at which step it fails, and a part of the sentence
BROKEN: list[tuple[dict[str, str], str, str]] = [
    ({"app.py": "def application(:\n"}, "load", "count/app.py line 1: SyntaxError"),
    ({"app.py": "import nothing_such\napplication = 1\n"}, "load", "count/app.py line 1: ModuleNotFoundError"),
    ({"app.py": FACTORY}, "load", "count/app.py line 2: LookupError: no such word"),
    ({"app.py": "import sys\nsys.exit(3)\napplication = 1\n"}, "load", "count/app.py line 2: SystemExit: 3"),
    ({"app.py": "import os\nos._exit(3)\napplication = 1\n"}, "load", "loading it ends the process"),
    ({"app.py": "answer = 42\n"}, "load", "application"),
    ({"app.py": RAISES}, "warm-up", "answered 500"),
    ({"app.py": APP % "two", "app.toml": '[deploy]\nstatus = 204\n'}, "warm-up", "204"),
    ({"app.py": APP % "two", "app.toml": FAILS}, "check", "deploy.check"),
    ({"app.py": APP % "two", "app.toml": "[deploy]\nbefore = 'false'\n"}, "hook", "deploy.before"),
    ({"app.py": APP % "two", "app.toml": "moutn = 3\n"}, "snapshot", "did you mean 'mount'?"),
]  # fmt: skip


def fill(folder: Path, files: dict[str, str]) -> None:
    """Replaces what the folder holds, as somebody who copies file after file does."""
    for name, text in files.items():
        drop(folder.parent, folder.name, text, file=name)
    for path in folder.iterdir():
        if path.name not in files:
            path.unlink()


def last(here: Stack, app: str) -> dict[str, str]:
    """The last deploy of an app, as the ledger tells it."""
    newest = max((here.state / "ledger").glob("*.json"))
    told = json.loads(newest.read_text())["apps"].get(app, {"deploys": []})["deploys"]
    return told[0] if told else {"outcome": "", "reason": ""}


def test_broken_releases_leave_what_runs_untouched_and_are_told_in_one_sentence() -> None:
    with stack(workers=2) as here:
        drop(here.apps, "count", COUNTER % "one")
        drop(here.apps, "other", COUNTER % "other")
        here.up()
        counts, others = Load(here.port, "/count/"), Load(here.port, "/other/")
        with counts.running(2), others.running(2):
            for files, step, sentence in BROKEN:
                fill(here.apps / "count", files)
                until(lambda s=sentence: s in last(here, "count")["reason"], 15, f"it is refused: {sentence}")
                found = last(here, "count")
                assert (found["outcome"], found["step"]) == ("failed", step)
                assert "\n" not in found["reason"]
            (here.apps / "count" / "link").symlink_to("/etc/passwd")
            (here.apps / "count" / "app.toml").unlink()
            until(lambda: "leaves the app's folder" in last(here, "count")["reason"], 15, "the link is refused")
            assert "an older release runs" in here.run("status").stdout
            drop(here.apps, "bad", "application(\n")
            until(lambda: all(get(here.port, "/bad/")[0] == 503 for _ in range(9)), 15, "a new one is down everywhere")
            assert b"bad is down" in get(here.port, "/bad/")[1]
            fill(here.apps / "count", {"app.py": COUNTER % "two"})
            until(lambda: b"two" in counts.answers, 15, "the mended app answers")
        assert (counts.failed, others.failed) == ([], [])
        assert (counts.answers, others.answers) == ({b"one", b"two"}, {b"other"})


def test_new_and_broken_folders_below_an_app_at_the_root() -> None:
    """A new app is never answered by the one at the root behind its first answer; a folder that never lived starts no
    worker, and is told.
    """
    with stack(workers=3) as here:
        fill(here.apps / "site", {"app.py": COUNTER % "site", "app.toml": 'mount = "/"\n'})
        here.up()
        workers = [here.worker(number) for number in range(3)]
        assert get(here.port, "/bad/") == (200, b"site")
        drop(here.apps, "bad", "application(\n")
        until(lambda: last(here, "bad")["outcome"] == "failed", 15, "it is refused")
        assert get(here.port, "/bad/") == (200, b"site"), "it takes nothing from who lives"
        states = {"bad": "down", "site": "up"}
        until(lambda: {app["name"]: app["state"] for app in here.status()["apps"]} == states, 5, "status tells")
        assert [here.worker(number) for number in range(3)] == workers
        heard: list[tuple[float, float, bytes]] = []
        ended = threading.Event()

        def ask() -> None:
            while not ended.is_set():
                began = time.monotonic()
                body = get(here.port, "/new/")[1]
                heard.append((began, time.monotonic(), body))

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        drop(here.apps, "new", COUNTER % "new")
        until(lambda: last(here, "new")["outcome"] == "live", 20, "its round is over")
        time.sleep(0.5)  # who was refused may have been kept for so long
        ended.set()
        for thread in threads:
            thread.join()
    first = min(end for _, end, body in heard if body == b"new")
    behind = [body for began, _, body in heard if began > first]
    print(f"{len(behind)} answers behind the first")
    assert len(behind) > 10
    assert set(behind) == {b"new"}


def test_history_rollback_and_deploy_by_order() -> None:
    with stack(workers=1) as here:  # asked itself: a front's kept connection would drain for 5 s at each swap
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        first = last(here, "count")["release"]
        drop(here.apps, "count", COUNTER % "two")
        until(lambda: get(here.first, "/count/")[1] == b"two" and last(here, "count")["outcome"] == "live", 15, "live")
        second = last(here, "count")["release"]

        back = here.run("rollback", "count", "--wait")
        assert (back.returncode, back.stdout) == (0, f"count: {first} is live\n"), back.stderr
        assert get(here.first, "/count/") == (200, b"one")
        again = here.run("rollback", "count", first[:8], "--wait")
        assert (again.returncode, again.stdout) == (0, f"count: {first} runs already\n")
        drop(here.apps, "count", "import nothing_such\napplication = 1\n")
        until(lambda: last(here, "count")["outcome"] == "failed", 15, "it is refused")
        never = here.run("rollback", "count", last(here, "count")["release"], "--wait")
        assert (never.returncode, "was never live" in never.stderr) == (1, True)
        drop(here.apps, "count", COUNTER % "one")
        until(lambda: last(here, "count")["outcome"] == "live", 15, "what is live is back in the folder")
        assert here.status()["apps"][0]["error"] in (None, "")
        drop(here.apps, "count", COUNTER % "two")
        until(lambda: last(here, "count")["release"] == second and last(here, "count")["outcome"] == "live", 15, "live")
        assert here.run("rollback", "count", "--wait").returncode == 0
        wrong = here.run("rollback", "count", "zzz", "--wait")
        assert wrong.returncode != 0
        assert "no release" in wrong.stderr

        forward = here.run("deploy", "count", "--wait")
        assert (forward.returncode, forward.stdout) == (0, f"count: {second} is live\n"), forward.stderr
        assert get(here.first, "/count/") == (200, b"two")
        nothing = here.run("deploy", "count", "--wait")
        assert (nothing.returncode, nothing.stdout) == (0, f"count: {second} is live\n")
        unknown = here.run("deploy", "nobody", "--wait")
        assert (unknown.returncode, "no such app" in unknown.stderr) == (1, True)

        kept = here.run("releases", "count").stdout
        assert [row.split()[:2] for row in kept.splitlines()[1:3]] == [[second, "live"], [first, "previous"]]
        rows = [row.split()[4:7] for row in here.run("deploys").stdout.splitlines()[1:]]
        assert rows[:2] == [[second, "folder", "live"], [first, "rollback", "live"]]
        assert rows[-2:] == [[second, "folder", "live"], [first, "folder", "live"]]
        fill(here.apps / "count", {"app.py": RAISES})
        failed = here.run("deploy", "count", "--wait")
        assert failed.returncode == 1
        assert "count: failed at warm-up:" in failed.stderr
        assert "LookupError: no such word" in here.run("deploys", "count").stdout


def test_a_hook_runs_once_a_release_and_its_failure_is_a_failed_deploy() -> None:
    with stack(workers=2) as here:
        fill(here.apps / "count", {"app.py": APP % "one", "app.toml": HOOK})
        here.up()
        runs = here.state / "data" / "count" / "data" / "hooks"
        assert runs.read_text() == "run\n"
        (runs.parent / "fail").touch()
        drop(here.apps, "count", APP % "two")
        until(lambda: last(here, "count")["outcome"] == "failed", 15, "the hook has failed")
        assert (last(here, "count")["step"], runs.read_text()) == ("hook", "run\nrun\n")
        assert get(here.first, "/count/") == (200, b"one")
        (runs.parent / "fail").unlink()
        assert here.run("deploy", "count", "--wait").returncode == 0
        assert runs.read_text() == "run\nrun\nrun\n"
        assert here.run("rollback", "count", "--wait").returncode == 0
        assert here.run("deploy", "count", "--wait").returncode == 0
        assert runs.read_text() == "run\nrun\nrun\n", "once a release that it passed"


VARIABLES = """
import os, subprocess
NAMES = ("WORD", "SHARED", "PRIVATE")
COMMAND = 'printf %s "$WORD,$SHARED,$PRIVATE"'

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    mine = ",".join(os.environ.get(name, "") for name in NAMES)
    return [f"{mine} {subprocess.check_output(COMMAND, shell=True, text=True)}".encode()]
"""
WORD = "[env]\nWORD = '%s'\n[deploy]\nbefore = \"sh -c 'echo $WORD,$SHARED,$PRIVATE > data/hook'\"\n"


def test_each_app_has_its_own_variables_and_none_of_who_started_the_stack() -> None:
    outside = {"PRIVATE": "private", "SHARED": "shared", "HEDGEROW_PASS_ENV": "SHARED"}
    with stack(workers=1, **outside) as here:
        for name in ("one", "two"):
            fill(here.apps / name, {"app.py": VARIABLES, "app.toml": WORD % name})
        here.up()
        for name in ("one", "two", "one"):
            assert get(here.port, f"/{name}/") == (200, f"{name},shared, {name},shared,".encode())
            assert (here.state / "data" / name / "data" / "hook").read_text() == f"{name},shared,\n"
        shown = here.run("exec", "one", "--", "sh", "-c", "echo $WORD")
        assert shown.stdout == "one\n", shown.stderr


def test_a_secret_is_deployed_like_code_and_lies_nowhere_but_in_its_file() -> None:
    with stack(workers=2) as here:
        secrets = here.base / "secrets"
        secrets.mkdir()
        here.environ["HEDGEROW_SECRETS"] = str(secrets)
        (secrets / "one.env").write_text("# of one\nPRIVATE='an emu'\n")
        for name in ("one", "two"):
            fill(here.apps / name, {"app.py": VARIABLES, "app.toml": WORD % name})
        here.up()
        assert get(here.port, "/one/")[1] == b"one,,an emu one,,an emu"
        assert get(here.port, "/two/")[1] == b"two,, two,,"
        first = last(here, "one")["release"]
        load = Load(here.port, "/one/")
        with load.running(2):
            (secrets / "one.env").write_text("PRIVATE=quokka\n")
            until(lambda: b"one,,quokka one,,quokka" in load.answers, 15, "the new secret is there")
            until(lambda: last(here, "one")["outcome"] == "live", 15, "its round is over")
            (secrets / "one.env").write_text("PRIVATE quokka\n")
            until(lambda: last(here, "one")["outcome"] == "failed", 15, "a broken file is refused")
        assert load.failed == []
        assert last(here, "one")["reason"] == f"{secrets}/one.env line 1: NAME=value is wanted"
        assert last(here, "one")["release"] != first
        texts = [path.read_bytes() for path in here.state.rglob("*") if path.is_file() and path.parent.name != "data"]
        assert len(texts) > 10
        assert not any(b"an emu" in text or b"quokka" in text for text in texts)
        assert (here.state / "secrets.key").stat().st_mode & 0o777 == 0o600


def test_a_stack_that_is_started_again_serves_the_last_good_releases() -> None:
    with stack(workers=1) as here:
        drop(here.apps, "count", COUNTER % "one")
        drop(here.apps, "gone", COUNTER % "gone")
        here.up()
        assert get(here.port, "/gone/?1", "POST") == (200, b"gone")
        assert "DATA WITHOUT AN APP" not in here.run("status").stdout
        fill(here.apps / "count", {"app.py": RAISES})
        until(lambda: last(here, "count")["outcome"] == "failed", 15, "it is refused")
        assert here.stop(signal.SIGTERM) == 0
        shutil.rmtree(here.base / "run")  # as in a container
        shutil.rmtree(here.apps / "gone")
        (here.base / "up.log").unlink()
        here.up()
        assert get(here.port, "/count/") == (200, b"one")
        until(lambda: get(here.port, "/gone/")[0] == 404, 15, "what was removed meanwhile goes")
        until(lambda: last(here, "gone")["outcome"] == "live", 5, "its removal has ended")
        assert (here.state / "data" / "gone" / "data" / "ids").read_text() == "1\n"
        assert here.status()["data_without_app"] == {"gone": f"{here.state}/data/gone"}
        assert "DATA WITHOUT AN APP" in here.run("status").stdout
        assert f"its data: {here.state}/data/gone" in here.run("releases", "gone").stdout


def test_a_round_in_which_a_worker_ends_turns_back_and_the_other_app_goes_with_the_next() -> None:
    """An app that passes its trial and ends every other worker: all old, and its neighbour's change is not lost."""
    ends = "import os\nif 'HEDGEROW_TRIAL' not in os.environ:\n    os._exit(1)\n" + APP % "ends"
    with stack(workers=2) as here:
        drop(here.apps, "count", COUNTER % "one")
        drop(here.apps, "other", COUNTER % "other")
        here.up()
        load = Load(here.port, "/count/")
        with load.running(2):
            drop(here.apps, "count", ends)
            drop(here.apps, "other", COUNTER % "newer")
            until(lambda: get(here.port, "/other/") == (200, b"newer"), 40, "the other app goes with the next round")
            until(lambda: last(here, "other")["outcome"] == "live", 10, "its round has ended")
        assert load.failed == []
        assert load.answers == {b"one"}
        found = last(here, "count")
        assert (found["outcome"], found["step"]) == ("reverted", "swap")
        assert "count: loading it does not end, or ends the worker" in found["reason"]
        assert "an older release runs: swap: count" in here.run("status").stdout


def test_an_app_that_is_left_out_keeps_nobody_from_a_deploy_and_comes_back_when_its_own_is_ordered() -> None:
    with stack(workers=2) as here:
        flag = here.base / "flag"
        ends = f"import os\nif os.path.exists({str(flag)!r}):\n    os._exit(3)\n"
        drop(here.apps, "bad", ends + APP % "bad")
        drop(here.apps, "good", APP % "one")
        here.up()
        until(lambda: last(here, "bad")["outcome"] == last(here, "good")["outcome"] == "live", 15, "both are live")
        here.stop(signal.SIGTERM)
        flag.touch()
        (here.base / "up.log").write_text("")
        here.up()
        until(lambda: get(here.port, "/good/") == (200, b"one"), 20, "it is served without the other")
        drop(here.apps, "good", APP % "two")
        until(lambda: get(here.port, "/good/") == (200, b"two"), 20, "the other is deployed")
        until(lambda: last(here, "good")["outcome"] == "live", 20, "its round ends")
        assert "`hedgerow deploy bad` tries it again" in here.run("status").stdout
        load = Load(here.port, "/good/")
        with load.running(2):
            again = here.run("deploy", "bad", "--wait")
            assert (again.returncode, "bad: loading it does not end, or ends the worker" in again.stderr) == (1, True)
            flag.unlink()
            again = here.run("deploy", "bad", "--wait")
            assert (again.returncode, again.stdout) == (0, f"bad: {last(here, 'bad')['release']} is live\n")
            assert all(get(here.port, "/bad/") == (200, b"bad") for _ in range(8))
        assert load.failed == []
        drop(here.apps, "bad", APP % "mended")
        until(lambda: get(here.port, "/bad/") == (200, b"mended"), 20, "the mended one is served")
