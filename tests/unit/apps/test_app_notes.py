"""Notes: what is posted is kept, links are right under a mount, and several processes write without losing a note."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sample_apps import APPS, Answer, Page, call, load

WRITERS, NOTES_EACH = 4, 50
WRITER = """
import sys
from pathlib import Path
from sample_apps import load
from test_app_notes import post

folder, number, notes_each = sys.argv[1:]
app = load(Path(folder)).app
print("ready", flush=True)
sys.stdin.readline()
for note in range(int(notes_each)):
    answer = post(app, f"note {number}-{note}")
    assert answer.status == "303 SEE OTHER", answer
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(APPS / "notes", tmp_path / "notes"))


@pytest.fixture
def notes(folder: Path) -> Any:
    return load(folder).app


def post(app: Any, text: str, path: str = "/", mount: str = "") -> Answer:
    form = urlencode({"text": text}).encode()
    kind = "application/x-www-form-urlencoded"
    environ = {"wsgi.input": BytesIO(form), "CONTENT_LENGTH": str(len(form)), "CONTENT_TYPE": kind}
    return call(app, path, mount=mount, method="POST", **environ)


def stored(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "data" / "notes.sqlite3") as db:
        found = [text for (text,) in db.execute("SELECT text FROM note ORDER BY id")]
    db.close()
    return found


@pytest.mark.parametrize("mount", ["", "/x"])
def test_a_post_redirects_to_the_note_below_the_mount(notes: Any, mount: str) -> None:
    answer = post(notes, "Buy <milk> & ünï\r\nsecond line", mount=mount)
    assert answer.status == "303 SEE OTHER"
    assert answer.headers["location"] == f"{mount}/note/1"
    page = call(notes, "/note/1", mount=mount)
    assert "Buy &lt;milk&gt; &amp; ünï\nsecond line</p>" in page.text
    assert all(link.startswith(f"{mount}/") for link in Page(page.text).links)
    assert "Buy &lt;milk&gt;" in call(notes, "/", mount=mount).text


def test_notes_outlive_the_process(folder: Path, notes: Any) -> None:
    post(notes, "stays")
    assert "stays" in call(load(folder).app, "/").text


def test_the_data_may_be_a_link_and_may_be_empty(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "data")
    (tmp_path / "elsewhere").mkdir()
    (folder / "data").symlink_to(tmp_path / "elsewhere")
    post(load(folder).app, "kept elsewhere")
    assert (tmp_path / "elsewhere" / "notes.sqlite3").exists()
    assert stored(folder) == ["kept elsewhere"]


def test_without_a_data_folder_it_makes_one(folder: Path) -> None:
    shutil.rmtree(folder / "data")
    assert call(load(folder).app, "/").status == "200 OK"
    assert (folder / "data").is_dir()


def test_a_deleted_note_is_gone(folder: Path, notes: Any) -> None:
    post(notes, "one")
    post(notes, "two")
    answer = post(notes, "", "/note/1/delete", mount="/x")
    assert (answer.status, answer.headers["location"]) == ("303 SEE OTHER", "/x/")
    assert call(notes, "/note/1").status == "404 NOT FOUND"
    assert stored(folder) == ["two"]


@pytest.mark.parametrize("text", ["", "  \r\n ", "x" * 2001])
def test_a_note_that_is_none_is_shown_again_with_the_reason(folder: Path, notes: Any, text: str) -> None:
    answer = post(notes, text)
    assert answer.status == "400 BAD REQUEST"
    assert "1 to 2000 characters" in answer.text
    assert text.strip() in answer.text
    assert stored(folder) == []


def test_older_notes_are_on_the_next_page(notes: Any) -> None:
    for number in range(45):
        post(notes, f"n{number:02}.")
    seen, path = [], "/"
    for _ in range(3):
        text = call(notes, path).text
        seen += re.findall(r">(n\d\d)\.<", text)
        older = re.search(r'href="(/\?before=\d+)">Older', text)
        path = older[1] if older else ""
    assert path == ""
    assert seen == [f"n{number:02}" for number in reversed(range(45))]


@pytest.mark.parametrize("path", ["/?before=-9", "/?before=x", f"/?before={10**30}", f"/?before=-{10**30}"])
def test_any_page_number_does(notes: Any, path: str) -> None:
    assert call(notes, path).status == "200 OK"


@pytest.mark.parametrize("note", ["0", "99", str(10**30), "-1", "x"])
def test_a_note_that_never_was_is_not_found(notes: Any, note: str) -> None:
    assert call(notes, f"/note/{note}").status == "404 NOT FOUND"


@pytest.mark.parametrize(("file", "kind"), [("style.css", "text/css"), ("pin.svg", "image/svg+xml")])
def test_static_files(notes: Any, file: str, kind: str) -> None:
    answer = call(notes, f"/static/{file}", mount="/x")
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == ("200 OK", kind)
    assert answer.body == (APPS / "notes" / "static" / file).read_bytes()


def test_a_writer_waits_for_another_and_then_writes(notes: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    post(notes, "first")
    other = sqlite3.connect(folder / "data" / "notes.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            other.execute("COMMIT")

    monkeypatch.setattr("time.sleep", nap)
    assert post(notes, "second").status == "303 SEE OTHER"
    other.close()
    assert len(naps) == 3
    assert stored(folder) == ["first", "second"]


def test_writers_in_several_processes_lose_no_note(folder: Path) -> None:
    """They start together on a folder without a table, so that making it is part of the race."""
    line = [sys.executable, "-c", WRITER, str(folder)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    here = Path(__file__).parent
    writers = [
        subprocess.Popen([*line, str(number), str(NOTES_EACH)], cwd=here, text=True, **pipes)
        for number in range(WRITERS)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n", writer.communicate()[1]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        said = [writer.communicate(timeout=60)[1] for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert [writer.returncode for writer in writers] == [0] * WRITERS, said
    expected = sorted(f"note {number}-{note}" for number in range(WRITERS) for note in range(NOTES_EACH))
    assert sorted(stored(folder)) == expected
