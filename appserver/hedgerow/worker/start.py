"""`python -m hedgerow.worker PLAN SLOT [ledger] [threads]`: read our entry of the plan, load its apps, serve. The
listening socket is fd 0. ledger: we are one of a deployer's workers, and its ledger tells of apps that we do not have;
threads: the process is not patched, and the apps run in native threads, which the plan must want too.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gevent
from gevent import monkey
from gevent.hub import Hub
from greenlet import greenlet

from ..config import Settings
from ..control.plan import Content, Forward, PlanError, died_file, fault_file, importing_file, read_plan
from ..errors import UserError
from ..hosting import audit, environment, findings, imports, memory, outbound
from ..hosting.app import HostedApp
from ..hosting.forwarded import CanaryApp, ForwardedApp
from ..hosting.gate import Gate
from ..hosting.host import Host, host_callable, load_host
from ..hosting.manifest import read_manifest
from ..hosting.mounts import Mount
from . import context, exits, log
from .exits import exit_now
from .log import LogQueue, render
from .streams import take_over
from .worker import FLUSH_S, Worker, raise_descriptor_limit, take_listener

# supervisord starts a worker again that was killed while it drained: old code must not answer any more. An end within
# the first second would be a crash to it.
QUIET_END_S = 1.1
# A pool with no app that can be loaded (what they need is away): no neighbour's deploy may come to load them again. Its
# worker goes, and another one tries. Who asks meanwhile waits in the listener's queue.
AGAIN_S = 30.0
sleep = monkey.get_original("time", "sleep")  # for all of the process
stack_size = monkey.get_original("_thread", "stack_size")
HELPER_BYTES = 2**20  # of stack, as all threads have where the C library is musl
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
    _tell_how_it_ends(settings.run, plan.address, slot)
    gc.freeze()  # our own modules stay: the collector has only what the apps make to look at
    gc.enable()
    queue = LogQueue(1, settings.log_queue_lines)
    streams = take_over(queue)
    outbound.install(lambda app, sentence: queue.put(render("app", "error", sentence, app=app)))
    if limit_mb := _limit_memory(content, THREADS in options):
        _end_when_short_of_memory(queue)
    worker = Worker(settings, plan.address, slot, entry.generation, queue, streams, limit_mb)
    status = 0
    try:
        importing = importing_file(settings.run, plan.address, slot)
        host = _load(content, settings, lambda name: importing.write_text(name, "utf-8", "surrogateescape"))
        importing.unlink(missing_ok=True)
        if THREADS in options:
            for app in host.apps.values():
                if isinstance(app, HostedApp):
                    app.threads = audit.at_once(sys.modules, app.manifest.threads)
        _tell(host, queue)
        if content.behind and not content.shared and all(app.error for app in host.apps.values()):
            gevent.spawn_later(AGAIN_S, worker.drain)
        alone = content.alone or bool(content.callable)
        worker.run(listener, host, settings.state if "ledger" in options else None, content.behind, alone)
    except BaseException as error:
        queue.tell("error", "the worker ends", error)
        status = 1
    queue.flush(FLUSH_S)
    exit_now(status)


def _tell_how_it_ends(run: Path, address: str, slot: str) -> None:
    """By a fault, or when it is ended because nothing moves: the stack, written by C code; and by `os._exit`. The last
    one's is kept. Who has asked for that on stderr (a trial) gets it there.
    """
    if faulthandler.is_enabled():
        return
    path = fault_file(run, address, slot)
    if path.exists() and path.stat().st_size:
        path.replace(died_file(run, address, slot, time.monotonic_ns()))
    faults = open(path, "w")  # noqa: SIM115 - for as long as we are here
    faulthandler.enable(faults, all_threads=False)
    exits.install(faults)
    os.register_at_fork(after_in_child=faulthandler.disable)  # a child's end is not ours


def _limit_memory(content: Content, threads: bool) -> int | None:
    """As the manifest of an app says that has this process for itself, before anything of it is imported."""
    for folder in content.apps.values() if content.alone else ():
        with contextlib.suppress(UserError):  # who loads it tells
            manifest = read_manifest(Path(folder))
            if manifest.limits.memory_mb and threads:
                memory.limit(manifest.limits.memory_mb, manifest.threads)
            elif manifest.limits.memory_mb:  # gevent looks up names in threads, whose usual stacks could be most of it
                stack_size(HELPER_BYTES)
                memory.limit(manifest.limits.memory_mb, Hub.threadpool_size, HELPER_BYTES)
            return manifest.limits.memory_mb
    return None


def _end_when_short_of_memory(queue: LogQueue) -> None:
    """Where it is not the app that could not allocate, but who serves it, clients would wait for what is half done."""
    hub = gevent.get_hub()
    usual, since = hub.handle_error, time.monotonic()

    def handle_error(context: object, kind: Any, error: Any, tb: Any) -> None:
        if isinstance(context, greenlet) or not isinstance(error, MemoryError):
            usual(context, kind, error, tb)
            return
        with memory.Room(error):
            queue.tell("error", "the app has left no memory to serve it: the worker ends")
            queue.flush(FLUSH_S)
            sleep(max(0.0, since + QUIET_END_S - time.monotonic()))
            exit_now(1)

    vars(hub)["handle_error"] = handle_error


def _load(content: Content, settings: Settings, on_load: Callable[[str], object]) -> Host:
    """on_load: told the name of each app before it is loaded, so that the deployer knows whose import does not end."""
    if content.callable:
        return host_callable(content.callable, Path(content.path), settings)
    apps = {name: Path(folder) for name, folder in content.apps.items()}
    forwarded = [_forwarded(name, to, settings) for name, to in content.forwards.items()]
    host = load_host(apps, content.broken, settings, on_load=on_load, forwarded=forwarded, alone=content.alone)
    for name, canary in content.canaries.items():
        app = _forwarded(name, canary.to, settings)
        host.canaries[name] = CanaryApp(app, canary.share, canary.number, canary.release)
    return host


def _forwarded(name: str, to: Forward, settings: Settings) -> ForwardedApp:
    mount, gate = Mount(to.path.rstrip("/"), to.host), Gate(settings.app_running)
    return ForwardedApp(name, mount, gate, to.sockets, ours=to.ours, cache=to.cache)


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
