"""Fields that the server adds only if they are not there."""


def application(environ, start_response):
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    start_response("200 OK", [("Content-Type", "text/plain"), ("DATE", date), ("server", "of its own")])
    return [b"dated"]
