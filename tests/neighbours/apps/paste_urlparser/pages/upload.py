import store
from paste.request import parse_formvars


def application(environ, start_response):
    digest = store.about.digest(parse_formvars(environ)["file"].file.read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [digest.encode()]
