import os
import secrets

import about
import falcon
import itsdangerous
import jinja2
import notes

HERE = os.path.dirname(os.path.abspath(__file__))
PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(os.path.join(HERE, "templates")), autoescape=True)
SIGNED = itsdangerous.URLSafeSerializer("of falcon")


class Session:
    def process_request(self, req, resp):
        try:
            req.context.session = SIGNED.loads(req.get_cookie_values("session")[0])
        except (TypeError, itsdangerous.BadSignature):
            req.context.session = {"token": secrets.token_hex(8), "count": 0}

    def process_response(self, req, resp, resource, succeeded):
        resp.set_cookie("session", SIGNED.dumps(req.context.session), path=req.root_path + "/", secure=False)


def render(req, resp, name, **values):
    resp.content_type = falcon.MEDIA_HTML
    resp.text = PAGES.get_template(name).render(base=req.root_path, session=req.context.session, **values)


class Home:
    def on_get(self, req, resp):
        render(req, resp, "home.html")


class Notes:
    def on_get(self, req, resp):
        render(req, resp, "notes.html", notes=notes.latest())

    def on_post(self, req, resp):
        form = req.get_media()
        if form.get("token") != req.context.session["token"]:
            raise falcon.HTTPForbidden
        notes.add(form["text"])
        req.context.session["count"] += 1
        raise falcon.HTTPSeeOther(req.root_path + "/notes")


class Text:
    def on_get_has(self, req, resp):
        resp.text = str(notes.has(req.get_param("text")))

    def on_post_upload(self, req, resp):
        for part in req.get_media():
            if part.name == "file":
                resp.text = about.digest(part.stream.read())

    def on_get_stream(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = about.stream()

    def on_get_about(self, req, resp):
        resp.media = about.told("falcon")

    def on_get_error(self, req, resp):
        raise RuntimeError("as it must")


def missing(req, resp, error, params):
    resp.status, resp.text = 404, "falcon does not have this"


def broken(req, resp, error, params):
    resp.status, resp.text = 500, "falcon is sorry"


application = falcon.App(middleware=[Session()])
application.add_route("/", Home())
application.add_route("/notes", Notes())
for name in ("has", "upload", "stream", "about", "error"):
    application.add_route(f"/{name}", Text(), suffix=name)
application.add_static_route("/static", os.path.join(HERE, "static"))
application.add_error_handler(RuntimeError, broken)
application.add_error_handler(falcon.HTTPNotFound, missing)
