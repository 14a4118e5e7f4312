import asyncio
import os
import secrets
import socket
import sys

import about
import notes
from tornado import httpserver, web

HERE = os.path.dirname(os.path.abspath(__file__))


class Page(web.RequestHandler):
    @property
    def base(self):
        return self.request.headers.get("X-Forwarded-Prefix", "")

    def remember(self, name, value):
        self.set_signed_cookie(name, value, path=self.base + "/", httponly=True)

    def recall(self, name, other):
        return (self.get_signed_cookie(name) or other.encode()).decode()

    def write_error(self, status_code, **more):
        self.set_header("Content-Type", "text/plain")
        self.finish({404: "tornado does not have this", 500: "tornado is sorry"}.get(status_code, "refused"))


class Home(Page):
    def get(self):
        self.render("home.html", base=self.base)


class Notes(Page):
    def get(self):
        token = self.recall("token", secrets.token_hex(8))
        self.remember("token", token)
        self.render("notes.html", token=token, count=self.recall("count", "0"), notes=notes.latest())

    def post(self):
        if self.get_argument("token") != self.recall("token", "none"):
            raise web.HTTPError(403)
        notes.add(self.get_argument("text"))
        self.remember("count", str(int(self.recall("count", "0")) + 1))
        self.redirect(self.base + "/notes", status=303)


class Has(Page):
    def get(self):
        self.finish(str(notes.has(self.get_argument("text"))))


class Upload(Page):
    def post(self):
        self.finish(about.digest(self.request.files["file"][0].body))


class Stream(Page):
    async def get(self):
        self.set_header("Content-Type", "text/plain")
        for line in about.stream():
            self.write(line)
            await self.flush()


class About(Page):
    def get(self):
        self.finish(about.told("tornado"))


class Error(Page):
    def get(self):
        raise RuntimeError("as it must")


class Missing(Page):
    def prepare(self):
        raise web.HTTPError(404)


async def main(descriptor):
    handlers = {"/": Home, "/notes": Notes, "/has": Has, "/upload": Upload, "/stream": Stream, "/about": About}
    static = (r"/static/(.*)", web.StaticFileHandler, {"path": os.path.join(HERE, "static")})
    app = web.Application(
        [*handlers.items(), ("/error", Error), static],
        cookie_secret="of tornado",  # noqa: S106
        template_path=os.path.join(HERE, "templates"),
        default_handler_class=Missing,
    )
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    httpserver.HTTPServer(app, xheaders=True).add_socket(listener)
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1])))
