"""The portability matrix: what docs/matrix.md says of servers and applications is what sessions find here and now.

CI has the light applications, side by side in one process of each server; the rest is slow and run by hand. A cell that
does not work has to fail in the way that its reason says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matrix_page
import pytest
import servers
from matrix_record import GOOD, PAGE, kept
from matrix_reds import REDS, told
from matrix_run import FEW, LIGHT, SERVERS, cell, cells, environment, laid, others
from matrix_servers import MatrixServer

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def light() -> Iterator[Path]:
    assert servers.PEERS_PYTHON.exists(), "the servers are missing: make .venv-peers/.installed"
    with laid(LIGHT) as apps:
        yield apps


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_server_has_the_light_applications_side_by_side(server: MatrixServer, light: Path) -> None:
    names = FEW if server.few else LIGHT
    row = kept("servers")[server.name]
    assert cells(server, light, names) == {name: row.cells.get(name) for name in names}


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_row_is_of_the_versions_that_are_locked(server: MatrixServer) -> None:
    row = kept("servers")[server.name]
    assert set(LIGHT) <= row.cells.keys()
    assert row.note == server.note
    # What comes from the machine differs from one to the next.
    if not row.version.startswith(("Python ", "nginx ")):
        assert row.version == server.version(servers.PEERS_PYTHON)


def test_the_page_is_what_is_kept() -> None:
    assert PAGE.read_text("utf-8") == matrix_page.page()


def test_a_session_that_fails_is_no_good_cell() -> None:
    port = servers._reserved_port(keep=False, count=1)[1]
    assert "ConnectionRefusedError" in cell("Waitress", "flask", port)


def test_a_reason_is_given_only_for_the_failure_that_it_explains() -> None:
    rows = kept("servers")
    for red in REDS:
        assert told(red.server, red.application, f"Wrong('{red.sign}')") == red.reason
        assert told(red.server, red.application, "Wrong('other')") == "Wrong('other')"
        assert told("other", "other", f"Wrong('{red.sign}')") != red.reason
    reasons = {red.reason for red in REDS} | {GOOD}
    ours = {server.name for server in SERVERS}
    unexplained = {(name, text) for name in ours for text in rows[name].cells.values() if text not in reasons}
    assert unexplained == set()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_takes_long_has_all_light_applications(light: Path) -> None:
    for server in [one for one in SERVERS if one.few]:
        row = kept("servers")[server.name]
        assert cells(server, light, LIGHT) == {name: row.cells.get(name) for name in LIGHT}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [one.folder for one in others()])
def test_a_further_application_alone_in_each_server(name: str) -> None:
    python = environment(name)
    with laid([name], python) as apps:
        found = {server.name: cells(server, apps, [name], python)[name] for server in SERVERS}
    rows = kept("servers")
    assert found == {server.name: rows[server.name].cells.get(name) for server in SERVERS}
