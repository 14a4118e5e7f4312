"""Docker as the stack tests use it: an engine, the three images, and one compose project a test module.

All of Docker is here; the tests speak of replicas, requests and files. Everything goes through the real command line,
so what a test does is what a user would type.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from complaints import complaints

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TAG = "test"
LOG_LINES_IN_ERRORS = 40


class DockerError(AssertionError):
    """A docker command failed; the message has the command, its end and, for a stack, its logs."""


def run(command: list[str], *, timeout_s: float = 120, env: dict[str, str] | None = None) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=timeout_s, env={**os.environ, **(env or {})}
    )
    if done.returncode:
        said = done.stdout[-2000:] + done.stderr[-6000:]
        raise DockerError(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
    return done.stdout


@contextmanager
def engine() -> Iterator[dict[str, str]]:
    """An engine that answers and has the images; gives the environment that compose needs to find them.

    An engine that our script started ends with the last test run that uses it; any other one runs on.
    """
    script = str(ROOT / ".ci" / "engine.sh")
    bases = {"BASE_PYTHON": "hedgerow-test/base:python", "BASE_NGINX": "hedgerow-test/base:nginx", "HEDGEROW_TAG": TAG}
    env = {name: os.environ.get(name) or value for name, value in bases.items()} | {"HEDGEROW_TAG": TAG}
    try:
        with Path(run([script, "users"]).strip()).open("a") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            run([script, "start"], timeout_s=600)
            build = ["docker", "compose", "--project-directory", str(ROOT), "--profile", "load", "build", "--quiet"]
            run(build, timeout_s=600, env=env)
            yield env
    finally:
        run([script, "stop"])


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def request(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
    """One request to 127.0.0.1 on a connection of its own; `X_Name` in Python is `X-Name` on the wire."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


class Stack:
    """One compose project of its own: name, apps folder, volume and published port belong to nobody else.

    apps: the folders that are copied into its apps folder; override: a compose file on top of the project's own.
    """

    def __init__(self, env: dict[str, str], folder: Path, apps: list[Path], override: Path | None = None) -> None:
        self.name = f"hedgerow-test-{uuid.uuid4().hex[:8]}"
        self.apps = folder / "apps"
        self.apps.mkdir()
        self.apps.chmod(0o755)  # the containers' uid reads them
        for app in apps:
            shutil.copytree(app, self.apps / app.name, ignore=shutil.ignore_patterns("__pycache__"))
        self._files = [ROOT / "docker-compose.yml"] + ([override] if override else [])
        self._env = env | {"HEDGEROW_APPS_DIR": str(self.apps), "HEDGEROW_PORT": "127.0.0.1:", "LOCUST_PORT": "0"}
        self._port: int | None = None

    def __repr__(self) -> str:
        return f"<Stack {self.name} port={self._port}>"

    # -- life

    def up(self, replicas: int = 2, *, wait: bool = True) -> None:
        """Starts everything and, with `wait`, returns when all of it is healthy."""
        self._port = None
        command = ["up", "--detach", "--no-build", "--scale", f"appserver={replicas}"]
        self._compose_with_logs(*command, *(["--wait", "--wait-timeout", "90"] if wait else []))

    def scale(self, replicas: int) -> None:
        """Brings the number of replicas to this, touches nothing else, and returns when they are healthy."""
        options = ["--detach", "--no-build", "--no-deps", "--no-recreate", "--wait", "--wait-timeout", "90"]
        self._compose_with_logs("up", *options, "--scale", f"appserver={replicas}", "appserver")

    def down(self, *, volumes: bool = True) -> None:
        self._port = None
        options = ["--remove-orphans", "--timeout", "20"] + (["--volumes"] if volumes else [])
        self.compose("--profile", "*", "down", *options)

    # -- looking at it

    @property
    def port(self) -> int:
        """Where the front is published on 127.0.0.1."""
        if self._port is None:
            self._port = self.published("front", 8080)
        return self._port

    def published(self, service: str, port: int) -> int:
        """The port of 127.0.0.1 that the kernel chose for a service's port."""
        return int(self.compose("port", service, str(port)).rpartition(":")[2])

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, running or not."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--no-color", "--no-log-prefix", *services)

    def complaints(self, since: float) -> str:
        """What front and replicas have had to complain of since then (Unix time)."""
        return complaints(self.compose("logs", "--no-color", "--since", f"{since:.0f}"))

    def exec(self, service: str, *command: str, index: int = 1) -> str:
        """What a command in a running container prints; it must succeed."""
        return self.compose("exec", "-T", "--index", str(index), service, *command)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        """One request through the front."""
        return request(self.port, method, path, body, **headers)

    def get(self, path: str, **headers: str) -> Response:
        return self.request("GET", path, None, **headers)

    # -- commands

    @property
    def environ(self) -> dict[str, str]:
        """With it `docker compose`, typed anywhere without options, means this stack."""
        files = os.pathsep.join(str(file) for file in self._files)
        return {**self._env, "COMPOSE_PROJECT_NAME": self.name, "COMPOSE_FILE": files}

    def compose(self, *arguments: str, timeout_s: float = 150) -> str:
        files = [part for file in self._files for part in ("--file", str(file))]
        command = ["docker", "compose", "--project-directory", str(ROOT), *files, "--project-name", self.name]
        return run([*command, *arguments], timeout_s=timeout_s, env=self._env)

    def _compose_with_logs(self, *arguments: str) -> None:
        try:
            self.compose(*arguments)
        except DockerError as error:
            state = self.compose("ps", "--all")
            logs = self.compose("logs", "--no-color", "--tail", str(LOG_LINES_IN_ERRORS))
            raise DockerError(f"{error}\n{state}\n{logs}") from None


def inspect(container: str) -> dict[str, object]:
    """What the engine knows of a container or image."""
    found: list[dict[str, object]] = json.loads(run(["docker", "inspect", container]))
    return found[0]


def init_pid(container: str) -> int:
    """The pid, on this machine, of a container's first process."""
    return int(run(["docker", "inspect", "--format", "{{.State.Pid}}", container]))


def kill_init(container: str) -> int:
    """Ends a container as a crash would: `docker kill` counts as a stop by hand, after which nothing restarts it."""
    pid = init_pid(container)
    if pid <= 1:
        raise AssertionError(f"container {container} does not run")
    os.kill(pid, signal.SIGKILL)
    return pid


def family(pid: int) -> list[int]:
    """A process of this machine and all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]


def wait_for(condition: Callable[[], object], what: str, *, within_s: float = 30) -> None:
    """Polls until the condition holds; fails with `what` when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.1)
