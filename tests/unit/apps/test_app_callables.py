"""The three kinds of WSGI callable: a function, a class whose instances are iterated, an instance."""

from __future__ import annotations

import re
import threading
import time
import types
from typing import Any

import pytest
from sample_apps import APPS, Page, call, environ_for, load


def test_function_is_a_function_and_greets() -> None:
    app = load(APPS / "function").application
    assert isinstance(app, types.FunctionType)
    assert "<h1>Hello, world</h1>" in call(app, "/").text
    assert "<h1>Hello, Zoë</h1>" in call(app, "/?name=Zo%C3%AB").text


@pytest.mark.parametrize("query", ["name=<script>alert(1)</script>", "name=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"])
def test_function_escapes_what_it_is_given(query: str) -> None:
    text = call(load(APPS / "function").application, f"/?{query}").text
    Page(text)
    assert "<script" not in text


@pytest.mark.parametrize("query", ["name", "name=", "&&&", "name=%ff%fe", "name=" + "a" * 5000, "name=a&name=b"])
def test_function_survives_any_query(query: str) -> None:
    answer = call(load(APPS / "function").application, f"/?{query}")
    assert answer.status == "200 OK"
    assert len(answer.body) < 9000


def test_klass_is_a_class_whose_instances_are_iterated() -> None:
    app = load(APPS / "klass").application
    assert isinstance(app, type)
    answer = call(app, "/?rows=40")
    assert re.findall(r"<span>row (\d+)</span>", answer.text) == [str(number) for number in range(1, 41)]


def test_klass_makes_a_row_when_it_is_asked_for_it_and_close_knows_how_far_it_came() -> None:
    app = load(APPS / "klass").application
    sent: list[str] = []
    answer = app(environ_for("/?rows=5"), lambda status, headers: sent.append(status))
    chunks = iter(answer)
    assert answer.sent == 0
    for _ in range(3):  # the head and two rows
        next(chunks)
    assert answer.sent == 2
    answer.close()
    assert "after 2 of 5 rows" in call(app, "/").text
    assert sent == ["200 OK"]


@pytest.mark.parametrize("rows", ["0", "-1", "1000", "many", "1e3", "٣", "1" * 5000])
def test_klass_refuses_a_number_that_is_none(rows: str) -> None:
    assert call(load(APPS / "klass").application, f"/?rows={rows}").status == "400 Bad Request"


def counted(app: Any, method: str = "GET") -> int:
    found = re.search(r"<output>(\d+)</output>", call(app, "/", method=method).text)
    return int(found[1]) if found else -1


def test_instance_counts_pages_and_not_looks() -> None:
    app = load(APPS / "instance").application
    assert not isinstance(app, type | types.FunctionType)
    assert [counted(app), counted(app)] == [1, 2]
    assert counted(app, "HEAD") == -1
    call(app, "/elsewhere")
    assert counted(app) == 3


class SlowNumber(int):
    """Gives way to other threads between being read and being stored, as any number may."""

    def __add__(self, other: int) -> SlowNumber:
        time.sleep(0.0005)
        return SlowNumber(int(self) + other)


def test_instance_loses_no_count_when_many_ask_at_once() -> None:
    app = load(APPS / "instance").application
    app._count = SlowNumber()
    seen: list[int] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        seen.extend(counted(app) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 161))
