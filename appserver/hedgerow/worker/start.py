"""`python -m hedgerow.worker PLAN SLOT [ledger] [threads]`: read our entry of the plan, load its apps, serve. The
listening socket is fd 0. ledger: we are one of a deployer's workers, and its ledger tells of apps that we do not have;
threads: the process is not patched, and the apps run in native threads, which the plan must want too.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import gevent

from ..config import Settings
from ..control.plan import Content, PlanError, importing_file, read_plan
from ..errors import UserError
from ..hosting import environment, findings, imports
from ..hosting.app import HostedApp
from ..hosting.forwarded import ForwardedApp
from ..hosting.gate import Gate
from ..hosting.host import Host, host_callable, load_host
from ..hosting.mounts import Mount
from . import context, log
from .log import LogQueue, render
from .streams import take_over
from .worker import FLUSH_S, Worker, exit_now, raise_descriptor_limit, take_listener

# supervisord starts a worker again that was killed while it drained: old code must not answer any more. An end within
# the first second would be a crash to it.
QUIET_END_S = 1.1
# A pool with no app that can be loaded (what they need is away): no neighbour's deploy may come to load them again. Its
# worker goes, and another one tries. Who asks meanwhile waits in the listener's queue.
AGAIN_S = 30.0
THREADS = "threads"  # the plan's word for it, and the command line's


def main(arguments: Sequence[str]) -> None:
    """Run one worker to its end. Raises UserError for a plan that does not name us."""
    options = set(arguments[2:])
    if len(arguments) < 2 or not options <= {"ledger", THREADS}:
        raise UserError("usage: python -m hedgerow.worker PLAN SLOT [ledger] [threads], with the listener as fd 0")
    listener = take_listener()
    raise_descriptor_limit()
    settings = Settings.from_env()
    path, slot = Path(arguments[0]), arguments[1]
    try:
        plan = read_plan(path)
    except PlanError as error:
        raise UserError(str(error)) from None
    entry = plan.slots.get(slot)
    if entry is None:
        raise UserError(f"{path}: slot {slot} has no entry")
    if (entry.content.concurrency == THREADS) is not (THREADS in options):
        wanted = entry.content.concurrency or "greenlets"
        raise UserError(f"{path}: slot {slot} wants {wanted}, and was started otherwise")
    if plan.is_superseded(slot):
        time.sleep(QUIET_END_S)
        exit_now(0)
    content = entry.content
    if content.alone:
        log.name_process(next(iter(content.apps), ""))
    else:
        imports.install()
        environment.install()
    context.install()
    gc.freeze()  # our own modules stay: the collector has only what the apps make to look at
    gc.enable()
    queue = LogQueue(1, settings.log_queue_lines)
    streams = take_over(queue)
    worker = Worker(settings, plan.address, slot, entry.generation, queue, streams)
    status = 0
    try:
        importing = importing_file(settings.run, plan.address, slot)
        host = _load(content, settings, lambda name: importing.write_text(name, "utf-8", "surrogateescape"))
        importing.unlink(missing_ok=True)
        if THREADS in options:
            for app in host.apps.values():
                if isinstance(app, HostedApp):
                    app.threads = app.manifest.threads
        _tell(host, queue)
        if content.behind and not content.shared and all(app.error for app in host.apps.values()):
            gevent.spawn_later(AGAIN_S, worker.drain)
        worker.run(listener, host, settings.state if "ledger" in options else None, content.behind)
    except BaseException as error:
        queue.tell("error", "the worker ends", error)
        status = 1
    queue.flush(FLUSH_S)
    exit_now(status)


def _load(content: Content, settings: Settings, on_load: Callable[[str], object]) -> Host:
    """on_load: told the name of each app before it is loaded, so that the deployer knows whose import does not end."""
    if content.callable:
        return host_callable(content.callable, Path(content.path), settings)
    apps = {name: Path(folder) for name, folder in content.apps.items()}
    forwarded = [
        ForwardedApp(name, Mount(to.path.rstrip("/"), to.host), Gate(settings.app_running), to.sockets, ours=to.ours)
        for name, to in content.forwards.items()
    ]
    return load_host(apps, content.broken, settings, on_load=on_load, forwarded=forwarded, alone=content.alone)


def _tell(host: Host, queue: LogQueue) -> None:
    """A line for each app that is down, and for each reason not to share, in that app's own log. From now on such a
    reason is an error: it is found while others are served.
    """
    for name, app in host.apps.items():
        if app.error is not None:
            queue.put(render("app", "error", app.error.sentence, app=name, traceback=app.error.traceback))
        for finding in app.findings:
            queue.put(render("app", "warning", finding.sentence, app=name))
    findings.listeners.append(lambda app, found: queue.put(render("app", "error", found.sentence, app=app)))
