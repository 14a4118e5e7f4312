import html
import json
import os
import secrets
import socket
import sys

import about
import notes
from twisted.internet import endpoints, reactor, task
from twisted.web import resource, server, static

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = '<link rel="stylesheet" href="{0}/static/style.css"><h1>twisted</h1><a href="{0}/notes">notes</a>'
FORM = '<form method="post"><input type="hidden" name="token" value="{}"><input name="text"></form>'


def base(request):
    return request.getHeader("X-Forwarded-Prefix") or ""


def argument(request, name):
    return request.args.get(name.encode(), [b""])[0].decode()


def cookie(request, name, other):
    return (request.getCookie(name.encode()) or other.encode()).decode()


def remember(request, name, value):
    request.addCookie(name, value, path=base(request) + "/", httpOnly=True)


def plain(request, text, status=200):
    request.setHeader("Content-Type", "text/plain")
    request.setResponseCode(status)
    return text.encode()


class Page(resource.Resource):
    isLeaf = True

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def render(self, request):
        try:
            return self.answer(request)
        except RuntimeError:
            return plain(request, "twisted is sorry", 500)


class Site(resource.Resource):
    def getChild(self, path, request):
        return Page(lambda request: plain(request, "twisted does not have this", 404))


def home(request):
    return HOME.format(base(request)).encode()


def note(request):
    if request.method == b"POST":
        if argument(request, "token") != cookie(request, "token", "none"):
            return plain(request, "forged", 403)
        notes.add(argument(request, "text"))
        remember(request, "count", str(int(cookie(request, "count", "0")) + 1))
        request.redirect(f"{base(request)}/notes".encode())
        return b""
    token = cookie(request, "token", secrets.token_hex(8))
    remember(request, "token", token)
    lines = "".join(f"<li>{html.escape(one)}</li>" for one in notes.latest())
    return f"{FORM.format(token)}{cookie(request, 'count', '0')} by you<ul>{lines}</ul>".encode()


def stream(request):
    request.setHeader("Content-Type", "text/plain")

    def send():
        for line in about.stream():
            request.write(line)
            yield

    task.cooperate(send()).whenDone().addCallback(lambda _: request.finish())
    return server.NOT_DONE_YET


def error(request):
    raise RuntimeError("as it must")


PAGES = {
    "": home,
    "notes": note,
    "has": lambda request: plain(request, str(notes.has(argument(request, "text")))),
    "upload": lambda request: plain(request, about.digest(request.args[b"file"][0])),
    "stream": stream,
    "about": lambda request: json.dumps(about.told("twisted")).encode(),
    "error": error,
}
site = Site()
for path, answer in PAGES.items():
    site.putChild(path.encode(), Page(answer))
site.putChild(b"static", static.File(os.path.join(HERE, "static")))
endpoints.AdoptedStreamServerEndpoint(reactor, int(sys.argv[1]), socket.AF_UNIX).listen(server.Site(site))
reactor.run()
