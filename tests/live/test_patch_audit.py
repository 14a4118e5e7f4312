"""What the patch audit's list says, of real libraries in real workers: patched, nobody else runs meanwhile, or it
fails; in native threads it works and disturbs nobody.

CI shows it of what the development group has. The slow ring installs the rest into an environment of its own.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from worker_support import APPS, Worker, serving

ENGINE = Path(__file__).parents[2] / "appserver"
BLOCKING = {"blocking": APPS / "blocking"}
# Held: the answer that says that it waited its second, as it does without any server.
HERE = {"zmq": "Again", "multiprocessing_lock": "False"}
INSTALLED = {
    "sqlite3": "database is locked",
    "psycopg2": "timeout expired",
    "pycurl": "timed out",
    "pymssql": "OperationalError",
    "grpc": "DEADLINE_EXCEEDED",
    "confluent_kafka": "",
    "uvloop": "slept",
    "eventlet": "slept",
    "apsw": "database is locked",
    "lmdb": "written",
    "numpy": "computed",
}
PACKAGES = (
    "gevent", "psycopg2-binary", "pycurl", "pymssql", "grpcio", "confluent-kafka", "uvloop", "eventlet", "apsw", "lmdb",
    "numpy", "Django", "Flask[async]", "falcon", "bottle", "pyramid", "SQLAlchemy", "redis", "pymongo", "httpx", "trio",
)  # fmt: skip

ASYNC_APPS = {
    "flasks": """
import asyncio
from flask import Flask

app = Flask(__name__)


@app.get("/")
async def index():
    await asyncio.sleep(0.1)
    return "awaited"
""",
    "djangos": """
import asyncio
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of a test")


async def index(request):
    await asyncio.sleep(0.1)
    return HttpResponse("awaited")


urlpatterns = [path("", index)]
application = get_wsgi_application()
""",
}


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server whose kernel takes connections, and that never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def ask_while(worker: Worker, name: str, port: int) -> tuple[str, float]:
    """The answer, and the longest that the worker was silent meanwhile. The library is loaded beforehand."""
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(worker.ask, f"/blocking/{name}?{port}")
        longest = 0.0
        while not answer.done():
            began = time.monotonic()
            assert worker.control("GET", "/ready")[0] == 200
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.02)
        return answer.result()[1].decode(), longest


def show(name: str, wanted: str, port: int, patched: Worker, threaded: Worker) -> None:
    told, silence_s = ask_while(patched, name, port)
    assert wanted in told
    assert silence_s > 0.7
    told, silence_s = ask_while(threaded, name, port)
    assert wanted in told
    assert silence_s < 0.5


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with serving(tmp_path_factory.mktemp("run"), BLOCKING, settings={"HUB_LIMIT_S": 0}) as worker:
        yield worker


@pytest.fixture(scope="module")
def threaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with serving(tmp_path_factory.mktemp("run"), BLOCKING, threads=True) as worker:
        yield worker


@pytest.mark.parametrize("name", HERE)
def test_a_library_that_waits_in_c_stops_a_patched_worker_and_no_threaded_one(
    name: str, patched: Worker, threaded: Worker, silent: int
) -> None:
    show(name, HERE[name], silent, patched, threaded)


def test_trio_fails_in_a_patched_worker(patched: Worker, threaded: Worker) -> None:
    assert "select" in patched.ask("/blocking/trio")[1].decode()
    assert threaded.ask("/blocking/trio")[1] == b"slept"


def test_a_pool_of_processes_hangs_a_patched_worker(tmp_path: Path, threaded: Worker) -> None:
    for _ in range(5):  # each ends its processes with a signal
        assert threaded.ask("/blocking/process_pool")[1] == b"[1, 2]"
    with serving(tmp_path, BLOCKING, settings={"HUB_LIMIT_S": 0}) as patched, patched.connect() as sock:
        sock.sendall(b"GET /blocking/process_pool HTTP/1.1\r\nHost: a\r\n\r\n")
        sock.settimeout(1)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        children = Path(f"/proc/{patched.process.pid}/task/{patched.process.pid}/children").read_text().split()
        assert len(children) >= 2
        patched.process.kill()
        for child in children:  # they wait for a parent that is gone
            subprocess.run(["kill", "-9", child], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has all these libraries."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    interpreter = str(folder / "bin" / "python")
    command = [interpreter, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *PACKAGES]
    subprocess.run(command, check=True, timeout=600)
    return interpreter


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_libraries_of_the_list_stop_a_patched_worker_and_no_threaded_one(
    tmp_path: Path, python: str, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ENGINE))
    for name, wanted in INSTALLED.items():
        for folder in (tmp_path / f"{name}-patched", tmp_path / f"{name}-threaded"):
            folder.mkdir()
        with (
            serving(tmp_path / f"{name}-patched", BLOCKING, python=python, settings={"HUB_LIMIT_S": 0}) as patched,
            serving(tmp_path / f"{name}-threaded", BLOCKING, python=python, threads=True) as threaded,
        ):
            show(name, wanted, silent, patched, threaded)
        print(f"{name}: shown", file=sys.stderr)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_ordinary_apps_import_raises_no_alarm(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among it asyncio, asgiref, multiprocessing and trio."""
    monkeypatch.setenv("PYTHONPATH", str(ENGINE))
    source = (
        "from gevent import monkey; monkey.patch_all(); import sys;"
        "from hedgerow.hosting.audit import audit;"
        "import django.contrib.admin.sites, django.core.wsgi, falcon, bottle, pyramid.config, sqlalchemy.orm, redis;"
        "import pymongo, httpx, multiprocessing, asyncio, trio, asgiref.sync, concurrent.futures.thread;"
        "print([note.module for note in audit(sys.modules)])"
    )
    result = subprocess.run([python, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_async_views_of_flask_and_django_a_hundred_each_at_once(
    tmp_path: Path, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ENGINE))
    apps = {}
    for name, source in ASYNC_APPS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(source)
        apps[name] = tmp_path / name
    for threads in (True, False):
        run = tmp_path / f"run-{threads}"
        run.mkdir()
        with serving(run, apps, python=python, threads=threads) as worker, ThreadPoolExecutor(200) as clients:
            answers = list(clients.map(worker.ask, [f"/{name}/" for name in apps] * 100))
        right = sum(body == b"awaited" for _, body in answers)
        print(f"threads={threads}: {right} of {len(answers)} right", file=sys.stderr)
        assert (right == 200) if threads else (right < 100)
