PAGE = '<link rel="stylesheet" href="{0}/static/style.css"><h1>paste_urlparser</h1><a href="{0}/notes">notes</a>'


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html")])
    return [PAGE.format(environ["SCRIPT_NAME"].rstrip("/")).encode()]
