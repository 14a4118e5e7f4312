"""Whether the client has gone: asked until it has, for two seconds at most; without letting anybody run, or with."""

import json
import time

SEEN = []


def application(environ, start_response):
    way = environ["PATH_INFO"].strip("/")
    if way == "seen":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(SEEN).encode()]
    end = time.monotonic() + float(environ["QUERY_STRING"])
    gone = environ["hedgerow.client_disconnected"]
    while time.monotonic() < end and not gone():
        time.sleep(0.01) if way == "waiting" else None
    SEEN.append([way, gone()])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"gone" if gone() else b"there"]
