"""The front's files: rendering on two shells, nginx's own check, the security checker, and which nginx is taken."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from front_support import binaries, wait_for

from hedgerow.config import Settings
from hedgerow.control import front
from hedgerow.control.front import NginxBinary
from hedgerow.errors import UserError

FILES = front.nginx_files()
SHELLS = [shell for shell in (["dash"], ["busybox", "sh"], ["bash", "--posix"], ["sh"]) if shutil.which(shell[0])]


@pytest.fixture(params=binaries(), ids=str)
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    return request.param


def run_script(target: Path, shell: list[str] | None = None, **inputs: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HEDGEROW_FRONT_RUN": str(target), **inputs}
    environ.setdefault("HEDGEROW_NGINX", str(binaries()[0].path))
    command = [*(shell or ["sh"]), str(FILES / "render.sh")]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def nginx_check(binary: NginxBinary, target: Path) -> subprocess.CompletedProcess[str]:
    command = [str(binary.path), "-t", "-p", f"{target}/", "-c", "nginx.conf", "-e", "stderr"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# --- rendering --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize("host", ["127.0.0.1", "appserver"])
def test_nginx_accepts_what_each_shell_renders(
    binary: NginxBinary, tmp_path: Path, shell: list[str], host: str
) -> None:
    target = tmp_path / "a folder"
    done = run_script(target, shell, HEDGEROW_UPSTREAM_HOST=host, HEDGEROW_WORKERS="3", HEDGEROW_NGINX=str(binary.path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    check = nginx_check(binary, target)
    assert check.returncode == 0, check.stderr
    assert "[warn]" not in check.stderr
    upstream = (target / "upstream.conf").read_text()
    resolve = "" if host == "127.0.0.1" else " resolve"
    for port in (8001, 8002, 8003):
        assert f"    server {host}:{port}{resolve} max_fails=1 fail_timeout=10s;\n" in upstream
        assert f"    server {host}:{port}{resolve} max_fails=0 backup;\n" in upstream
    assert ("resolver 127.0.0.11 valid=1s ipv6=off;" in upstream) == (host == "appserver")


def test_rendering_twice_gives_the_same_folder(tmp_path: Path) -> None:
    def tree() -> dict[str, str]:
        return {path.name: os.readlink(path) if path.is_symlink() else path.read_text() for path in tmp_path.iterdir()}

    assert run_script(tmp_path).returncode == 0
    first = tree()
    assert run_script(tmp_path).returncode == 0
    assert tree() == first
    assert set(first) == {
        "nginx.conf", "conf.d", "snippets", "upstream.conf", "state.conf", "listen.conf", "defence.conf", "https.conf",
        "internal.conf", "hints.conf", "cache.conf", "kept.conf", "modules.conf", "installation.txt",
    }  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"HEDGEROW_WORKERS": "0"}, "HEDGEROW_WORKERS=0"),
        ({"HEDGEROW_WORKERS": "two"}, "HEDGEROW_WORKERS=two"),
        ({"HEDGEROW_WORKERS": "257"}, "HEDGEROW_WORKERS=257"),
        ({"HEDGEROW_WORKERS": "-1"}, "HEDGEROW_WORKERS=-1"),
        ({"HEDGEROW_PORT": "99999"}, "HEDGEROW_PORT=99999"),
        ({"HEDGEROW_PORT": "8080;"}, "HEDGEROW_PORT=8080;"),
        ({"HEDGEROW_PORT": "9" * 30}, "HEDGEROW_PORT=999"),
        ({"HEDGEROW_FIRST_ADDRESS": "65535"}, "HEDGEROW_FIRST_ADDRESS=65535"),
        ({"HEDGEROW_UPSTREAM_HOST": "a b;"}, "HEDGEROW_UPSTREAM_HOST=a b;"),
        ({"HEDGEROW_UPSTREAM_HOST": "app", "HEDGEROW_RESOLVER": "x;"}, "HEDGEROW_RESOLVER=x;"),
        ({"HEDGEROW_INTERNAL_PORT": "8080"}, "HEDGEROW_INTERNAL_PORT=8080"),
        ({"HEDGEROW_FRONT_RUN": "relative"}, "HEDGEROW_FRONT_RUN=relative"),
        ({"HEDGEROW_FRONT_RUN": "/tmp/$x"}, "HEDGEROW_FRONT_RUN=/tmp/$x"),  # noqa: S108
        ({"HEDGEROW_FRONT_RUN": "/dev/null/x"}, "HEDGEROW_FRONT_RUN=/dev/null/x"),
        ({"HEDGEROW_FRONT_STATE": "relative"}, "HEDGEROW_FRONT_STATE=relative"),
        ({"HEDGEROW_FRONT_STATE": "/no/such"}, "HEDGEROW_FRONT_STATE=/no/such"),
        ({"HEDGEROW_FRONT_STATE": '/a"b'}, 'HEDGEROW_FRONT_STATE=/a"b'),
        ({"HEDGEROW_READ_TIMEOUT_S": "0"}, "HEDGEROW_READ_TIMEOUT_S=0"),
        ({"HEDGEROW_READ_TIMEOUT_S": "3601"}, "HEDGEROW_READ_TIMEOUT_S=3601"),
        ({"HEDGEROW_READ_TIMEOUT_S": "5s"}, "HEDGEROW_READ_TIMEOUT_S=5s"),
        ({"HEDGEROW_FRONT_FILES": "yes"}, "HEDGEROW_FRONT_FILES=yes"),
        ({"HEDGEROW_NGINX": "/no/such/nginx"}, "HEDGEROW_NGINX=/no/such/nginx"),
        ({"HEDGEROW_NGINX_FILES": "/no/such"}, "HEDGEROW_NGINX_FILES=/no/such"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_one_sentence(tmp_path: Path, shell: list[str], inputs: dict[str, str], named: str) -> None:
    done = run_script(tmp_path, shell, **inputs)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(named)
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "nothing is written before all is checked"


@pytest.mark.parametrize(("seconds", "noted"), [("5", True), ("310", False), ("900", False)])
def test_a_read_timeout_below_the_longest_deadline_is_noted(tmp_path: Path, seconds: str, noted: bool) -> None:
    done = run_script(tmp_path, HEDGEROW_READ_TIMEOUT_S=seconds)
    assert done.returncode == 0
    assert done.stderr.startswith("HEDGEROW_READ_TIMEOUT_S=5: an app may have a deadline") is noted
    assert f"HEDGEROW_READ_TIMEOUT_S={seconds}\n" in (tmp_path / "installation.txt").read_text()
    said = f"proxy_read_timeout {seconds}s;" in (tmp_path / "listen.conf").read_text()
    assert said is (seconds != "310"), "which snippets/limits.conf says"


def test_a_module_snippet_is_used_only_if_nginx_has_the_module(tmp_path: Path) -> None:
    for flags, used in (("--with-http_stub_status_module", True), ("--with-http_stub_status_module=dynamic", False)):
        fake = tmp_path / "nginx"
        fake.write_text(f"#!/bin/sh\necho 'configure arguments: --with-threads {flags} --with-pcre' >&2\n")
        fake.chmod(0o755)
        assert run_script(tmp_path / "front", HEDGEROW_NGINX=str(fake)).returncode == 0
        text = (tmp_path / "front" / "modules.conf").read_text()
        assert ("include snippets/modules/http_stub_status_module.conf;" in text) is used


def test_each_snippet_is_included_somewhere() -> None:
    together = "".join(path.read_text() for path in (*FILES.rglob("*.conf"), *FILES.rglob("*.sh")))
    for path in (FILES / "snippets").glob("*.conf"):
        assert f"include snippets/{path.name};" in together, path.name


def test_each_snippet_names_the_documents_of_its_directives() -> None:
    for path in FILES.rglob("*.conf"):
        if path.name in {"nginx.conf", "site.conf"} or path.parent.name == "snippets":
            assert "https://nginx.org/en/docs/" in path.read_text(), path


# --- which nginx ------------------------------------------------------------------------------------------------------


def fake_nginx(folder: Path, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "nginx"
    path.write_text(f"#!/bin/sh\necho 'nginx version: {version}' >&2\n")
    path.chmod(0o755)
    return path


def test_a_given_nginx_is_taken(tmp_path: Path) -> None:
    path = fake_nginx(tmp_path / "bin", "nginx/1.30.6 (Debian)")
    assert front.find_nginx({"HEDGEROW_NGINX": str(path)}) == NginxBinary(path, (1, 30, 6), "given")


@pytest.mark.parametrize(
    ("version", "told"), [("nginx/1.27.2", "1.27.2, older than 1.27.3"), ("apache/2", "does not tell a version")]
)
def test_a_given_nginx_that_will_not_do_is_a_mistake(tmp_path: Path, version: str, told: str) -> None:
    path = fake_nginx(tmp_path / "bin", version)
    with pytest.raises(UserError, match=f"^HEDGEROW_NGINX={re.escape(str(path))}: .*{re.escape(told)}"):
        front.find_nginx({"HEDGEROW_NGINX": str(path)})


def test_a_given_nginx_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(UserError, match=r"^HEDGEROW_NGINX=/no/such: no such program$"):
        front.find_nginx({"HEDGEROW_NGINX": "/no/such"})


def test_a_system_nginx_is_taken_if_it_is_new_enough(tmp_path: Path) -> None:
    new = fake_nginx(tmp_path / "new", "nginx/1.30.0")
    assert front.find_nginx({"PATH": str(new.parent)}) == NginxBinary(new, (1, 30, 0), "system")
    old = fake_nginx(tmp_path / "old", "nginx/1.22.1")
    found = front.find_nginx({"PATH": str(old.parent)})
    assert found is not None
    assert found.origin == "packaged"
    assert found.version >= front.OLDEST


def test_nginxs_own_words_reach_the_user(tmp_path: Path, binary: NginxBinary, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "files"
    shutil.copytree(FILES, broken)
    with (broken / "snippets" / "limits.conf").open("a") as file:
        file.write("no_such_directive on;\n")
    monkeypatch.setattr(front, "nginx_files", lambda: broken)
    with pytest.raises(UserError, match=r'unknown directive "no_such_directive" in .*limits\.conf:\d+$'):
        front.render(Settings(), binary, tmp_path / "front")


def test_the_scripts_words_reach_the_user(tmp_path: Path, binary: NginxBinary) -> None:
    with pytest.raises(UserError, match=r"^HEDGEROW_FIRST_ADDRESS=65530: 10 addresses"):
        front.render(Settings(first_address=65530, workers=10), binary, tmp_path / "front")


# --- the container's files --------------------------------------------------------------------------------------------


def test_hadolint_finds_nothing() -> None:
    command = [str(Path(sys.executable).with_name("hadolint")), str(FILES / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_container_scripts_can_be_run() -> None:
    for name in ("render.sh", "authority.sh", "show.sh", "entrypoint.sh", "healthcheck.sh"):
        assert (FILES / name).stat().st_mode & stat.S_IXOTH, name


def test_the_entry_point_starts_a_front_that_is_healthy(tmp_path: Path, binary: NginxBinary) -> None:
    """As the container does it: a name instead of an address, and the health check asking the internal port."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = {"HEDGEROW_PORT": str(one.getsockname()[1]), "HEDGEROW_INTERNAL_PORT": str(other.getsockname()[1])}
    environ = {"PATH": os.environ["PATH"], "HEDGEROW_NGINX": str(binary.path), **ports}
    health = [str(FILES / "healthcheck.sh")]
    assert subprocess.run(health, env=environ, capture_output=True, check=False).returncode != 0
    process = subprocess.Popen(
        [str(FILES / "entrypoint.sh")],
        env=environ | {"HEDGEROW_FRONT_RUN": str(tmp_path / "run"), "HEDGEROW_RESOLVER": "127.0.0.1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(
            lambda: subprocess.run(health, env=environ, capture_output=True, check=False).returncode == 0,
            "the health check to pass",
        )
    finally:
        process.terminate()
        process.wait(10)
