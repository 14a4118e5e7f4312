import traceback


def plain(start_response, text, status="200 OK"):
    start_response(status, [("Content-Type", "text/plain")])
    return [text.encode()]


def urlparser_wrap(environ, start_response, app):
    try:
        return app(environ, start_response)
    except Exception:
        traceback.print_exc(file=environ["wsgi.errors"])
        return plain(start_response, "paste_urlparser is sorry", "500 Internal Server Error")


def not_found_hook(environ, start_response):
    return plain(start_response, "paste_urlparser does not have this", "404 Not Found")
