"""Trials and hooks of releases, by real workers: each end has its step and one sentence, and nothing is left of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from control_support import drop, until

from hedgerow.config import Settings
from hedgerow.control import releases, trial
from hedgerow.control.command import run_hook
from hedgerow.control.step import LIMITS_S, Outcome
from hedgerow.control.trial import try_release
from hedgerow.errors import UserError

FIXTURES = Path(__file__).parent.parent / "fixtureapps"
CANCEL_S = 1.0
SHORT_S = 0.5
# Time for a worker to start on a busy machine, so that it is the app which does not end.
IMPORT_S = 2.0

GOOD = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"good"]
"""

FLASK = """
import logging, os
from flask import Flask

def create_app():
    app = Flask(__name__)
    print("made with", os.environ["HEDGEROW_TRIAL"])

    @app.route("/")
    def index():
        logging.warning("asked")
        with open(os.path.join(app.instance_path, "asked"), "w") as file:
            file.write(os.environ["HEDGEROW_STATE"] + " " + os.environ["HEDGEROW_RUN"])
        return "good"

    @app.route("/fails")
    def fails():
        return str(1 / 0)

    return app
"""

# Answers 200 only if the trial asks as a client of this mount would.
MOUNTED = """
def application(environ, start_response):
    seen = [environ[name] for name in ("HTTP_HOST", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING")]
    good = seen == ["blog.example", "/journal", "/health", "deep=1"]
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")]) if "wsgi.early_hints" in environ else None
    start_response("200 OK" if good else "500 Internal Server Error", [])
    return [repr(seen).encode()]
"""


class Place:
    """Apps, state and run folder of a test; `seen` tells which of our processes are left."""

    def __init__(self, base: Path) -> None:
        self.base = base
        (base / "run").mkdir()
        self.settings = Settings.from_env({}, apps=base / "apps", state=base / "state", run=base / "run")

    def make(self, name: str, text: str = "", manifest: str = "", **files: str) -> Path:
        """A release of an app of these files; without any the fixture of this name."""
        if text:
            drop(self.settings.apps, name, text)
        else:
            shutil.copytree(FIXTURES / name, self.settings.apps / name)
        if manifest:
            drop(self.settings.apps, name, manifest, "app.toml")
        for file, content in files.items():
            drop(self.settings.apps, name, content, f"{file}.py")
        return releases.make(self.settings.apps / name, self.settings.state).code

    def try_it(self, name: str, *arguments: str, **files: str) -> Outcome:
        """The outcome of a trial of such an app; nothing may be left of it."""
        return self.outcome(name, self.make(name, *arguments, **files))

    def outcome(self, name: str, code: Path, cancel: threading.Event | None = None, **limits_s: float) -> Outcome:
        limits = LIMITS_S | {key.replace("_", "-"): value for key, value in limits_s.items()}
        outcome = try_release(name, code, self.settings, cancel, limits)
        self.check_that_nothing_is_left()
        assert "\n" not in outcome.reason
        return outcome

    def hook(self, name: str, code: Path, cancel: threading.Event | None = None, **limits_s: float) -> Outcome:
        outcome = run_hook(name, code, self.settings, cancel, LIMITS_S | limits_s)
        self.check_that_nothing_is_left()
        assert "\n" not in outcome.reason
        return outcome

    def check_that_nothing_is_left(self) -> None:
        assert list(self.settings.run.iterdir()) == []
        until(lambda: not self.processes, 2.0, f"processes are left: {self.processes}")  # a killed one takes a moment

    @property
    def processes(self) -> list[int]:
        """All whose variables name our run folder, whoever started them."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if os.fsencode(self.settings.run) in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:  # it has ended, or is somebody else's
                continue
        return found

    def data(self, name: str) -> Path:
        return self.settings.state / "data" / name / "data"


@pytest.fixture
def place() -> Iterator[Place]:
    base = Path(tempfile.mkdtemp(prefix="hgt-"))  # sockets want a short path
    try:
        found = Place(base)
        yield found
        for pid in found.processes:  # of a test that failed
            os.kill(pid, signal.SIGKILL)
    finally:
        releases.remove(base)


def marks(then: str) -> str:
    """An app whose import says that it has begun."""
    return f"import os, time\nopen(os.path.dirname(__file__) + '/data/begun', 'w').close()\n{then}\n{GOOD}"


class Caller(threading.Thread):
    """Calls it off once a file is there; `called` is when."""

    def __init__(self, begun: Path) -> None:
        super().__init__()
        self.cancel = threading.Event()
        self.called = 0.0
        self._begun = begun
        self.start()

    def run(self) -> None:
        until(self._begun.exists, 20, "it begins")
        self.called = time.monotonic()
        self.cancel.set()


def test_a_good_app_passes(place: Place) -> None:
    outcome = place.try_it("blog", FLASK)
    assert (outcome.ok, outcome.step, outcome.reason, outcome.traceback) == (True, "warm-up", "", "")
    assert list(outcome.seconds) == ["load", "warm-up"]
    assert 0 < outcome.seconds["load"] < 20
    assert outcome.log == ("made with 1", "asked")
    state, run = (place.settings.state / "data/blog/instance/asked").read_text().split()
    assert state == str(place.settings.state)
    assert run != str(place.settings.run)


def test_a_mount_is_asked_as_its_clients_ask(place: Place) -> None:
    manifest = 'mount = "/journal"\nhost = "blog.example"\n[deploy]\nwarmup = "/health?deep=1"\nstatus = 200\n'
    assert place.try_it("blog", MOUNTED, manifest).reason == ""


@pytest.mark.parametrize(
    ("name", "text", "reason", "traceback"),
    [
        ("syntax", "def application(:\n", "syntax/app.py line 1: SyntaxError: ", "SyntaxError"),
        ("missing_dependency", "", "missing_dependency/app.py line 3: ModuleNotFoundError: No module", "no_such_lib"),
        ("raises_at_import", "", "raises_at_import/", "Traceback"),
        ("factory", "def create_app():\n    return {}['a']\n", "factory/app.py line 2: KeyError: 'a'", "create_app"),
        ("exits_at_import", "", "exits_at_import/app.py line 5: SystemExit: set TOKEN first", "SystemExit"),
        ("no_entry", "", "no_entry: no ", ""),
    ],
)
def test_an_app_that_cannot_be_loaded(place: Place, name: str, text: str, reason: str, traceback: str) -> None:
    outcome = place.try_it(name, text)
    assert outcome.step == "load"
    assert outcome.reason.startswith(reason)
    assert traceback in outcome.traceback
    assert bool(traceback) == bool(outcome.traceback)


def test_a_manifest_that_cannot_be_read(place: Place) -> None:
    for outcome in (place.outcome("it", FIXTURES / "wrong_manifest"), place.hook("it", FIXTURES / "wrong_manifest")):
        assert outcome.reason.startswith("wrong_manifest/app.toml: ")


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("import os\nos.write(2, b'my last words\\n')\nos._exit(3)\n", "exit status 3"),
        ("import os, sys\nprint('my last words', file=sys.__stderr__, flush=True)\nos.abort()\n", "SIGABRT"),
    ],
)
def test_an_import_that_ends_the_process(place: Place, text: str, how: str) -> None:
    outcome = place.try_it("blog", text + GOOD)
    assert (outcome.step, outcome.reason) == ("load", f"blog: loading it ends the process ({how})")
    assert "my last words" in outcome.log
    if how != "SIGABRT":
        assert outcome.traceback == "my last words"
    else:
        assert "blog/app.py" in outcome.traceback
        assert "line 3 in <module>" in outcome.traceback


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("    while True: pass", "line 3, in spin"),
        ("    time.sleep(60)", "line 3, in spin"),
        (
            "    for _ in iter(int, 1):\n        try: time.sleep(9)\n        except BaseException: pass",
            "Fatal Python error",
        ),
    ],
    ids=["busy", "waiting", "catches all"],
)
def test_an_import_without_end_is_told_with_its_stack(place: Place, what: str, where: str) -> None:
    code = place.make("blog", f"import time\ndef spin():\n{what}\nspin()\n{GOOD}")
    outcome = place.outcome("blog", code, load=IMPORT_S)
    assert (outcome.step, outcome.reason) == ("load", f"blog: loading it does not end within {IMPORT_S:g} s")
    assert where in outcome.traceback
    assert IMPORT_S <= outcome.seconds["load"] < IMPORT_S + 3


def test_an_import_may_take_its_time(place: Place) -> None:
    outcome = place.try_it("blog", f"import time\ntime.sleep(0.7)\n{GOOD}", "[deploy]\ntimeout_s = 20\n")
    assert outcome.ok
    assert outcome.seconds["load"] > 0.7


def test_the_manifest_says_how_long_a_step_may_take(place: Place) -> None:
    outcome = place.try_it("blog", f"import time\ntime.sleep(60)\n{GOOD}", "[deploy]\ntimeout_s = 0.5\n")
    assert outcome.reason == "blog: loading it does not end within 0.5 s"


def test_what_an_app_prints_without_end_fills_no_disk(place: Place) -> None:
    code = place.make("blog", "import os\nwhile True: os.write(1, b'x' * 9000 + b'\\n')\n" + GOOD)
    largest = 0
    stop = threading.Event()

    def look() -> None:
        nonlocal largest
        while not stop.wait(0.01):
            for pid in place.processes:
                try:
                    largest = max(largest, os.stat(f"/proc/{pid}/fd/1").st_size)
                except OSError:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        outcome = place.outcome("blog", code, load=IMPORT_S)
    finally:
        stop.set()
        watcher.join()
    assert "does not end within" in outcome.reason
    assert 2**20 < largest < 2**29
    assert len(outcome.log) <= 100
    assert max(map(len, outcome.log)) < 1100


def test_an_exception_at_the_warm_up_request(place: Place) -> None:
    outcome = place.try_it("raises_in_request", "")
    reason = "raises_in_request: GET /raises_in_request/ answered 500; see the traceback"
    assert (outcome.step, outcome.reason) == ("warm-up", reason)
    assert outcome.traceback.endswith("ValueError: as it must\n")


def test_an_exception_that_the_framework_logs(place: Place) -> None:
    outcome = place.try_it("blog", FLASK, '[deploy]\nwarmup = "/fails"\n')
    assert outcome.reason == "blog: GET /blog/fails answered 500; see the traceback"
    assert "ZeroDivisionError" in outcome.traceback


def test_a_500_that_says_nothing(place: Place) -> None:
    outcome = place.try_it("blog", GOOD.replace("200 OK", "503 Service Unavailable"))
    assert (outcome.step, outcome.reason, outcome.traceback) == ("warm-up", "blog: GET /blog/ answered 503", "")


@pytest.mark.parametrize("status", ["302 Found", "499 None"])
def test_any_status_below_500_is_good(place: Place, status: str) -> None:
    assert place.try_it("blog", GOOD.replace("200 OK", status)).ok


def test_a_500_can_be_what_the_manifest_wants(place: Place) -> None:
    assert place.try_it("blog", GOOD.replace("200 OK", "503 Closed"), "[deploy]\nstatus = 503\n").ok


def test_another_status_than_the_manifest_wants(place: Place) -> None:
    outcome = place.try_it("blog", GOOD, "[deploy]\nstatus = 204\n")
    assert (outcome.step, outcome.reason) == ("warm-up", "blog: GET /blog/ answered 200, but deploy.status is 204")


@pytest.mark.parametrize(("what", "word"), [("time.sleep(60)", "sleep"), ("spin()", "in spin")])
def test_a_warm_up_that_is_not_answered(place: Place, what: str, word: str) -> None:
    spin = "import time\n\ndef spin():\n    while True:\n        pass\n"
    code = place.make("blog", f"{spin}\ndef application(environ, start_response):\n    {what}\n")
    began = time.monotonic()
    outcome = place.outcome("blog", code, warm_up=SHORT_S)
    took = time.monotonic() - began
    reason = f"blog: GET /blog/ is not answered within {SHORT_S} s"
    assert (outcome.step, outcome.reason) == ("warm-up", reason)
    assert word in outcome.traceback
    if word == "sleep":
        assert "_write_forever" not in outcome.traceback  # a thread of ours
        assert took - outcome.seconds["load"] < SHORT_S + trial.LEAVE_S  # nobody waits for that request


@pytest.mark.parametrize("between", ["time.sleep(0.01)", "time.sleep(100)"])
def test_a_stream_need_not_end(place: Place, between: str) -> None:
    """One that flows, and one that falls silent behind its first event."""
    endless = "import time\ndef application(environ, start_response):\n    start_response('200 OK', [])\n"
    outcome = place.try_it("blog", endless + f"    while True:\n        yield b'x'\n        {between}\n")
    assert outcome.ok, outcome.reason
    assert outcome.seconds["warm-up"] < 3


@pytest.mark.parametrize(
    ("what", "reason", "traceback"),
    [
        ("__import__('os')._exit(7)", "ends the process (exit status 7)", ""),
        ("raise ValueError('midway')", "is not answered to its end", "ValueError: midway"),
    ],
)
def test_an_answer_that_breaks_off(place: Place, what: str, reason: str, traceback: str) -> None:
    text = f"def application(environ, start_response):\n    start_response('200 OK', [])\n    yield b'x'\n    {what}\n"
    outcome = place.try_it("blog", text)
    assert (outcome.step, outcome.reason) == ("warm-up", f"blog: GET /blog/ {reason}")
    assert traceback in outcome.traceback


def test_what_an_app_starts_ends_with_its_trial(place: Place) -> None:
    start = "import subprocess\nsubprocess.Popen(['sh', '-c', 'trap \"\" TERM; sleep 300 & wait'])\n"
    assert place.try_it("blog", start + GOOD).ok  # and nothing is left


# The check of an app that hides modules which a wrapper would need.
CHECK = "import os, sys, application_of_it\nprint(os.environ['HEDGEROW_TRIAL'], os.getcwd())\nsys.exit(%s)\n"


@pytest.mark.parametrize("status", [0, 5])
def test_a_check_tells_by_its_exit_status(place: Place, status: int) -> None:
    code = place.make(
        "blog",
        GOOD,
        '[deploy]\ncheck = "GREETING=hello python checks.py"\n',
        checks="import os\nassert os.environ['GREETING'] == 'hello'\n" + CHECK % status,
        application_of_it="",
        signal="raise RuntimeError('not for you')\n",
    )
    outcome = place.outcome("blog", code)
    assert (outcome.step, outcome.ok) == ("check", status == 0)
    assert list(outcome.seconds) == ["load", "warm-up", "check"]
    if status:
        told = "blog: deploy.check = 'GREETING=hello python checks.py' ends with exit status 5"
        assert (outcome.reason, outcome.traceback) == (told, f"1 {code}")


def test_a_check_that_is_not_there(place: Place) -> None:
    outcome = place.try_it("blog", GOOD, '[deploy]\ncheck = "./no-such --fast"\n')
    told = "blog: deploy.check = './no-such --fast': there is no command './no-such'"
    assert (outcome.step, outcome.reason) == ("check", told)


def test_a_check_that_hangs_leaves_no_children(place: Place) -> None:
    line = "sh -c 'trap \\\"\\\" TERM; sleep 300 & sleep 301 & echo begun; wait'"
    code = place.make("blog", GOOD, f'[deploy]\ncheck = "{line}"\n')
    outcome = place.outcome("blog", code, check=SHORT_S)
    assert outcome.step == "check"
    assert outcome.reason.endswith(f" does not end within {SHORT_S} s")
    assert outcome.traceback == "begun"


def test_a_check_that_ends_leaves_no_children_either(place: Place) -> None:
    assert place.try_it("blog", GOOD, "[deploy]\ncheck = \"sh -c 'sleep 300 & exit 0'\"\n").ok


@pytest.mark.parametrize(
    ("step", "text", "manifest"),
    [
        ("load", marks("while True: pass"), ""),
        ("load", marks("time.sleep(60)"), ""),
        ("warm-up", "import time\ndef application(environ, start_response):\n    %s\n    while True: pass\n", ""),
        ("check", GOOD, "[deploy]\ncheck = \"sh -c 'touch data/begun; sleep 300'\"\n"),
    ],
    ids=["busy import", "sleeping import", "busy warm-up", "check"],
)
def test_a_trial_that_is_called_off_ends_within_a_second(place: Place, step: str, text: str, manifest: str) -> None:
    text = text.replace("%s", "open(__file__.replace('app.py', 'data/begun'), 'w').close()")
    code = place.make("blog", text, manifest)
    caller = Caller(place.data("blog") / "begun")
    outcome = place.outcome("blog", code, caller.cancel)
    took = time.monotonic() - caller.called
    caller.join()
    assert (outcome.step, outcome.reason) == (step, "blog: the trial was called off")
    assert took < CANCEL_S


def test_trials_run_side_by_side(place: Place) -> None:
    good, bad = place.make("good", GOOD), place.make("exits_at_import")
    with ThreadPoolExecutor(2) as threads:
        tried = [threads.submit(try_release, *it, place.settings) for it in (("good", good), ("exits_at_import", bad))]
        assert [found.result().ok for found in tried] == [True, False]
    place.check_that_nothing_is_left()


def test_a_trial_ends_with_who_runs_it(place: Place) -> None:
    code = place.make("blog", marks("time.sleep(300)"))
    told = (
        "from hedgerow.control.trial import try_release; from hedgerow.config import Settings; from pathlib import Path"
    )
    told += f"; try_release('blog', Path({str(code)!r}), Settings.from_env())"
    environ = os.environ | place.settings.to_env()
    with subprocess.Popen([sys.executable, "-c", told], env=environ) as runner:
        until((place.data("blog") / "begun").exists, 20, "the import begins")
        runner.kill()
    until(lambda: not place.processes, 2, "the worker ends")
    trial.sweep(place.settings.run)
    place.check_that_nothing_is_left()


def test_where_no_trial_can_be_run_the_release_is_not_blamed(place: Place) -> None:
    code = place.make("blog", GOOD)
    place.settings.run.rmdir()
    try:
        with pytest.raises(UserError, match=r"^blog: its trial cannot be run: .*No such file or directory"):
            try_release("blog", code, place.settings)
    finally:
        place.settings.run.mkdir()


def test_where_no_command_can_be_run_the_release_is_not_blamed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    code = place.make("blog", GOOD, '[deploy]\nbefore = "true"\n')
    monkeypatch.setattr(tempfile, "tempdir", str(place.base / "away"))
    with pytest.raises(UserError, match=r"^blog: its hook cannot be run: .*No such file or directory"):
        run_hook("blog", code, place.settings)


HOOK = (
    "import os, sys\nopen('data/migrated', 'a').write('once ')\nprint('HEDGEROW_TRIAL' in os.environ)\nsys.exit(%s)\n"
)


@pytest.mark.parametrize("status", [0, 1])
def test_a_hook_runs_on_the_apps_data(place: Place, status: int) -> None:
    code = place.make("blog", GOOD, '[deploy]\nbefore = "python migrate.py"\n', migrate=HOOK % status)
    outcome = place.hook("blog", code)
    assert (place.data("blog") / "migrated").read_text() == "once "
    assert (outcome.step, list(outcome.seconds)) == ("hook", ["hook"])
    told: dict[int, tuple[Any, ...]] = {
        0: (True, "", "", ("False",)),
        1: (False, "blog: deploy.before = 'python migrate.py' ends with exit status 1", "False", ()),
    }
    assert (outcome.ok, outcome.reason, outcome.traceback, outcome.log) == told[status]


def test_without_a_hook_nothing_is_run(place: Place) -> None:
    assert place.hook("blog", place.make("blog", GOOD)) == Outcome("hook")


def test_a_hook_has_a_limit_and_can_be_called_off(place: Place) -> None:
    code = place.make("blog", GOOD, "[deploy]\nbefore = \"sh -c 'sleep 300 & touch data/begun; wait'\"\n")
    outcome = place.hook("blog", code, hook=SHORT_S)
    assert outcome.reason.endswith(f" does not end within {SHORT_S} s")
    (place.data("blog") / "begun").unlink()
    caller = Caller(place.data("blog") / "begun")
    assert place.hook("blog", code, caller.cancel).reason == "blog: the hook was called off"
    assert time.monotonic() - caller.called < CANCEL_S
    caller.join()
