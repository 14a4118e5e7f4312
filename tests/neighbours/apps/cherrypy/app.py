import html
import os
import secrets

import about
import cherrypy
import notes

HERE = os.path.dirname(os.path.abspath(__file__))
SESSIONS = os.path.join(HERE, "data", "sessions")
PAGE = """<form method="post"><input type="hidden" name="token" value="{token}"><input name="text"></form>
{count} by you<ul>{notes}</ul>"""


class Notes:
    exposed = True

    def GET(self):
        token = cherrypy.session.setdefault("token", secrets.token_hex(8))
        lines = "".join(f"<li>{html.escape(one)}</li>" for one in notes.latest())
        return PAGE.format(token=token, count=cherrypy.session.get("count", 0), notes=lines)

    def POST(self, text, token):
        if token != cherrypy.session.get("token"):
            raise cherrypy.HTTPError(403)
        notes.add(text)
        cherrypy.session["count"] = cherrypy.session.get("count", 0) + 1
        raise cherrypy.HTTPRedirect(cherrypy.url("/notes"), 303)


class Root:
    notes = Notes()

    @cherrypy.expose
    def index(self):
        style, link = cherrypy.url("/static/style.css", relative="server"), cherrypy.url("/notes", relative="server")
        return f'<link rel="stylesheet" href="{style}"><h1>cherrypy</h1><a href="{link}">notes</a>'

    @cherrypy.expose
    def has(self, text):
        return str(notes.has(text))

    @cherrypy.expose
    def upload(self, file):
        return about.digest(file.file.read())

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def stream(self):
        cherrypy.response.headers["Content-Type"] = "text/plain"
        return about.stream()

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def about(self):
        return about.told("cherrypy")

    @cherrypy.expose
    def error(self):
        raise RuntimeError("as it must")


def missing(status, message, traceback, version):
    return "cherrypy does not have this"


def broken():
    cherrypy.response.status = 500
    cherrypy.response.body = b"cherrypy is sorry"


os.makedirs(SESSIONS, exist_ok=True)
application = cherrypy.Application(
    Root(),
    None,
    {
        "/": {
            "tools.sessions.on": True,
            "tools.sessions.storage_class": cherrypy.lib.sessions.FileSession,
            "tools.sessions.storage_path": SESSIONS,
            "error_page.404": missing,
            "request.error_response": broken,
        },
        "/notes": {"request.dispatch": cherrypy.dispatch.MethodDispatcher()},
        "/static": {"tools.staticdir.on": True, "tools.staticdir.dir": os.path.join(HERE, "static")},
    },
)
