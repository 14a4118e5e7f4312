"""The kept list: calls that set what a library, or the process, has one of. An app that makes one is told so, and the
call is done.

Each is hooked when an app's import has brought its library, which is never imported for it. What a library does while
it is imported it does for all, and is no app's. Not in the list, since nobody is harmed: what adds to a register and
changes nothing in it (`mimetypes.add_type`, `codecs.register`, `atexit.register`, `faulthandler`), what is the
context's (`decimal.setcontext`), and logging, which is each app's own (`logs.py`).
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType, FunctionType
from typing import Any

from . import watch
from .findings import GLOBAL, PROCESS_STATE, SHARED_STATE
from .space import PREFIX, Space, current_app


@dataclass(frozen=True)
class Rule:
    """How a group of calls is judged. told: the end of `blog/app.py line 3 uses sentry_sdk.init, …`; caller: the app
    that is behind a call, if it is one's; when: with which arguments it counts.
    """

    cause: str
    told: str
    caller: Callable[[FrameType], tuple[Space, FrameType | None] | None]
    when: Callable[..., bool] = lambda *args, **kwargs: True


def _itself(frame: FrameType) -> tuple[Space, FrameType] | None:
    """Only calls of the app's own code: libraries make these too, and take them back."""
    app = watch.app_of(frame)
    return None if app is None else (app, frame)


def _by_any_way(frame: FrameType) -> tuple[Space, FrameType | None] | None:
    """Whatever stands between, also the import of a library."""
    app = current_app.get()
    found: FrameType | None = frame
    while app is not None and found is not None:
        if watch.app_of(found) is app:
            return app, found
        found = found.f_back
    return None if app is None else (app, None)


def _of_a_library(target: Any, *_: Any, **__: Any) -> bool:
    """Whether what is listened to is a class of a library: every engine, session, or pool of the process."""
    return isinstance(target, type) and not target.__module__.startswith(PREFIX)


def _of_any_sender(signal: Any, *args: Any, **kwargs: Any) -> bool:
    """Whether a library's signal is heard whichever app sends it."""
    if len(args) > 1 or "sender" in kwargs:
        return False
    libraries = [module for name, module in sys.modules.items() if name.endswith("signals") and PREFIX not in name]
    return any(value is signal for module in libraries for value in vars(module).values())


def _is_change(_: Any, locale: Any = None) -> bool:
    """`setlocale` without a locale tells which one it is."""
    return locale is not None


def _is_error(action: str, *_: Any, **__: Any) -> bool:
    return action == "error"


ONE = "which sets what the process has one of"
LIBRARY = Rule(SHARED_STATE, ONE, watch.app_behind)
DIRECT = Rule(SHARED_STATE, ONE, _itself)
CLASS = Rule(SHARED_STATE, "for what other apps use too", watch.app_behind, _of_a_library)
SIGNAL = Rule(SHARED_STATE, "for whatever app sends it", _itself, _of_any_sender)
WARNING = Rule(SHARED_STATE, "which turns the warnings of other apps into errors", _itself, _is_error)
PROCESS = Rule(PROCESS_STATE, "which is of the whole process", _itself)
LOCALE = Rule(PROCESS_STATE, "which is of the whole process", _itself, _is_change)
FRAMEWORK = Rule(GLOBAL, "whose configuration a process has one of", watch.app_behind)
SETTINGS = Rule(GLOBAL, "whose settings a process has one of", _by_any_way)
MODULES = Rule(GLOBAL, "whose pages become modules of the whole process", watch.app_behind)

# rule → module → what is called in it
KEPT: Mapping[Rule, Mapping[str, str]] = {
    LIBRARY: {
        "sentry_sdk": "init",
        "rollbar": "init",
        "bugsnag": "configure",
        "elasticapm": "instrument",
        "newrelic.agent": "initialize",
        "ddtrace": "patch patch_all",
        "opentelemetry.trace": "set_tracer_provider",
        "opentelemetry.metrics": "set_meter_provider",
        "prometheus_client.registry": "REGISTRY.register",
        "boto3": "setup_default_session _get_default_session",  # which keeps the credentials of who came first
        "mongoengine": "connect register_connection",
        "mongoengine.connection": "connect register_connection",
        "tortoise": "Tortoise.init",
        "pony.orm": "set_sql_debug",
        "cloudinary": "config",
        "braintree": "Configuration.configure",
        "paypalrestsdk": "configure",
        "firebase_admin": "initialize_app",
        "google.generativeai": "configure",
        "structlog": "configure configure_once",
        "loguru._logger": "Logger.add Logger.remove Logger.configure",
        "matplotlib": "use rc",
        "matplotlib.pyplot": "switch_backend",
        "pandas": "set_option",
        "torch": "manual_seed set_num_threads set_default_dtype set_default_device",
        "gettext": "install",
        "logging": "setLoggerClass setLogRecordFactory addLevelName",
    },
    DIRECT: {
        "random": "seed",
        "numpy": "set_printoptions",
        "numpy.random": "seed",
        "gc": "disable set_threshold freeze",
        "asyncio": "set_event_loop_policy",
        "multiprocessing": "set_start_method",
        "threading": "settrace setprofile",
        "urllib.request": "install_opener",
        "sqlite3": "register_adapter register_converter",
        "psycopg2.extensions": "register_adapter",
        "bottle": "debug",
    },
    CLASS: {"sqlalchemy.event": "listen listens_for", "sqlalchemy.event.api": "listen listens_for"},
    SIGNAL: {"blinker.base": "Signal.connect"},
    WARNING: {"warnings": "filterwarnings simplefilter"},
    PROCESS: {
        "os": "chdir fchdir umask nice setuid setgid setpriority",
        "signal": "signal alarm setitimer",
        "socket": "setdefaulttimeout",
        "sys": "setrecursionlimit setswitchinterval settrace setprofile",
        "time": "tzset",
        "resource": "setrlimit",
    },
    LOCALE: {"locale": "setlocale"},
    FRAMEWORK: {
        "bottle": "AppStack.__call__",
        "cherrypy": "quickstart config.update tree.mount tree.graft",
        "quixote.publish": "Publisher.__init__",
        "py4web.core": "wsgi",
        "Zope2.Startup.run": "make_wsgi_app configure_wsgi",
        "google.appengine.api": "wrap_wsgi_app",
    },
    SETTINGS: {
        "django": "setup",
        "django.conf": "LazySettings._setup LazySettings.configure",
        "cherrypy.lib.sessions": "FileSession.setup MemcachedSession.setup",
    },
    MODULES: {"paste.urlparser": "URLParser.__init__", "webware": "addToSearchPath"},
}

# What people call what the list has to name otherwise.
SHOWN = {
    "boto3._get_default_session": "boto3's default session",
    "prometheus_client.registry.REGISTRY.register": "prometheus_client.REGISTRY.register",
    "loguru._logger.Logger.add": "loguru.logger.add",
    "loguru._logger.Logger.remove": "loguru.logger.remove",
    "loguru._logger.Logger.configure": "loguru.logger.configure",
    "blinker.base.Signal.connect": "connect of a library's signal",
    "bottle.AppStack.__call__": "Bottle's default app",
    "quixote.publish.Publisher.__init__": "quixote.publish.Publisher",
    "cherrypy.lib.sessions.FileSession.setup": "cherrypy.lib.sessions.FileSession",
    "cherrypy.lib.sessions.MemcachedSession.setup": "cherrypy.lib.sessions.MemcachedSession",
    "paste.urlparser.URLParser.__init__": "paste.urlparser.URLParser",
    "django.conf.LazySettings._setup": "django.conf.settings",
    "django.conf.LazySettings.configure": "django.conf.settings.configure",
}


def install() -> None:
    """Hook what is there already, and what comes."""
    if hook not in watch.arrived:
        watch.arrived.append(hook)


def hook(module: str) -> None:
    """Put the hooks into a module that has been imported."""
    for rule, calls in _CALLS.get(module, ()):
        for path in calls.split():
            _hook(module, path, rule)


_CALLS: dict[str, list[tuple[Rule, str]]] = {}
for _rule, _modules in KEPT.items():
    for _module, _paths in _modules.items():
        _CALLS.setdefault(_module, []).append((_rule, _paths))


def _hook(module: str, path: str, rule: Rule) -> None:
    """One that this version of the library does not have, or does not let us replace, is left out."""
    *owners, name = path.split(".")
    owner: Any = sys.modules[module]
    for each in owners:
        owner = getattr(owner, each, None)
    function = getattr(owner, name, None)
    if function is None or hasattr(function, "hedgerow_kept"):
        return
    shown = f"{module}.{path}"
    hooked: Any = _telling(function, module, SHOWN.get(shown, shown), rule)
    if isinstance(inspect.getattr_static(owner, name), (classmethod, staticmethod)):
        hooked = staticmethod(hooked)
    setattr(owner, name, hooked)


class _Call(watch.StandIn):
    def __init__(self, function: Callable[..., Any], module: str, call: Callable[..., Any]) -> None:
        super().__init__(function, module)
        self.call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)


def _telling(function: Callable[..., Any], module: str, shown: str, rule: Rule) -> Callable[..., Any]:
    depth = 1 if isinstance(function, FunctionType) else 2

    def call(*args: Any, **kwargs: Any) -> Any:
        frame = _frame(depth + 1)
        if frame is not None and (found := rule.caller(frame)) is not None and rule.when(*args, **kwargs):
            _tell(*found, shown, rule)
        return function(*args, **kwargs)

    told: Any = functools.wraps(function)(call) if depth == 1 else _Call(function, module, call)
    told.hedgerow_kept = True
    return told  # type: ignore[no-any-return]


def _frame(depth: int) -> FrameType | None:
    """None: C code has called with no Python behind it, a server or a new thread. uWSGI seeds `random` in that way."""
    try:
        return sys._getframe(depth)
    except ValueError:
        return None


def _tell(app: Space, frame: FrameType | None, shown: str, rule: Rule) -> None:
    if rule.cause == PROCESS_STATE and app.loading:
        return  # a load's are compared, and put back (`process_state.py`)
    where = "its library code" if frame is None else watch.place(app, frame)
    app.find(rule.cause, f"{where} uses {shown}, {rule.told}")
