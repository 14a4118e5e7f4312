"""The stack as it is shipped: two replicas behind the front, the sample apps mounted."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
from guide_page import DOCS, settled, steps
from guide_page import run as run_steps

from .conftest import SAMPLES
from .engine import ROOT, DockerError, Stack, init_pid, inspect, run, wait_for

SERVICES = ["front", "appserver"]
INSTALLERS_AND_COMPILERS = "pip pip3 easy_install gcc cc g++ make"


def status_of_init(stack: Stack, service: str) -> dict[str, str]:
    """/proc/PID/status of a service's first process, as this machine sees it."""
    text = Path(f"/proc/{init_pid(stack.containers(service)[0])}/status").read_text()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def logged(stack: Stack, service: str, text: str) -> bool:
    return text in stack.logs(service)


@pytest.mark.parametrize(("service", "count"), [("front", 1), ("appserver", 2)])
def test_every_container_is_healthy_when_up_returns(stack: Stack, service: str, count: int) -> None:
    containers = stack.containers(service)
    assert len(containers) == count
    for container in containers:
        state = inspect(container)["State"]
        assert isinstance(state, dict)
        assert (state["Health"]["Status"], state["Running"]) == ("healthy", True)


@pytest.mark.parametrize("app", [folder.name for folder in SAMPLES])
def test_a_sample_app_answers_through_the_front(stack: Stack, app: str) -> None:
    answer = stack.get(f"/{app}/")
    assert answer.status == 200, answer
    assert answer.headers["content-type"].startswith("text/html")
    assert b"</html>" in answer.body


def test_the_root_lists_the_apps(stack: Stack) -> None:
    page = stack.get("/").text
    assert [folder.name for folder in SAMPLES if f"/{folder.name}/" not in page] == []


def test_every_address_of_every_replica_serves(stack: Stack) -> None:
    seen: dict[tuple[str, str], int] = {}

    def all_four() -> bool:
        told = json.loads(stack.get("/whoami/", Accept="application/json").body)
        place = (told["replica"], told["address"])
        seen[place] = seen.get(place, 0) + 1
        return len(seen) == 4

    wait_for(all_four, f"requests reach 2 replicas with 2 addresses each, saw {seen}")
    assert {address for _, address in seen} == {"8001", "8002"}


def test_the_fronts_internal_port_tells_what_all_replicas_have_counted(stack: Stack) -> None:
    assert stack.get("/whoami/").status == 200
    code = "from urllib.request import urlopen; print(urlopen('http://front:8081/metrics').read().decode())"
    line = re.compile(r'hedgerow_requests_total\{replica="(\w+)",app="whoami",code="2xx"\} (\d+)')

    def counted() -> bool:
        found = dict(line.findall(stack.exec("appserver", "python3", "-c", code)))
        return len(found) == 2 and sum(map(int, found.values())) > 0

    wait_for(counted, "both replicas' figures")
    assert stack.get("/metrics").status == 404


def test_a_request_has_one_id_in_the_answer_and_in_both_logs(stack: Stack) -> None:
    answer = stack.get("/function/", X_Request_Id="forged")
    identity = answer.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", identity)
    for service in SERVICES:
        wait_for(partial(logged, stack, service, identity), f"{identity} in the log of {service}")
    assert "forged" not in stack.logs(*SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_runs_without_root_and_without_capabilities(stack: Stack, service: str) -> None:
    status = status_of_init(stack, service)
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()
    assert [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [0] * 5
    assert status["NoNewPrivs"] == "1"


def test_the_front_sees_no_apps_and_writes_to_no_state(stack: Stack) -> None:
    """It sends files of releases and data, so it reads the state: what there is open to everybody."""
    assert stack.exec("front", "sh", "-c", "ls -d /apps 2>/dev/null || echo none").split() == ["none"]
    with pytest.raises(DockerError, match=r"Read-only file system"):
        stack.exec("front", "sh", "-c", "echo > /state/written")


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_cannot_write_to_its_root_or_to_the_apps(stack: Stack, service: str) -> None:
    for folder in ["/", "/usr/bin", "/etc"] + (["/apps", "/apps/function"] if service == "appserver" else []):
        with pytest.raises(DockerError, match=r"Read-only file system|Permission denied"):
            stack.exec(service, "sh", "-c", f"echo > {folder}/written")


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_container_can_write_is_bounded_in_size(stack: Stack, service: str) -> None:
    mounts = [line.split() for line in stack.exec(service, "cat", "/proc/mounts").splitlines()]
    tmpfs = [(where, options.split(",")) for _, where, kind, options, *_ in mounts if kind == "tmpfs"]
    ours = [(where, options) for where, options in tmpfs if "rw" in options and not where.startswith(("/dev", "/sys"))]
    assert "/run/hedgerow" in [where for where, _ in ours]
    assert [where for where, options in ours if not any("size=" in option for option in options)] == []


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_no_installer_and_no_compiler(stack: Stack, service: str) -> None:
    found = stack.exec(service, "sh", "-c", f"for name in {INSTALLERS_AND_COMPILERS}; do command -v $name; done; true")
    assert found == ""


def test_the_app_server_is_compiled(stack: Stack) -> None:
    code = "from hedgerow.http import head; print(head.__file__)"
    assert stack.exec("appserver", "python3", "-c", code).strip().endswith(".so")


def test_the_app_servers_python_cannot_install_packages(stack: Stack) -> None:
    code = "import importlib.util as u; print([n for n in ('pip', 'ensurepip', 'setuptools') if u.find_spec(n)])"
    assert stack.exec("appserver", "python3", "-c", code).strip() == "[]"
    assert stack.exec("appserver", "sh", "-c", "find / -name 'pip-*.whl' 2>/dev/null; true") == ""


def test_the_guides_commands_for_containers_print_what_it_shows(stack: Stack, tmp_path: Path) -> None:
    run([str(ROOT / ".ci" / "packages.sh"), "curl:curl"], timeout_s=300)
    given = steps(DOCS / "request.md", containers=True)
    assert len(given) == 3
    printed = run_steps(given, tmp_path, stack.environ, {"8080": str(stack.port)})
    assert [settled(output) for output in printed] == [settled(step.shown) for step in given]
