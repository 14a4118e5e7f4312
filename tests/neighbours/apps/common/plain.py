"""The pages in plain WSGI, without a framework: the standard library is all that they need."""

import email.parser
import html
import http.cookies
import json
import os
import secrets
import traceback
import urllib.parse

import about
import notes

STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
TEXT = "text/plain; charset=utf-8"


class Page(Exception):
    """What is answered. Raised as well as returned."""

    def __init__(self, body, status="200 OK", kind=TEXT, **headers):
        self.body, self.status = body, status
        self.headers = [("Content-Type", kind), *((name.replace("_", "-"), value) for name, value in headers.items())]


def serve(name, environ, start_response):
    """One request of the app that goes by `name`."""
    try:
        page = answer(name, environ)
    except Page as raised:
        page = raised
    except Exception:
        traceback.print_exc(file=environ["wsgi.errors"])
        page = Page(f"{name} is sorry", "500 Internal Server Error")
    start_response(page.status, page.headers)
    return [page.body.encode()] if isinstance(page.body, str) else page.body


def answer(name, environ):
    base, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    match environ["REQUEST_METHOD"], path:
        case "GET", "":
            return Page("", "301 Moved Permanently", Location=base + "/")
        case "GET", "/":
            style = f'<link rel="stylesheet" href="{base}/static/style.css">'
            return Page(f'{style}<h1>{name}</h1><a href="{base}/notes">notes</a>', kind="text/html")
        case "GET", "/notes":
            return shown(environ, base)
        case "POST", "/notes":
            return added(environ, base)
        case "GET", "/has":
            return Page(str(notes.has(fields(environ.get("QUERY_STRING", ""))["text"])))
        case "POST", "/upload":
            return Page(about.digest(uploaded(environ)))
        case "GET", "/stream":
            return Page(about.stream())
        case "GET", "/about":
            return Page(json.dumps(about.told("")), kind="application/json")
        case "GET", "/error":
            raise RuntimeError("as it must")
        case "GET", "/static/style.css":
            with open(os.path.join(STATIC, "style.css"), "rb") as file:
                return Page([file.read()], kind="text/css")
    return Page(f"{name} does not have this", "404 Not Found")


def shown(environ, base):
    jar = cookies(environ)
    token = jar.get("token") or secrets.token_hex(8)
    lines = "".join(f"<li>{html.escape(one)}</li>" for one in notes.latest())
    form = f'<form method="post"><input type="hidden" name="token" value="{token}"><input name="text"></form>'
    body = f"{form}{jar.get('count', 0)} by you<ul>{lines}</ul>"
    return Page(body, kind="text/html", Set_Cookie=f"token={token}; Path={base}/; HttpOnly; SameSite=Lax")


def added(environ, base):
    jar, form = cookies(environ), fields(body_of(environ).decode())
    if not secrets.compare_digest(form.get("token", ""), jar.get("token", "none")):
        return Page("forged", "403 Forbidden")
    notes.add(form["text"])
    cookie = f"count={int(jar.get('count', 0)) + 1}; Path={base}/; HttpOnly; SameSite=Lax"
    return Page("", "303 See Other", Location=f"{base}/notes", Set_Cookie=cookie)


def cookies(environ):
    jar = http.cookies.SimpleCookie(environ.get("HTTP_COOKIE", ""))
    return {name: morsel.value for name, morsel in jar.items()}


def fields(text):
    return dict(urllib.parse.parse_qsl(text))


def body_of(environ):
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


def uploaded(environ):
    head = f"Content-Type: {environ['CONTENT_TYPE']}\r\n\r\n".encode()
    for part in email.parser.BytesParser().parsebytes(head + body_of(environ)).get_payload():
        if part.get_param("name", header="Content-Disposition") == "file":
            return part.get_payload(decode=True)
    raise Page("no file", "400 Bad Request")
