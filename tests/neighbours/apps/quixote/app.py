import json
import os
import secrets

import about
import notes
from quixote import get_cookie, get_field, get_request, get_response, redirect
from quixote.directory import Directory
from quixote.errors import AccessError, TraversalError
from quixote.html import htmltext
from quixote.http_response import Stream
from quixote.publish import Publisher
from quixote.util import StaticDirectory
from quixote.wsgi import QWIP

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = htmltext('<link rel="stylesheet" href="%s/static/style.css"><h1>quixote</h1><a href="%s/notes">notes</a>')
FORM = htmltext('<form method="post"><input type="hidden" name="token" value="%s"><input name="text"></form>')
NOTES = htmltext("%s%s by you<ul>%s</ul>")


def base():
    return get_request().get_environ("SCRIPT_NAME")


def remember(name, value):
    get_response().set_cookie(name, value, path=base() + "/", httponly=True)


def plain(text):
    get_response().set_content_type("text/plain")
    return text


class Root(Directory):
    _q_exports = ("", "notes", "has", "upload", "stream", "about", "error", "static")
    static = StaticDirectory(os.path.join(HERE, "static"))

    def _q_index(self):
        return HOME % (base(), base())

    def notes(self):
        if get_request().get_method() == "POST":
            if get_field("token") != get_cookie("token", "none"):
                raise AccessError("forged")
            notes.add(get_field("text"))
            remember("count", str(int(get_cookie("count", "0")) + 1))
            return redirect(base() + "/notes")
        token = get_cookie("token") or secrets.token_hex(8)
        remember("token", token)
        lines = htmltext("").join(htmltext("<li>%s</li>") % one for one in notes.latest())
        return NOTES % (FORM % token, get_cookie("count", "0"), lines)

    def has(self):
        return plain(str(notes.has(get_field("text"))))

    def upload(self):
        return plain(about.digest(get_field("file").fp.read()))

    def stream(self):
        length = sum(map(len, about.stream()))  # without, Quixote sends its own chunks, which WSGI leaves to the server
        return plain(Stream(about.stream(), length))

    def about(self):
        get_response().set_content_type("application/json")
        return json.dumps(about.told("quixote"))

    def error(self):
        raise RuntimeError("as it must")


class Site(Publisher):
    def format_publish_error(self, exc):
        return plain("quixote does not have this" if isinstance(exc, TraversalError) else str(exc))

    def _generate_internal_error(self, request):
        request.response.set_content_type("text/plain")
        return "quixote is sorry"


application = QWIP(Site(Root()))
