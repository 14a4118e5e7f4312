import store
from paste.request import parse_querystring


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(store.notes.has(dict(parse_querystring(environ))["text"])).encode()]
