"""`use = egg:hedgerow#main` in a [server:…] of other people's ini files, for PasteDeploy's `loadserver` and `pserve`.

The application has been loaded by then, so nothing is patched: it runs in native threads, beside the engine.
"""

from __future__ import annotations

import signal
from wsgiref.types import WSGIApplication

import gevent
import gevent.event

from .config import Settings
from .control import local
from .worker import context, embedded
from .worker.log import LogQueue
from .worker.streams import Streams

FLUSH_S = 1.0


def serve(
    application: WSGIApplication,
    global_conf: object = None,
    host: str = "127.0.0.1",
    port: str = "8080",
    listen: str = "",
    threads: str = "32",
) -> None:
    """Serve until SIGINT or SIGTERM, and answer what was begun (`paste.server_runner`). listen: HOST:PORT or unix:PATH,
    instead of host and port. Whatever else can be set is a HEDGEROW_… variable. Raises UserError.
    """
    settings = Settings.from_env()
    listener, _, shown = local.bind(listen or f"{host}:{port}")
    context.install()
    log = LogQueue(1, settings.log_queue_lines)
    apps = embedded.host("main", application, "", int(threads), settings)
    server = embedded.server(listener.fileno(), apps, settings, log, Streams(log), multiprocess=False)
    listener.close()
    ended = gevent.event.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, ended.set)
    server.start_accepting()
    log.tell("info", f"ready on {shown}")
    ended.wait()
    server.refuse_new()
    embedded.drain([server], settings.drain_s, settings.drain_s, lambda: True)
    server.close_all()
    log.tell("info", f"gone: {server}")
    log.flush(FLUSH_S)
