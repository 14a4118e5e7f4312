import about
import notes
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory
from pyramid.view import exception_view_config, notfound_view_config, view_config


@view_config(route_name="home", renderer="templates/home.jinja2")
def home(request):
    return {}


@view_config(route_name="notes", request_method="GET", renderer="templates/notes.jinja2")
def show(request):
    return {"notes": notes.latest(), "count": request.session.get("count", 0)}


@view_config(route_name="notes", request_method="POST")
def add(request):
    notes.add(request.POST["text"])
    request.session["count"] = request.session.get("count", 0) + 1
    return HTTPSeeOther(request.route_path("notes"))


@view_config(route_name="has", renderer="string")
def has(request):
    return notes.has(request.params["text"])


@view_config(route_name="upload", renderer="string", require_csrf=False)
def upload(request):
    return about.digest(request.POST["file"].file.read())


@view_config(route_name="stream")
def stream(request):
    return Response(app_iter=about.stream(), content_type="text/plain")


@view_config(route_name="about", renderer="json")
def tell(request):
    return about.told("pyramid")


@view_config(route_name="error")
def error(request):
    raise RuntimeError("as it must")


@notfound_view_config(renderer="string")
def missing(request):
    request.response.status = 404
    return "pyramid does not have this"


@exception_view_config(RuntimeError, renderer="string")
def broken(error, request):
    request.response.status = 500
    return "pyramid is sorry"


def create_app():
    with Configurator(settings={"jinja2.filters": "route_path = pyramid_jinja2.filters:route_path_filter"}) as config:
        config.include("pyramid_jinja2")
        config.set_session_factory(SignedCookieSessionFactory("of pyramid"))
        config.set_default_csrf_options(require_csrf=True, token="token")  # noqa: S106
        config.add_static_view("static", "pages:static")
        config.add_route("home", "/")
        for name in ("notes", "has", "upload", "stream", "about", "error"):
            config.add_route(name, f"/{name}")
        config.scan()
        return config.make_wsgi_app()
