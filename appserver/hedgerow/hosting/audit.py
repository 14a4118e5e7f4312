"""The patch audit: what says that an app cannot live under monkey-patching, so that its pool runs it in native threads.

Three signs, each without a hook in the process, and each with a sentence:

    modules   a kept list of those that wait in C, or bring a loop of their own (`audit`)
    code      coroutines in the app's own modules, or calls that run them (`asynchronous`)
    errors    the words of those that patching makes (`of_error`)

A loaded `asyncio`, `asgiref`, `multiprocessing` or `trio` is no sign: Django, Falcon, SQLAlchemy, redis, PyMongo and
psycopg import asyncio, Django asgiref, Tornado multiprocessing, httpx trio, and most apps that use these never run a
loop or start a process. What is in the list was tried under gevent 26.9 against a server that never answers, or its
maintainers have said it; tests/live/test_patch_audit.py shows it of the former.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

THREADS, MIND, FINE = "threads", "mind", "fine"


@dataclass(frozen=True)
class Note:
    """verdict: THREADS: the app wants native threads; MIND: it runs in greenlets, and its author should know; FINE: it
    looks as if it would not, and does (`audit` does not tell these). unless: a module whose presence mends it.
    """

    module: str
    verdict: str
    sentence: str
    unless: str = ""


_PROCESSES = "started processes by multiprocessing, whose pools hang and whose queues and locks wait in C"

KEPT = tuple(
    Note(*row)
    for row in (
        # Tried: nobody else runs meanwhile, or it fails.
        ("grpc", THREADS, "waits in C, and needs threads of its own", "grpc.experimental.gevent"),
        ("psycopg2", THREADS, "waits in libpq", "psycogreen.gevent"),
        ("pymssql", THREADS, "waits in FreeTDS"),
        ("pycurl", THREADS, "waits in libcurl"),
        ("confluent_kafka", THREADS, "waits in librdkafka"),
        ("zmq", THREADS, "waits in libzmq; zmq.green would not", "zmq.green"),
        ("uvloop", THREADS, "runs libuv's loop, and the worker's stands still"),
        ("eventlet", THREADS, "runs a hub of its own, and the worker's stands still"),
        ("multiprocessing.popen_fork", THREADS, _PROCESSES),
        ("multiprocessing.popen_spawn_posix", THREADS, _PROCESSES),
        ("multiprocessing.popen_forkserver", THREADS, _PROCESSES),
        ("quixote.wsgi", THREADS, "refuses to be called by several threads, so one request runs at a time"),
        # Told by their maintainers or users, or all of it is C.
        ("MySQLdb", THREADS, "waits in the C client of MySQL; PyMySQL would not"),
        ("cx_Oracle", THREADS, "waits in Oracle's C client; oracledb in thin mode would not"),
        ("pyodbc", THREADS, "waits in the C driver of ODBC"),
        ("ibm_db", THREADS, "waits in IBM's C driver"),
        ("ldap", THREADS, "waits in libldap"),
        ("bonsai", THREADS, "waits in libldap"),
        ("pyarrow.flight", THREADS, "waits in gRPC's C++ library"),
        ("distributed", THREADS, "runs a loop in a thread, and was seen to wait for ever under patching"),
        ("temporalio", THREADS, "runs an asyncio loop of its own, which its maintainers call incompatible with gevent"),
        ("playwright.sync_api", THREADS, "keeps an asyncio loop running, of which one thread can have one"),
        ("torch", THREADS, "computes long in C++, and nobody else runs meanwhile"),
        ("tensorflow", THREADS, "computes long in C++, and nobody else runs meanwhile"),
        # Short, or seldom.
        ("sqlite3", MIND, "waits in C for a lock that another process has, up to its time-out (5 s)"),
        ("apsw", MIND, "waits in C for a lock that another process has, up to its busy time-out"),
        ("lmdb", MIND, "waits in C for another process's write"),
        ("numpy", MIND, "computes in C, and nobody else runs meanwhile"),
        ("concurrent.futures.process", MIND, "gevent's documents warn of it; tried, its futures let others run"),
        ("multiprocessing.synchronize", MIND, "has locks that wait in C"),
        ("multiprocessing.queues", MIND, "waits in C where `get` has no time-out"),
        ("oracledb", MIND, "waits in C in thick mode; in thin mode it does not"),
        ("nest_asyncio", MIND, "changes asyncio for the whole process"),
        ("tornado.ioloop", MIND, "runs asyncio's loop, of which one thread can have one"),
        ("twisted.internet.reactor", MIND, "is the one reactor of a process"),
        # They look alike, and are no reason.
        ("asyncio", FINE, "is imported by many that never run a loop"),
        ("asgiref", FINE, "is imported by all of Django"),
        ("anyio", FINE, "is asyncio underneath"),
        ("trio", FINE, "fails when it is run, and is imported by many that never run it"),
        ("psycopg", FINE, "knows gevent since 3.1.14"),
        ("pymongo", FINE, "is written in Python, and its documents tell how to use it with gevent"),
        ("redis", FINE, "is written in Python"),
        ("pymysql", FINE, "is written in Python"),
        ("dns", FINE, "is written in Python"),
        ("pika", FINE, "is written in Python"),
        ("cassandra", FINE, "takes its own loop for gevent where the process is patched"),
        ("subprocess", FINE, "is gevent's where the process is patched"),
    )
)  # fmt: skip

# Who has loaded one of these answers one request at a time: it says so, or fails.
SINGLE = frozenset({"quixote.wsgi"})

# What people call in order to run a coroutine from code that is none.
_RUNNERS = frozenset({"async_to_sync", "run_until_complete", "run_coroutine_threadsafe"})
_LOOPS = frozenset({"asyncio", "anyio", "trio", "uvloop"})  # each has `run`
_COROUTINE = 0x80 | 0x100 | 0x200  # inspect.CO_COROUTINE, CO_ITERABLE_COROUTINE, CO_ASYNC_GENERATOR

_ERRORS = {
    "cannot be called from a running event loop": "two requests ran asyncio at once",
    "You cannot use AsyncToSync in the same thread as an async event loop": "two requests ran asyncio at once",
    "Cannot run the event loop while another loop is running": "two requests ran asyncio at once",
    "This event loop is already running": "two requests ran one event loop",
    "Playwright Sync API inside the asyncio loop": "two requests ran Playwright at once",
    "module 'select' has no attribute 'epoll'": "it needs epoll, which patching takes away",
    "primitives trio depends on are monkey-patched out": "it needs what patching takes away",
    "This operation would block forever": "it waits for a thread that patching has made a greenlet",
}


def audit(modules: Iterable[str]) -> list[Note]:
    """What the names of loaded modules tell, the reasons for threads first."""
    loaded = frozenset(modules)
    told = {
        note.sentence: note
        for note in KEPT
        if note.verdict != FINE and note.module in loaded and note.unless not in loaded
    }
    return sorted(told.values(), key=lambda note: note.verdict != THREADS)


def at_once(modules: Iterable[str], wanted: int) -> int:
    """How many requests may run at once in native threads, of as many as the manifest wants."""
    return wanted if SINGLE.isdisjoint(modules) else 1


def asynchronous(folder: Path, modules: Iterable[ModuleType] | None = None) -> Note | None:
    """What the code of the app in `folder` tells: its first own module that defines coroutines, or runs some."""
    for module in own_modules(folder, modules):
        code = _code(module)
        found = None if code is None else next(_asynchronous_names(code), None)
        if found is not None:
            shown = os.path.relpath(str(module.__file__), folder.parent)
            return Note(shown, THREADS, f"has {found}, and one thread runs one event loop only")
    return None


def of_error(text: str) -> Note | None:
    """What an error tells, with its traceback."""
    for words, sentence in _ERRORS.items():
        if words in text:
            return Note("", THREADS, sentence)
    return None


def own_modules(folder: Path, modules: Iterable[ModuleType] | None = None) -> list[ModuleType]:
    """Those modules that lie in an app's folder. Not the libraries in it, as of an environment there."""
    start = str(folder) + "/"
    found = []
    for module in list(sys.modules.values()) if modules is None else modules:
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(start) and "/site-packages/" not in file[len(start) - 1 :]:
            found.append(module)
    return found


def _code(module: ModuleType) -> CodeType | None:
    spec = getattr(module, "__spec__", None)
    get_code = getattr(getattr(spec, "loader", None), "get_code", None)
    try:
        code = get_code(spec.name) if get_code is not None and spec is not None else None
    except (ImportError, OSError, SyntaxError):  # it has changed since
        return None
    return code if isinstance(code, CodeType) else None


def _asynchronous_names(code: CodeType) -> Iterator[str]:
    names = frozenset(code.co_names)
    for runner in sorted(names & _RUNNERS):
        yield f"a call of {runner}"
    for loop in sorted(names & _LOOPS):
        if "run" in names:
            yield f"a call of {loop}.run"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & _COROUTINE:
                yield f"async def {constant.co_name}"
            yield from _asynchronous_names(constant)
