import json
import secrets

import about
import notes
from py4web import HTTP, URL, Session, action, redirect, request, response
from py4web.core import ERROR_PAGES

session = Session(secret="9f1c73abe04d5b829f1c73abe04d5b82")  # noqa: S106
ERROR_PAGES |= {404: "py4web does not have this", 500: "py4web is sorry"}


@action("index")
@action.uses("index.html")
def index():
    return {"URL": URL}


@action("notes", method=["GET", "POST"])
@action.uses("notes.html", session)
def note():
    if request.method == "POST":
        if request.forms.get("token") != session.get("token"):
            raise HTTP(403)
        notes.add(request.forms.get("text"))
        session["count"] = session.get("count", 0) + 1
        redirect(URL("notes"))
    session["token"] = session.get("token") or secrets.token_hex(8)
    return {"token": session["token"], "count": session.get("count", 0), "notes": notes.latest()}


@action("has")
def has():
    return str(notes.has(request.query.get("text")))


@action("upload", method="POST")
def upload():
    return about.digest(request.files["file"].file.read())


@action("stream")
def stream():
    response.headers["Content-Type"] = "text/plain"
    return about.stream()


@action("about")
def tell():
    response.headers["Content-Type"] = "application/json"
    return json.dumps(about.told("py4web"))


@action("error")
def error():
    raise RuntimeError("as it must")
