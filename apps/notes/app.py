"""A framework is a WSGI app too: Flask, with templates, static files, a form and stored data.

Flask hides environ and start_response, but `app` is still what the server calls. `url_for` puts SCRIPT_NAME before each
link, so the app works wherever it is mounted. After a POST the browser is redirected to a page that it may reload.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask, abort, redirect, render_template, request, url_for
from store import MAX_CHARS, MAX_ID, Notes
from werkzeug import Response

PAGE_SIZE = 20

app = Flask(__name__)
# What is in `data` beside the app is kept when a new version of the app is deployed.
notes = Notes(Path(__file__).parent / "data" / "notes.sqlite3")


@app.get("/")
def index() -> str:
    return _index(before=request.args.get("before", MAX_ID, type=int))


@app.post("/")
def add() -> Response | tuple[str, int]:
    text = request.form.get("text", "").replace("\r\n", "\n").strip()
    if not text or len(text) > MAX_CHARS:
        return _index(text=text, error=f"A note has 1 to {MAX_CHARS} characters."), 400
    return redirect(url_for("show", note_id=notes.add(text)), 303)


@app.get("/note/<int:note_id>")
def show(note_id: int) -> str:
    note = notes.get(note_id) or abort(404)
    return render_template("note.html", note=note)


@app.post("/note/<int:note_id>/delete")
def delete(note_id: int) -> Response:
    notes.delete(note_id)
    return redirect(url_for("index"), 303)


@app.errorhandler(404)
def not_found(_: Exception) -> tuple[str, int]:
    return render_template("missing.html"), 404


def _index(*, before: int = MAX_ID, text: str = "", error: str = "") -> str:
    # One more than a page holds tells whether there are older ones.
    page = notes.newest(PAGE_SIZE + 1, before)
    shown = page[:PAGE_SIZE]
    links = {"older": shown[-1].id if len(page) > PAGE_SIZE else None, "newer": before != MAX_ID}
    form = {"text": text, "error": error, "most": MAX_CHARS}
    return render_template("index.html", notes=shown, count=notes.count(), **links, **form)
