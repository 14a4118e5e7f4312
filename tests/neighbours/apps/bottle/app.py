import os
import secrets

import about
import bottle
import notes
from bottle import HTTPError, error, get, post, redirect, request, response, route, static_file, template

KEY = "of bottle"
HERE = os.path.dirname(os.path.abspath(__file__))


def base():
    return request.environ["SCRIPT_NAME"]


def page(name, **values):
    return template(name, template_lookup=[os.path.join(HERE, "views")], **values)


@get("/")
def home():
    return page("home", base=base())


@get("/notes")
def show():
    token = request.get_cookie("token", secret=KEY) or secrets.token_hex(8)
    response.set_cookie("token", token, secret=KEY, path=base() + "/")
    count = request.get_cookie("count", secret=KEY) or 0
    return page("notes", token=token, count=count, notes=notes.latest())


@post("/notes")
def add():
    if request.forms.token != request.get_cookie("token", secret=KEY):
        raise HTTPError(403)
    notes.add(request.forms.text)
    count = request.get_cookie("count", secret=KEY) or 0
    response.set_cookie("count", count + 1, secret=KEY, path=base() + "/")
    redirect(base() + "/notes")


@get("/has")
def has():
    return str(notes.has(request.query.text))


@post("/upload")
def upload():
    return about.digest(request.files.file.file.read())


@get("/stream")
def stream():
    response.content_type = "text/plain"
    return about.stream()


@get("/about")
def tell():
    return about.told("bottle")


@get("/static/<path:path>")
def static(path):
    return static_file(path, root=os.path.join(HERE, "static"))


@route("/error")
def fails():
    raise RuntimeError("as it must")


@error(404)
def missing(_):
    return "bottle does not have this"


@error(500)
def broken(_):
    return "bottle is sorry"


application = bottle.default_app()
