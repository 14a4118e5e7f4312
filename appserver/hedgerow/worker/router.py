"""From a request to a job: which app, under which id, and whether it may enter. The public listener's router, and that
of a pool, whose requests come from workers that have decided app and mount; the control socket's is one line.
"""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from ..config import Settings
from ..control.entries import AppState
from ..errors import RefusedError
from ..hosting import failure, pages
from ..hosting.app import HostedApp
from ..hosting.counts import Counts
from ..hosting.failure import Failure
from ..hosting.forwarded import ForwardedApp
from ..hosting.gate import Gate
from ..hosting.host import Host
from ..hosting.manifest import Limits
from ..hosting.mounts import Mounted, Mounts, Redirect, Route, split
from ..hosting.pages import Page
from ..hosting.rates import Rates
from ..http.request import LENGTH, NONE, Request
from ..pep3333.bridge import Application
from . import kept, threads
from .absent import AbsentApp, AbsentApps
from .canary import splits
from .connection import Connection
from .deadlines import deadlines_of
from .files import Files
from .forward import Forward, forwarded_name
from .fronted import Fronted
from .job import REFUSED, Job, Target
from .log import quote
from .members import Pool
from .refusal import refuse, refuse_behind, told_cause
from .runner import page_application
from .waiting import Waiting

if TYPE_CHECKING:
    from .server import Server

Listed = HostedApp | ForwardedApp | AbsentApp

UNLIMITED = 10**9
_NOTHING: Page = ("200 OK", [], b"")


class Router:
    """Routes requests to the targets of a host's apps. behind: all of them come from other workers of ours."""

    def __init__(self, host: Host, settings: Settings, ledger: Path | None = None, behind: bool = False) -> None:
        self._host = host
        self._settings = settings
        self._mounts = host.mounts
        self._trust_front = settings.trust_front
        self._absent = AbsentApps(ledger, host.apps.values()) if ledger is not None else None
        self._failed = Mounts(())
        self._show_errors = settings.show_errors and not settings.trust_front  # behind the front never
        self._apps = settings.apps
        self._is_behind = behind
        self._behind = {forwarded_name(app.name): app for app in host.apps.values()}
        self._pages = Target("null", _no_application, contextvars.Context(), Gate(UNLIMITED))
        self._counts: dict[str, Counts] = {"": self._pages.counts}
        self._targets: dict[Mounted, Target] = {
            app: self._target(app) for app in host.apps.values() if app.error is None
        }
        self.splits = splits(host, self._targets, self._target)

    def look(self) -> bool:
        """Mount what the ledger tells of apps that are not loaded here. Whether it has changed."""
        absent = self._absent
        if absent is None or not absent.look():
            return False
        self._mounts = Mounts([*self._host.apps.values(), *absent.wanted], self._host.apps)
        self._failed = Mounts(absent.failed)
        for name, clients in self.splits.items():
            clients.follow(absent.apps.get(name, AppState()))
        return True

    def route(self, raw_path: str, host: str) -> Route | None:
        """Which app a path is of, after a look at the ledger; one that never lived takes none from one that does."""
        self.look()
        return self._mounts.route(raw_path, host) or self._failed.route(raw_path, host)

    def counts_of(self, name: str) -> Counts:
        """Those of an app, also of one that is not loaded here; '' for what is no app's."""
        found = self._counts.get(name)
        if found is None:
            found = self._counts[name] = Counts()
        return found

    def counts(self) -> dict[str, dict[str, Any]]:
        """All that is not 0, by app, as JSON."""
        return {name: told for name, counts in self._counts.items() if (told := counts.told())}

    def gates(self) -> dict[str, tuple[int, int]]:
        """How many of each app run and wait here, where it is any; of an app that is sent on its pool tells."""
        gates = {
            app.name: target.gate
            for app, target in self._targets.items()
            if not (isinstance(app, ForwardedApp) and app.ours)
        }
        return {name: (gate.running, len(gate.waiting)) for name, gate in gates.items() if gate.running}

    def __call__(self, server: Server, connection: Connection, request: Request) -> Job:
        fields = request.fields
        turn = fields.pop("HTTP_X_HEDGEROW_ROUND", "")
        front = fields.pop("HTTP_X_HEDGEROW_FRONT", "")
        files = fields.pop("HTTP_X_HEDGEROW_FILES", "")
        name = fields.pop("HTTP_X_HEDGEROW_APP", "")
        mount = fields.pop("HTTP_X_HEDGEROW_MOUNT", "")
        peer = fields.pop("HTTP_X_HEDGEROW_PEER", "")
        hints = fields.pop("HTTP_X_HEDGEROW_HINTS", "")
        step = fields.pop("HTTP_X_HEDGEROW_CACHE", "")
        asks = fields.pop("HTTP_X_HEDGEROW_CAUSE", "")
        request_id = fields.get("HTTP_X_REQUEST_ID", "") if self._trust_front or self._is_behind else ""
        path, _, query = request.path.partition("?")
        job = Job(connection, request, self._pages, path, query, request_id)
        if request_id:
            fields["hedgerow.front"] = front  # fields become environ as they are
            fields["hedgerow.files"] = files
        else:
            # whoever makes the id returns it
            job.request_id = fields["HTTP_X_REQUEST_ID"] = server.new_request_id()
            job.own_headers = (f"X-Request-Id: {job.request_id}",)
        job.heard = self._is_behind or (asks == "1" and self._trust_front)
        job.movable = turn == "1" and self._trust_front
        job.hints = hints == "1" and self._trust_front
        if connection.surplus:
            self._refuse(job, RefusedError("connections"))
        elif self._is_behind:
            self._take(job, name, mount, peer)
        else:
            self._aim(job, step if self._trust_front else "")
        return job

    def _take(self, job: Job, name: str, mount: str, peer: str) -> None:
        """A request that another worker has sent on: who its client is, and the app."""
        app = self._behind.get(name)
        if app is None:
            self._refuse(job, RefusedError("starting"))
            return
        fields = job.request.fields
        address, port, fields["SERVER_NAME"], fields["SERVER_PORT"] = peer.split(",")
        job.peer = (address, port)
        self._enter(job, split(app, job.path_info, mount))

    def _aim(self, job: Job, step: str) -> None:
        """Choose the job's target: an app that lets it in, or a page of ours. step: of the front's cache."""
        fields = job.request.fields
        accept = fields.get("HTTP_ACCEPT", "")
        host = fields.get("HTTP_HOST", "")
        route = self._mounts.route(job.path_info, host) or self.route(job.path_info, host)
        if route is None:
            listed = job.path_info == "/" and job.request.method in ("GET", "HEAD")
            self._show(job, pages.index(self._listed(), accept) if listed else pages.not_found(accept))
            return
        redirect = route.redirect(job.request.method, job.query)
        if redirect is not None and route.app in self._targets:
            self._show(job, _redirect_page(redirect))
        elif not (step and self._is_kept(job, cast("Listed", route.app), step)):
            self._enter(job, route)

    def _is_kept(self, job: Job, app: Listed, step: str) -> bool:
        """Whether the front answers with what it has kept. Clients of two releases would get each other's."""
        if not app.cache.max_age or app.name in self.splits:
            return False
        if step == kept.ASK and kept.asks(job):
            job.counts = self.counts_of(app.name)
            kept.send_to_kept(job, app.cache)
            self._show(job, _NOTHING)
            return True
        job.keeps = app.cache if step == kept.FILL else None
        return False

    def _enter(self, job: Job, route: Route) -> None:
        fields = job.request.fields
        target = self._targets.get(route.app)
        clients = self.splits.get(route.app.name) if target is None else target.canary
        side = None
        if clients is not None:
            side, target = (clients.new, clients.target) if clients.is_new(job) else (clients.old, target)
        if target is None:
            job.side = side
            job.counts = self.counts_of(route.app.name)
            self._answer_for(job, cast("Listed", route.app), fields.get("HTTP_ACCEPT", ""))
            return
        job.counts = target.counts
        if self._may_enter(job, target):
            job.target, job.side = target, side
            fields["hedgerow.app"] = route.app.name
            if target.forwarded:
                job.mount = job.path_info[: len(job.path_info) - len(route.path_info_raw)]
            job.script_name, job.path_info = route.script_name, route.path_info

    def _may_enter(self, job: Job, target: Target) -> bool:
        """Whether it enters the app, now or when it has waited; else it has its answer."""
        if target.rates is not None:
            after_s = target.rates.take(self._client(job), monotonic())
            if after_s:
                page = pages.too_many(math.ceil(after_s), job.request.fields.get("HTTP_ACCEPT", ""), job.request_id)
                self._show_instead(job, "rate", page)
                return False
        if target.max_body is not None and not self._fits(job, target.max_body):
            return False
        if not target.gate.enter():
            try:
                job.waiting = Waiting(target.gate, self._refuse)
            except RefusedError as refusal:
                self._refuse(job, refusal)
                return False
        return True

    def _fits(self, job: Job, max_body: int) -> bool:
        """Whether the body is not larger than the app takes; of one in chunks that is found out while it is read."""
        request = job.request
        if request.framing is LENGTH and request.length > max_body:
            accept = request.fields.get("HTTP_ACCEPT", "")
            self._show_instead(job, "body", pages.too_large(max_body, accept, job.request_id))
            return False
        if request.framing is not NONE:
            job.connection.reader.limit_body(max_body)
        return True

    def _client(self, job: Job) -> str:
        told: str = job.request.fields.get("HTTP_X_FORWARDED_FOR", "") if self._trust_front else ""
        return told or job.peer[0]

    def _listed(self) -> list[Listed]:
        failed = {app.name: app for app in self._absent.failed} if self._absent is not None else {}
        return [found for _, found in sorted((failed | self._host.apps).items())]

    def _answer_for(self, job: Job, app: Listed, accept: str) -> None:
        """For an app that is not here: it is down, or another address has it."""
        if app.error is None:
            self._refuse(job, RefusedError("starting"))
            return
        shown = None
        if self._show_errors and isinstance(app, HostedApp):
            shown = failure.as_edited(app.error, app.folder, self._edited(app))
        self._show_instead(job, "down", pages.app_down(app.name, accept, shown, job.request_id))

    def _edited(self, app: HostedApp) -> Path:
        """The folder that the app's author edits: a release is a copy of it, `module:callable` is not copied."""
        folder: Path = self._apps / app.name
        return folder if app.space is not None and folder.is_dir() else app.folder

    def _teller(self, app: HostedApp) -> Callable[[BaseException], Failure]:
        package = app.space.package if app.space is not None else ""
        source = self._edited(app)

        def tell(error: BaseException) -> Failure:
            return failure.as_edited(failure.tell(error, app.folder, package=package), app.folder, source)

        return tell

    def _refuse(self, job: Job, refusal: RefusedError) -> None:
        if self._is_behind:
            self._show(job, refuse_behind(job, refusal))
        else:
            page, after_s = refuse(job, refusal)
            self._show(job, page, after_s)

    def _show_instead(self, job: Job, cause: str, page: Page) -> None:
        """A page in the app's name, that is no other address's business."""
        job.cause, job.refused = cause, REFUSED
        job.own_headers += told_cause(job)
        self._show(job, page)

    def _show(self, job: Job, page: Page, after_s: float = 0.0) -> None:
        shared = self._pages
        shared.gate.enter()
        application = page_application(page, after_s)
        job.target = Target(shared.name, application, shared.context, shared.gate, shared.free, counts=shared.counts)

    def _target(self, app: HostedApp | ForwardedApp) -> Target:
        if isinstance(app, ForwardedApp):
            pool = Pool(app.sockets, linked=not app.ours)
            files = Files(self._settings.state, app.name)
            forward = Forward(app.name, pool, self._trust_front, app.ours, files)
            return Target(
                quote(app.name),
                forward,
                contextvars.Context(),
                app.gate,
                early_hints=False,
                forwarded=True,
                counts=self.counts_of(app.name),
            )
        application: Application = app.application  # type: ignore[assignment]
        if app.threads == 1:
            application = threads.OneAtATime(application)
        if self._trust_front:
            application = Fronted(application)
        timed = app.manifest.server_timing
        # An nginx before 1.29 takes 103 for the answer and waits for more, so a front says for each request whether it
        # passes them on; who sends on to us drops them.
        hints = not self._trust_front and not self._is_behind
        tell = self._teller(app) if self._show_errors else None
        return Target(
            quote(app.name),
            application,
            app.context,
            app.gate,
            server_timing=timed,
            early_hints=hints,
            tell=tell,
            threads=threads.Pool(app.name, app.threads) if app.threads else None,
            rates=_rates(app.manifest.limits),
            deadlines=deadlines_of(app.manifest.limits, self._settings),
            counts=self.counts_of(app.name),
            files=Files(self._settings.state, app.name, app.folder),
            max_body=app.manifest.limits.body_bytes,
        )

    @property
    def period_s(self) -> float:
        """How often requests have to be looked at, so that none is ended late."""
        targets = self._targets.values()
        return min((each.deadlines.period_s for each in targets if each.deadlines is not None), default=1.0)


def _rates(limits: Limits) -> Rates | None:
    if not limits.rate and not limits.client_rate:
        return None
    return Rates(limits.rate, limits.client_rate, monotonic())


def _redirect_page(redirect: Redirect) -> Page:
    return "308 Permanent Redirect", [("Location", redirect.location), ("Content-Length", "0")], b""


def _no_application(environ: object, start_response: object) -> list[bytes]:
    raise AssertionError("the target of pages is always given a page")
