"""The environ, as JSON; keys whose values are no text by their type."""

import json


def application(environ, start_response):
    told = {key: value if isinstance(value, str) else type(value).__name__ for key, value in environ.items()}
    told["type"] = str(type(environ))
    told["pi"] = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "backslashreplace")
    environ["left.behind"] = "by the request before"
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
