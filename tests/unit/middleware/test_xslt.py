"""XSLT: which answers become pages, what the head says then, what a stylesheet may read, and what an error tells."""

from __future__ import annotations

import functools
import os
import threading
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

import pytest
from asking_middleware import App, ask, ask_and_read

from hedgerow.middleware.xslt import Xslt

XSL = 'xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"'
KIND = ("Content-Type", "application/xml; charset=utf-8")
FEED = "<feed>\n<entry>caf\u00e9 \u20ac</entry>\n</feed>".encode()
PAGE = "<html><body><h1><xsl:value-of select='feed/entry'/></h1></body></html>"


def sheet(folder: Path, template: str = PAGE, output: str = 'method="html"', more: str = "") -> Path:
    path = folder / "page.xsl"
    path.write_text(
        f"<xsl:stylesheet {XSL}>\n{more}<xsl:output {output}/>\n<xsl:template match='/'>\n{template}\n"
        "</xsl:template></xsl:stylesheet>"
    )
    return path


def answered(path: Path, app: WSGIApplication | None = None, *given: Any, **options: Any) -> str:
    answer = ask(functools.partial(Xslt, stylesheet=path, **options), app or App([FEED], (KIND,)), *given)
    assert (answer.status, int(answer["Content-Length"])) == ("200 OK", len(answer.body))
    return answer.body.decode()


def failed(path: Path, body: bytes = FEED, **options: Any) -> tuple[str, str]:
    """The client's sentence and the log's."""
    app = App([body], (KIND, ("ETag", '"a"')))
    answer, log = ask_and_read(functools.partial(Xslt, stylesheet=path, **options), app)
    assert (answer.status, answer["Content-Type"]) == ("500 Internal Server Error", "text/plain; charset=utf-8")
    assert (answer["ETag"], app.closed) == ("", 1)
    return answer.body.decode(), log


def test_an_xml_answer_becomes_a_page(tmp_path: Path) -> None:
    app = App(
        [FEED[:20], FEED[20:]],
        (
            KIND,
            ("Content-Length", str(len(FEED))),
            ("ETag", '"a"'),
            ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("Cache-Control", "max-age=5"),
            ("Vary", "Accept"),
        ),
    )
    answer = ask(functools.partial(Xslt, stylesheet=sheet(tmp_path)), app)
    assert "<h1>caf\u00e9 \u20ac</h1>" in answer.body.decode()
    assert answer.headers == [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "max-age=5"),
        ("Vary", "Accept"),
        ("Content-Length", str(len(answer.body))),
    ]
    assert app.closed == 1


@pytest.mark.parametrize(
    ("output", "media_type", "body"),
    [
        ('method="html" encoding="ISO-8859-1"', "text/html; charset=iso-8859-1", b"<p>caf\xe9 &#8364;</p>\n"),
        ('method="text"', "text/plain; charset=utf-8", "caf\u00e9 \u20ac".encode()),
        (
            'method="xml" encoding="utf-16" omit-xml-declaration="yes"',
            "application/xml; charset=utf-16",
            "<p>caf\u00e9 \u20ac</p>\n".encode("utf-16"),
        ),
        (
            'method="xml" media-type="image/svg+xml" omit-xml-declaration="yes"',
            "image/svg+xml; charset=utf-8",
            "<p>caf\u00e9 \u20ac</p>\n".encode(),
        ),
    ],
)
def test_media_type_and_encoding_are_those_of_xsl_output(
    tmp_path: Path, output: str, media_type: str, body: bytes
) -> None:
    how = functools.partial(Xslt, stylesheet=sheet(tmp_path, "<p><xsl:value-of select='feed/entry'/></p>", output))
    for method in ("GET", "HEAD"):
        answer = ask(how, App([FEED], (KIND, ("Content-Length", str(len(FEED))))), method=method)
        assert answer["Content-Type"] == media_type
        assert (answer.body, answer["Content-Length"]) == ((body, str(len(body))) if method == "GET" else (FEED, ""))


@pytest.mark.parametrize(
    ("charset", "document"),
    [
        ("; charset=iso-8859-1", "<a>caf\u00e9</a>".encode("latin-1")),
        (';Charset="ISO-8859-1"; x=y', "<?xml version='1.0'?><a>caf\u00e9</a>".encode("latin-1")),
        ("; charset=utf-16le", "<a>caf\u00e9</a>".encode("utf-16-le")),
        ("; charset=no-such", "<a>caf\u00e9</a>".encode()),
        # What says it itself: by its declaration or a byte order mark.
        ("; charset=utf-8", "<?xml version='1.0' encoding='iso-8859-1'?><a>caf\u00e9</a>".encode("latin-1")),
        ("; charset=iso-8859-1", "\ufeff<a>caf\u00e9</a>".encode()),
    ],
)
def test_the_charset_is_that_of_a_document_that_tells_none(tmp_path: Path, charset: str, document: bytes) -> None:
    app = App([document], (("Content-Type", f"text/xml{charset}"),))
    assert answered(sheet(tmp_path, "<xsl:value-of select='a'/>", 'method="text"'), app) == "caf\u00e9"


def test_an_empty_result_is_an_empty_answer(tmp_path: Path) -> None:
    assert answered(sheet(tmp_path, "", 'method="text"')) == ""


@pytest.mark.parametrize(
    "app",
    [
        App([FEED], (("Content-Type", "application/atom+xml"),)),
        App([b"hello"], (("Content-Type", "text/plain"),)),
        App([b"\x1f\x8b"], (KIND, ("Content-Encoding", "gzip"), ("ETag", '"a"'))),
        App([FEED], (KIND,), "404 Not Found"),
        App([FEED], (KIND,), "500 Internal Server Error"),
        App([FEED], (KIND, ("Location", "/")), "303 See Other"),
        App([FEED[:9]], (KIND, ("Content-Range", f"bytes 0-8/{len(FEED)}")), "206 Partial Content"),
        App([], (("ETag", '"a"'),), "304 Not Modified"),
        App([], (), "204 No Content"),
    ],
    ids=["other xml", "text", "coded", "missing", "failed", "elsewhere", "a part", "not modified", "nothing"],
)
def test_what_goes_as_it_is(tmp_path: Path, app: App) -> None:
    answer = ask(functools.partial(Xslt, stylesheet=sheet(tmp_path)), app)
    assert (answer.body, answer.headers) == (b"".join(app.body), list(app.headers))


def test_other_xml_if_asked(tmp_path: Path) -> None:
    atom = App([FEED], (("Content-Type", "Application/Atom+XML"),))
    assert "<h1>" in answered(sheet(tmp_path), atom, types=("application/*+xml",))


def test_parameters_come_from_options_and_from_a_client_only_as_far_as_named(tmp_path: Path) -> None:
    more = (
        "<xsl:param name='a' select=\"'-'\"/><xsl:param name='b' select=\"'-'\"/><xsl:param name='c' select=\"'-'\"/>"
    )
    path = sheet(tmp_path, "<xsl:value-of select=\"concat($a, ' ', $b, ' ', $c)\"/>", 'method="text"', more)

    def told(asked: str, **options: Any) -> str:
        def with_query(app: WSGIApplication) -> WSGIApplication:
            made = Xslt(app, stylesheet=path, **options)
            return lambda environ, start_response: made({**environ, "QUERY_STRING": asked}, start_response)

        return ask(with_query, App([FEED], (KIND,))).body.decode()

    assert told("a=1&b=2") == "- - -"
    assert told("a=1&b=2", parameters={"a": "x", "b": "y"}) == "x y -"
    assert told("a=1&b=2&b=3", parameters={"a": "x", "b": "y"}, query=("b", "c")) == "x 3 -"
    assert told("b=/feed&c=%22'%3C%26", query=("b", "c")) == "- /feed \"'<&", "text, never an expression"
    assert told("b=%00%01&c=%ff", query=("b", "c")) == "- \ufffd\ufffd \ufffd"
    assert told("b=&profile_run=1", query=("b",)) == "-  -"


@pytest.mark.parametrize("name", ["_input", "profile_run", "a b", "", "1"])
def test_names_that_are_none(name: str) -> None:
    check = Xslt.__dataclass_fields__["query"].metadata["check"]
    assert check((name,)) == f"{name!r} is no name of a parameter"
    assert check(("a", "sort-by", "größe")) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<a", "page.xsl line 1: Couldn't find end of Start Tag a line 1"),
        ("<html/>", "page.xsl line 1: xsltParseStylesheetProcess : document is not a stylesheet"),
        (f"<xsl:stylesheet {XSL}/>", "page.xsl: its xsl:output names no method; html, text, xml are known"),
        (
            f"<xsl:stylesheet {XSL}>\n<xsl:output method='html'/>\n<xsl:template match='/'>\n"
            "<xsl:value-of select='(('/></xsl:template></xsl:stylesheet>",
            "page.xsl line 4: Invalid expression; xsl:value-of : could not compile select expression '(('",
        ),
        (
            f"<xsl:stylesheet {XSL}>\n<xsl:output method='html'/><xsl:template match='/'><xsl:foo/></xsl:template>"
            "</xsl:stylesheet>",
            "page.xsl line 2: xsltStylePreCompute: unknown xsl:foo",
        ),
        (
            f"<xsl:stylesheet {XSL}><xsl:output method='html'/><xsl:include href='gone.xsl'/></xsl:stylesheet>",
            "page.xsl: {folder}/gone.xsl: no such file",
        ),
        (
            f"<xsl:stylesheet {XSL}><xsl:output method='html'/><xsl:include href='page.xsl'/></xsl:stylesheet>",
            "page.xsl line 1: recursion detected on imported URL {folder}/page.xsl",
        ),
        (
            f"<xsl:stylesheet {XSL} xmlns:x='u:x'><xsl:output method='x:own'/></xsl:stylesheet>",
            "page.xsl: its xsl:output has the method 'x:own'; html, text, xml are known",
        ),
        (
            f"<xsl:stylesheet {XSL}><xsl:output method='html' encoding='rot13'/></xsl:stylesheet>",
            "page.xsl: its xsl:output has no known encoding",
        ),
        (
            f"<xsl:stylesheet {XSL}><xsl:output method='html' encoding='utf 8'/></xsl:stylesheet>",
            "page.xsl: its xsl:output has no known encoding",
        ),
        (
            f"<xsl:stylesheet {XSL}><xsl:output method='html' media-type='text/é'/></xsl:stylesheet>",
            "page.xsl: its xsl:output has the media-type 'text/é'",
        ),
    ],
    ids=[
        *("no xml", "no stylesheet", "no output", "expression", "instruction", "include", "of itself", "method"),
        *("encoding", "encoding of two words", "media type"),
    ],
)
def test_an_error_in_the_stylesheet_is_told_when_it_is_made(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "page.xsl").write_text(text)
    with pytest.raises(ValueError) as told:  # noqa: PT011 - the sentence is compared below
        Xslt(App(), stylesheet=tmp_path / "page.xsl")
    assert str(told.value) == sentence.format(folder=tmp_path)


def test_a_path_is_that_of_the_time_when_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words.xml").write_text("<words/>")
    monkeypatch.chdir(tmp_path)
    path = Path(sheet(tmp_path, COPY.format("'words.xml'"), 'method="xml" omit-xml-declaration="yes"').name)
    made = Xslt(App([FEED], (KIND,)), stylesheet=path)
    monkeypatch.chdir("/")
    assert [*made({"REQUEST_METHOD": "GET"}, lambda *_: lambda _: None)] == [b"<words/>\n"]


def test_a_stylesheet_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^page\.xsl: No such file or directory$"):
        Xslt(App(), stylesheet=tmp_path / "page.xsl")


def test_an_error_while_it_runs_is_a_sentence_for_the_client_and_the_line_for_the_log(tmp_path: Path) -> None:
    client = "The answer could not be transformed.\n"
    gone = sheet(tmp_path, "<p>\n<xsl:value-of select='gone()'/></p>")
    for _ in range(2):  # what one request has done wrong is not told of the next
        assert failed(gone) == (
            client,
            "xslt: page.xsl line 5: Unregistered function; XPath evaluation returned no result.\n",
        )
    stop = sheet(tmp_path, "<xsl:message terminate='yes'>no <xsl:value-of select='feed/entry'/></xsl:message>")
    assert failed(stop) == (client, "xslt: page.xsl: no caf\u00e9 \u20ac\n")
    loop = sheet(tmp_path, "<xsl:apply-templates select='.'/>")
    assert failed(loop)[0] == client
    assert failed(loop)[1].startswith("xslt: page.xsl line 4: xsltApplySequenceConstructor: A potential infinite")
    assert "unknown error" not in failed(loop)[1]


def test_what_is_no_xml_is_told_with_its_line_to_the_log_only(tmp_path: Path) -> None:
    client, log = failed(sheet(tmp_path), b"<feed>\n<entry>\n</feed>")
    assert client == "The answer is not XML that can be transformed.\n"
    assert log.startswith("xslt: page.xsl: The answer is not XML that can be transformed. Opening and ending tag")
    assert "line 3" in log


def test_a_longer_answer_is_refused(tmp_path: Path) -> None:
    client, _ = failed(sheet(tmp_path), limit=20)
    assert client == "The answer is longer than the 20 bytes that can be transformed.\n"


COPY = '<xsl:copy-of select="document({})"/>'


def test_a_stylesheet_is_made_of_files_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "base.xsl").write_text(
        f"<xsl:stylesheet {XSL}><xsl:output method='xml' encoding='latin1' media-type='text/x-a'/>"
        "<xsl:template name='more'><i><xsl:copy-of select=\"document('../words.xml')\"/></i></xsl:template>"
        "</xsl:stylesheet>"
    )
    (folder / "words.xml").write_text("<words/>")
    path = folder / "page.xsl"
    path.write_text(
        f"<!DOCTYPE xsl:stylesheet [<!ENTITY nbsp '&#160;'>]><xsl:stylesheet {XSL}>"
        "<xsl:import href='parts/base.xsl'/><xsl:output method='html' encoding='utf-8'/>"
        "<xsl:template match='/'><p>&nbsp;<xsl:call-template name='more'/></p></xsl:template></xsl:stylesheet>"
    )
    answer = ask(functools.partial(Xslt, stylesheet=path), App([FEED], (KIND,)))
    assert answer["Content-Type"] == "text/x-a; charset=utf-8"
    assert answer.body.decode() == "<p>\u00a0<i><words></words></i></p>\n"


@pytest.mark.parametrize("way", ["absolute", "url", "upwards", "link", "network", "document's own"])
def test_it_reads_nothing_else(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "style"
    folder.mkdir()
    secret = tmp_path / "secret.xml"
    secret.write_text("<secret/>")
    (folder / "link.xml").symlink_to(secret)
    where = {
        "absolute": str(secret),
        "url": secret.as_uri(),
        "upwards": "../secret.xml",
        "link": "link.xml",
        "network": "http://127.0.0.1:9/secret.xml",
    }
    body = f"<feed><entry>{secret}</entry></feed>".encode() if way == "document's own" else FEED
    path = sheet(folder, COPY.format(f"'{where[way]}'" if way in where else "string(feed/entry)"))
    client, log = failed(path, body)
    assert client == "The answer could not be transformed.\n"
    assert "denied" in log if way == "network" else "is not in the stylesheet's folder" in log
    if way in where:
        for how in ("include", "import"):
            with pytest.raises(ValueError, match="is not in the stylesheet's folder, and is not read"):
                Xslt(App(), stylesheet=sheet(folder, more=f"<xsl:{how} href='{where[way]}'/>"))


def test_it_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    write = f"<xsl:document href='{out}'>x</xsl:document>"
    _, log = failed(sheet(tmp_path, write))
    assert log.startswith("xslt: page.xsl line 4: ")
    assert "denied" in log
    assert os.listdir(tmp_path) == ["page.xsl"]


def test_many_threads_use_one_stylesheet(tmp_path: Path) -> None:
    """Half of the documents are refused in the middle of their run, and files are read meanwhile."""
    (tmp_path / "words.xml").write_text("<words/>")
    stop = "<xsl:message terminate='yes'>no <xsl:value-of select='feed/entry'/></xsl:message>"
    choose = (
        f"<xsl:if test='feed/entry mod 2'>{stop}</xsl:if>"
        "<p><xsl:for-each select='//n'><xsl:element name='{.}'/></xsl:for-each>"
        "<xsl:copy-of select=\"document('words.xml')\"/></p>"
    )
    how = functools.partial(Xslt, stylesheet=sheet(tmp_path, choose, 'method="xml" omit-xml-declaration="yes"'))
    wrong: list[object] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for turn in range(number, 800, 8):
            names = [f"n{turn}-{one}" for one in range(50)]
            body = f"<feed><entry>{turn}</entry>{''.join(f'<n>{one}</n>' for one in names)}</feed>".encode()
            answer, log = ask_and_read(shared, App([body], (KIND,)))
            right = f"<p>{''.join(f'<{one}/>' for one in names)}<words/></p>\n"
            found = (log, answer.status[:3]) if turn % 2 else (answer.body.decode(), log)
            if found != ((f"xslt: page.xsl: no {turn}\n", "500") if turn % 2 else (right, "")):
                wrong.append((turn, found))

    made = how(App())

    def shared(app: WSGIApplication) -> WSGIApplication:
        """The same compiled stylesheet around another application."""
        copy = object.__new__(Xslt)
        copy.__dict__.update({**made.__dict__, "application": app})
        return copy

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
