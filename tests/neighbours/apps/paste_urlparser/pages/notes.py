import html
import secrets

import store
from paste.httpexceptions import HTTPForbidden, HTTPSeeOther
from paste.request import parse_formvars, resolve_relative_url

PAGE = """<form method="post"><input type="hidden" name="token" value="{token}"><input name="text"></form>
{count} by you<ul>{notes}</ul>"""


def application(environ, start_response):
    session = environ["paste.session.factory"]()
    if environ["REQUEST_METHOD"] == "POST":
        return posted(environ, session)(environ, start_response)
    token = session.setdefault("token", secrets.token_hex(8))
    lines = "".join(f"<li>{html.escape(one)}</li>" for one in store.notes.latest())
    start_response("200 OK", [("Content-Type", "text/html")])
    return [PAGE.format(token=token, count=session.get("count", 0), notes=lines).encode()]


def posted(environ, session):
    form = parse_formvars(environ, include_get_vars=False)
    if form.get("token") != session.get("token"):
        return HTTPForbidden().wsgi_application
    store.notes.add(form["text"])
    session["count"] = session.get("count", 0) + 1
    return HTTPSeeOther(headers=[("Location", resolve_relative_url("notes", environ))]).wsgi_application
