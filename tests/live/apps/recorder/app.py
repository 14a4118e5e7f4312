"""Keeps what it was asked, and says it when asked for /entered: what an app got, and how often it was entered."""

import json

ENTERED = []
FIELDS = ("CONTENT_TYPE", "CONTENT_LENGTH")


def application(environ, start_response):
    if environ["PATH_INFO"] == "/entered":
        return entered(start_response)
    record = {
        "method": environ["REQUEST_METHOD"],
        "target": environ["RAW_URI"],
        "path": environ["SCRIPT_NAME"] + environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "version": environ["SERVER_PROTOCOL"].removeprefix("HTTP/"),
        "fields": {key: value for key, value in environ.items() if key.startswith("HTTP_") or key in FIELDS},
    }
    ENTERED.append(record)
    record["body"] = environ["wsgi.input"].read().decode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def entered(start_response):
    body = json.dumps(ENTERED).encode()
    ENTERED.clear()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
