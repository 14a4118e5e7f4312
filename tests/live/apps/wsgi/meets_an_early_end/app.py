"""What an app sees of a body that ends early; told to the next who asks."""

import json

SEEN = []


def application(environ, start_response):
    way, body = environ["PATH_INFO"].strip("/"), environ["wsgi.input"]
    if way == "seen":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(SEEN).encode()]
    for _ in range(2):
        try:
            SEEN.append([way, str(len(WAYS[way](body)))])
        except Exception as error:
            SEEN.append([way, "OSError" if isinstance(error, OSError) else type(error).__name__])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"went on"]


WAYS = {
    "read": lambda body: body.read(1000),
    "readline": lambda body: body.readline(),
    "readlines": lambda body: body.readlines(),
    "iterated": list,
}
