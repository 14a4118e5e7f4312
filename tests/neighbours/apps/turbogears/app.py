import os
import secrets

import about
import notes
import tg
from tg import MinimalApplicationConfigurator, TGController, abort, expose, redirect, request, response
from tg.configurator.components.error_pages import ErrorPagesConfigurationComponent
from tg.configurator.components.statics import StaticsConfigurationComponent

HERE = os.path.dirname(os.path.abspath(__file__))
KEY = "of turbogears"


def session():
    return request.signed_cookie("session", KEY) or {"token": secrets.token_hex(8), "count": 0}


def remember(values):
    response.signed_cookie("session", values, KEY, path=tg.url("/"), httponly=True)


class Errors(TGController):
    @expose(content_type="text/plain")
    def document(self, *_, **__):
        status = request.state["original_response"].status_int
        return {404: "turbogears does not have this", 500: "turbogears is sorry"}.get(status, "refused")


class Root(TGController):
    errors = Errors()

    @expose(os.path.join(HERE, "templates", "home.xhtml"))
    def index(self):
        return {}

    @expose(os.path.join(HERE, "templates", "notes.xhtml"))
    def notes(self, text="", token=""):
        values = session()
        if request.method == "POST":
            if token != values["token"]:
                abort(403)
            notes.add(text)
            remember(values | {"count": values["count"] + 1})
            redirect("/notes")
        remember(values)
        return {**values, "notes": notes.latest()}

    @expose(content_type="text/plain")
    def has(self, text):
        return str(notes.has(text))

    @expose(content_type="text/plain")
    def upload(self, file):
        return about.digest(file.file.read())

    @expose(content_type="text/plain")
    def stream(self):
        return about.stream()

    @expose("json")
    def about(self):
        return about.told("turbogears2")

    @expose()
    def error(self):
        raise RuntimeError("as it must")


config = MinimalApplicationConfigurator()
config.register(StaticsConfigurationComponent)
config.register(ErrorPagesConfigurationComponent, after=True)
config.update_blueprint(
    {
        "root_controller": Root(),
        "renderers": ["json", "kajiki"],
        "paths": {"static_files": os.path.join(HERE, "public")},
        "serve_static": True,
        "errorpage.enabled": True,
        "errorpage.status_codes": [403, 404, 500],
        "errorpage.path": "/errors/document",
        "errorpage.content_types": [],
    }
)
application = config.make_wsgi_app()
