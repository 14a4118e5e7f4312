"""A release is tried before anybody is served by it: a throwaway worker loads it and answers one request, and a command
of the app may look at it.

    load      until the worker is ready and says that the app is up
    warm-up   a GET on the app's mount, as the manifest's [deploy] wants it
    check     the manifest's command, beside the worker

Whatever happens, nothing of it is left: no process, no folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import Settings
from ..errors import UserError
from ..hosting.findings import Finding
from ..hosting.manifest import Deploy, read_manifest
from . import client, command, process, words
from .child import Cancelled, Child, Clock, TimeOver, told
from .placement import BESIDE_OTHERS, Placement
from .plan import Content, Plan, plan_path, pool_link, slot_socket, write_plan
from .pools import trial_content
from .step import LIMITS_S, Outcome, StepFailed, Steps

# How long a worker may take to leave, to write its stack, to end by itself, to answer its control socket.
LEAVE_S = 2.0
STACK_S = 1.0
END_S = 0.2
STATUS_S = 0.5
# An answer that has begun is looked at for so long, or so far.
STREAM_S, STREAM_BYTES = 1.0, 2**20
# With these names the longest path is no longer than that of supervisord's socket, which is checked at the start.
SEE = "; see the traceback"  # at the end of a reason
FOLDER, ADDRESS, SLOT, LISTENER = "trial-", "t", "a", "http"


def try_release(
    app: str,
    code: Path,
    settings: Settings,
    cancel: threading.Event | None = None,
    limits_s: Mapping[str, float] = LIMITS_S,
    placement: Placement = BESIDE_OTHERS,
    is_enough: Callable[[Sequence[Finding]], bool] = lambda found: False,
) -> Outcome:
    """Tries the release of `app` that lies in `code`, as it runs in that placement. cancel: set from outside, it ends
    the trial within a second; is_enough: whether it is over with what was found, without the check.

    Raises UserError when it is not the release that keeps the trial from being run.
    """
    try:
        manifest = read_manifest(code)
    except UserError as mistake:
        return Outcome("load", str(mistake))
    steps = Steps("load", cancel, limits_s, manifest.deploy.timeout_s)
    try:
        with tempfile.TemporaryDirectory(prefix=FOLDER, dir=settings.run, ignore_cleanup_errors=True) as folder:
            content = trial_content(app, code, placement, manifest.run or "")
            own = _settings(settings, Path(folder))
            return _Trial(app, content, own, manifest.deploy, steps, is_enough).run()
    except OSError as error:
        raise UserError(f"{app}: its trial cannot be run: {error}") from error


def sweep(run: Path) -> None:
    """Removes the folders of trials whose deployer was killed; none may be under way."""
    for folder in run.glob(f"{FOLDER}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _settings(settings: Settings, folder: Path) -> Settings:
    """The worker's: it leaves at once, and takes us for the front, which understands no interim answers either."""
    return dataclasses.replace(settings, run=folder, drain_s=0.0, swap_drain_s=0.0, access_log=False, trust_front=True)


class _Trial:
    """One trial. settings: the worker's, whose run folder is the trial's own."""

    def __init__(
        self,
        app: str,
        content: Content,
        settings: Settings,
        deploy: Deploy,
        steps: Steps,
        is_enough: Callable[[Sequence[Finding]], bool],
    ) -> None:
        self._app = app
        self._content = content
        self._code = Path(content.apps[app])
        self._is_enough = is_enough
        self._settings = settings
        self._deploy = deploy
        self._steps = steps
        self._environ = command.base_environment(settings) | {"HEDGEROW_TRIAL": "1"}
        self._found: tuple[Finding, ...] = ()  # by a worker that has been ended since
        self._control = slot_socket(settings.run, ADDRESS, SLOT)

    def run(self) -> Outcome:
        """The steps, in this thread, and the end of all processes."""
        worker = self._start()
        reason = traceback = ""
        hangs, found = False, tuple[Finding, ...]()
        try:
            with self._steps.step("load") as clock:
                told = self._load(worker, clock)
            with self._steps.step("warm-up") as clock:
                self._warm_up(worker, clock, told)
            found = self._findings()
            if self._deploy.check is not None and not self._is_enough(found):
                with self._steps.step("check") as clock:
                    self._check(self._deploy.check, clock)
        except StepFailed as failed:
            reason, traceback, hangs = failed.reason, failed.traceback, failed.hangs
            found = self._found or self._findings()
        except Cancelled:
            reason = f"{self._app}: the trial was called off"
        finally:
            self._end(worker)
        lines = words.own(self._app, worker.lines)
        return Outcome(self._steps.name, reason, traceback, lines, self._steps.seconds, found, hangs)

    def _findings(self) -> tuple[Finding, ...]:
        """Why the app should not share the worker, or not be patched, as far as that answers."""
        if not self._control.exists() or self._content.run:
            return ()
        status = client.status(self._control, STATUS_S) or {}
        blocking: list[dict[str, str]] = []
        if not self._content.concurrency:
            with contextlib.suppress(client.ControlError, ValueError):
                blocking = json.loads(client.call(self._control, "GET", "/audit", STATUS_S)[1])
        found = [one for app in status.get("apps", ()) for one in app.get("findings", ())]
        return tuple(Finding(**one) for one in (*found, *blocking))

    def _start(self) -> Child:
        run = self._settings.run
        write_plan(plan_path(run, ADDRESS), Plan(ADDRESS).with_entry(SLOT, self._content))
        # A worker that is ended by SIGSEGV, SIGABRT or the like writes its stack.
        environ = self._environ | {"PYTHONFAULTHANDLER": "1"}
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(run / LISTENER))
            listener.listen()
            command = process.attendant(run, ADDRESS, SLOT)
            if not self._content.run:
                python = process.interpreter(self._settings.state, self._content.environment)
                command = process.worker(run, ADDRESS, SLOT, python)
                command += filter(None, [self._content.concurrency])
            return Child(command, environ, stdin=listener.fileno())

    def _end(self, worker: Child) -> int:
        return worker.end(Clock(LEAVE_S, self._steps.cancel))

    def _load(self, worker: Child, clock: Clock) -> dict[str, Any]:
        """What the worker tells of the app, which is up."""
        try:
            while not self._control.exists() or (status := client.status(self._control, STATUS_S)) is None:
                if worker.ended:
                    how = told(worker.end())
                    raise StepFailed(
                        f"{self._app}: loading it ends the process ({how})", words.last_words(worker.lines), hangs=True
                    )
                clock.pause()
        except TimeOver as over:
            reason = f"{self._app}: loading it does not end {over.within}"
            # At SIGINT Python raises KeyboardInterrupt where the import is, and the worker logs that.
            raise StepFailed(reason, self._stack(worker, signal.SIGINT, signal.SIGABRT), hangs=True) from over
        [found] = status["apps"]
        if found["state"] != "up":
            raise StepFailed(found["error"], found["traceback"])
        return dict(found)

    def _warm_up(self, worker: Child, clock: Clock, found: Mapping[str, Any]) -> None:
        target = found["mount"].rstrip("/") + self._deploy.warmup
        question = f"{self._app}: GET {target}"
        below = ""
        if self._content.run:  # what is sent to it begins below the mount
            target, below = self._deploy.warmup, found["mount"].rstrip("/")
        path = pool_link(self._settings.run, ADDRESS) if self._content.run else self._settings.run / LISTENER
        answer = _Asked(path, target, found["host"] or "localhost", below)
        try:
            while answer.is_alive():
                clock.pause()
        except TimeOver as over:
            raise StepFailed(f"{question} is not answered {over.within}", self._stacks(worker), hangs=True) from over
        if answer.broken:
            died = self._is_ending(worker)
            how = told(self._end(worker))
            reason = f"{question} ends the process ({how})" if died else f"{question} is not answered to its end"
            raise StepFailed(reason, words.last_words(worker.lines), hangs=died)
        wanted = self._deploy.status
        if answer.status >= 500 and answer.status != wanted:
            self._found = self._findings()
            self._end(worker)  # then all that it has logged is there
            traceback = words.traceback(worker.lines) or (words.said(worker.lines) if self._content.run else "")
            more = SEE if traceback else ""
            raise StepFailed(f"{question} answered {answer.status}{more}", traceback)
        if wanted is not None and answer.status != wanted:
            raise StepFailed(f"{question} answered {answer.status}, but deploy.status is {wanted}")

    def _is_ending(self, worker: Child) -> bool:
        """Whether it ends by itself: its connections are closed a moment before its end is to be seen."""
        clock = Clock(END_S, self._steps.cancel)
        with contextlib.suppress(TimeOver):
            while not worker.ended:
                clock.pause()
        return worker.ended

    def _stacks(self, worker: Child) -> str:
        """Where the request waits; if the worker does not even tell that, where it is busy."""
        try:
            stacks = client.call(self._control, "GET", "/stacks", STATUS_S)[1].decode()
        except client.ControlError:
            return self._stack(worker, signal.SIGABRT)
        return "\n".join(greenlet for greenlet in stacks.split("+--- ") if str(self._code) in greenlet) or stacks

    def _stack(self, worker: Child, *signals: signal.Signals) -> str:
        """What the worker writes when it is ended by one of these. SIGABRT reaches also one that is deep in C."""
        for number in signals:
            worker.tell(number, Clock(STACK_S, self._steps.cancel))
        worker.end()
        return words.last_words(worker.lines)

    def _check(self, line: str, clock: Clock) -> None:
        environ = command.environment(self._app, self._code, self._settings, self._environ, self._content.environment)
        command.run_step(self._app, "deploy.check", line, environ, clock)


class _Asked(threading.Thread):
    """One GET, sent when made. In a thread of its own, so that no answer can keep who waits for it."""

    def __init__(self, path: Path, target: str, host: str, below: str) -> None:
        super().__init__(name="warm-up", daemon=True)  # when the worker ends, so does this
        self.status = 0
        self.broken = True
        self._path = path
        self._target = target
        self._headers = {"Host": host, "Connection": "close", "User-Agent": "hedgerow-trial"} | client.prefix(below)
        self.start()

    def run(self) -> None:
        """See Thread."""
        connection = client.UnixConnection(self._path, timeout_s=None)
        try:
            connection.request("GET", self._target, headers=self._headers)
            sock = connection.sock  # which the connection gives to the answer
            answer = connection.getresponse()
            self._read(sock, answer)
            self.status, self.broken = answer.status, False
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()

    def _read(self, sock: socket.socket, answer: http.client.HTTPResponse) -> None:
        """To its end, or as far as says that it is none that breaks off: a stream may have no end."""
        end, left = time.monotonic() + STREAM_S, STREAM_BYTES
        sock.settimeout(STREAM_S)
        with contextlib.suppress(TimeoutError):
            while left > 0 and time.monotonic() < end and (block := answer.read1(2**16)):
                left -= len(block)
