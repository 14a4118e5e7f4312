"""The rows of Apache and Passenger: a whole session at each of the light applications, all side by side."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(1, str(Path(__file__).parent))

import matrix_record
import matrix_run
from matrix_apache import MATRIX_APACHE, environment
from matrix_servers import MatrixServer

from neighbours import APPS


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", MATRIX_APACHE, ids=lambda server: server.name)
def test_a_session_at_each_application(server: MatrixServer) -> None:
    python = environment([file for name in matrix_run.LIGHT if (file := APPS / name / "requirements.txt").exists()])
    with matrix_run.laid(matrix_run.LIGHT, python) as apps:
        found = matrix_run.cells(server, apps, matrix_run.LIGHT, python)
    row = matrix_record.Row(server.name, server.version(python), found, server.note)
    print(row)
    matrix_record.keep("servers", row)
    assert {name: said for name, said in found.items() if said != matrix_record.GOOD} == {}
