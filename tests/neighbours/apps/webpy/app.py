import json
import os
import secrets

import about
import notes
import web

HERE = os.path.dirname(os.path.abspath(__file__))
pages = web.template.render(os.path.join(HERE, "templates"))


class Home:
    def GET(self):
        web.header("Content-Type", "text/html; charset=utf-8")
        return pages.home(web.ctx.homepath)


class Notes:
    def GET(self):
        if not session.token:
            session.token = secrets.token_hex(8)
        web.header("Content-Type", "text/html; charset=utf-8")
        return pages.notes(session.token, session.count, notes.latest())

    def POST(self):
        form = web.input(text="", token="")
        if form.token != session.token:
            raise web.forbidden()
        notes.add(form.text)
        session.count += 1
        raise web.seeother("/notes")


class Has:
    def GET(self):
        return str(notes.has(web.input().text))


class Upload:
    def POST(self):
        return about.digest(web.input(file={}).file.file.read())


class Stream:
    def GET(self):
        web.header("Content-Type", "text/plain")
        yield from about.stream()


class About:
    def GET(self):
        web.header("Content-Type", "application/json")
        return json.dumps(about.told("web.py"))


class Static:
    def GET(self):
        web.header("Content-Type", "text/css")
        with open(os.path.join(HERE, "static", "style.css"), "rb") as file:
            return file.read()


class Error:
    def GET(self):
        raise RuntimeError("as it must")


pages_by_path = (
    "/", Home,
    "/notes", Notes,
    "/has", Has,
    "/upload", Upload,
    "/stream", Stream,
    "/about", About,
    "/static/style.css", Static,
    "/error", Error,
)  # fmt: skip
site = web.application(pages_by_path)
site.notfound = lambda: web.notfound("webpy does not have this")
site.internalerror = lambda: web.internalerror("webpy is sorry")
store = web.session.DiskStore(os.path.join(HERE, "data", "sessions"))
session = web.session.Session(site, store, initializer={"token": "", "count": 0})
application = site.wsgifunc()
