"""Has a default connection."""

import mongoengine

mongoengine.connect("connection_a", host="mongodb://127.0.0.1:9", connect=False)


def seen():
    return mongoengine.get_db().name


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(seen()).encode()]
