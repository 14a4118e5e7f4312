"""XML that means harm is refused with a sentence, in bounded time and memory, or does none."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse

import hostile_xml
import pytest
from asking_middleware import App, ask, ask_and_read
from hypothesis import given, settings
from hypothesis import strategies as st
from test_filters import Stream, Whole
from test_xslt import FEED, KIND, sheet

from hedgerow.middleware.xslt import Xslt

# Copies all that it is given: what a document can do to a stylesheet, it does to this one.
COPY = (
    '<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"><xsl:output method="xml"/>'
    '<xsl:template match="@*|node()"><xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy></xsl:template>'
    "</xsl:stylesheet>"
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("hostile") / "copy.xsl"
    path.write_text(COPY)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-W", "error", hostile_xml.__file__, str(path)]
    done = subprocess.run(program, env=environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return dict(map(json.loads, done.stdout.splitlines()))


SENTENCES = {
    "harmless doctype": "The answer has a document type declaration, with which XML is not transformed.\n",
    "external doctype": "The answer has a document type declaration, with which XML is not transformed.\n",
    "external entity": "The answer has a document type declaration, with which XML is not transformed.\n",
    "many attributes": "The answer has an element with more than 1000 attributes.\n",
    "many namespaces": "The answer declares more than 1000 namespaces at one place.\n",
    "deep": "The answer is not XML that can be transformed.\n",
    "entity bomb": "The answer is not XML that can be transformed.\n",
    "100 MB": "The answer is longer than the 1000000 bytes that can be transformed.\n",
}
CAUSES = {
    "deep": "Excessive depth",
    "entity bomb": "Maximum entity amplification",
    "quadratic entity": "Maximum entity amplification",
    "unknown encoding": "Unsupported encoding: nope",
    "nothing": "Document is empty",
}


@pytest.mark.parametrize("name", [*hostile_xml.REFUSED, "100 MB"])
def test_it_is_refused_with_a_sentence_and_costs_little(told: dict[str, Any], name: str) -> None:
    found = told[name]
    assert found["status"] == "500 Internal Server Error"
    assert found["body"].startswith("The answer ")
    assert found["body"] == SENTENCES.get(name, found["body"])
    assert CAUSES.get(name, "") in found["log"]
    assert "mean harm" not in found["log"], "a line of the file that it names"
    assert found["mb"] <= (60 if name.startswith("many ") else 15)
    assert found["ms"] < 2000
    assert found["closed"] == 1


@pytest.mark.parametrize("name", hostile_xml.TAKEN)
def test_it_is_taken_and_does_no_harm(told: dict[str, Any], name: str) -> None:
    found = told[name]
    assert (found["status"], found["log"], found["closed"]) == ("200 OK", "", 1)
    assert "mean harm" not in found["body"], "a line of the file that it names"
    assert found["mb"] <= 150
    assert found["ms"] < 5000


def test_names_of_documents_are_not_kept(told: dict[str, Any]) -> None:
    assert told["ever other names"]["mb"] < 15


def test_there_is_one_tree_at_a_time(told: dict[str, Any]) -> None:
    assert told["eight at once"]["mb"] < 220


PIECES = [
    *(
        b"<a>",
        b"</a>",
        b"<a/>",
        b"<b c='d'>",
        b"</b>",
        b"text",
        b"&amp;",
        b"&#0;",
        b"&x;",
        b"<![CDATA[",
        b"]]>",
        b"<!--",
    ),
    *(b"-->", b"<?p ?>", b"<!DOCTYPE a>", b"<!DOCTYPE a [<!ENTITY x 'y'>]>", b"\xff", b"\x00", b"\xef\xbb\xbf"),
    *(b"<?xml version='1.0' encoding='latin1'?>", b"xmlns='u'", b"\xff\xfe<\x00", b"<", b">", b"'"),
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_page_or_a_sentence(fuzzed: Xslt, pieces: list[bytes]) -> None:
    app = App(pieces, (KIND,))

    def wrap(inner: Any) -> Xslt:
        made = object.__new__(Xslt)
        made.__dict__.update({**fuzzed.__dict__, "application": inner})
        return made

    answer, log = ask_and_read(wrap, app)
    assert int(answer["Content-Length"]) == len(answer.body)
    assert (answer.status, bool(log)) in (("200 OK", False), ("500 Internal Server Error", True))
    assert log.count("\n") == bool(log)
    assert app.closed == 1


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Xslt:
    path = tmp_path_factory.mktemp("fuzz") / "copy.xsl"
    path.write_text(COPY)
    return Xslt(App(), stylesheet=path)


def test_a_document_that_is_refused_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    how = functools.partial(Xslt, stylesheet=sheet(tmp_path))
    for body in (hostile_xml.REFUSED["entity bomb"]().encode(), FEED, b"<r>", FEED):
        answer = ask(how, App([body], (KIND,)))
        assert answer.status[:3] == ("200" if body is FEED else "500")


@given(st.lists(st.binary(max_size=3), max_size=5), st.lists(st.binary(max_size=3), max_size=3), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_blocks_written_and_returned_come_in_their_order(
    blocks: list[bytes], written: list[bytes], late: bool
) -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        for block in written:
            write(block)
        return blocks

    def generated(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        yield from app(environ, start_response)

    whole = b"".join(written + blocks).upper() + b"!"
    for filter in (Stream, functools.partial(Whole, limit=100)):
        answer = ask(filter, generated if late else app)
        assert answer.body == whole
        assert answer["Content-Length"] in ("", str(len(whole)))
