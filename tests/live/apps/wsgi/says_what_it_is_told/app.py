"""Status, header and value as the query has them, percent-encoded: status, name, value, divided by '&'."""

from urllib.parse import unquote


def application(environ, start_response):
    status, name, value = (unquote(part, "utf-8") for part in environ["QUERY_STRING"].split("&"))
    start_response(status, [("Content-Type", "text/plain"), (name, value)])
    return [b"said"]
