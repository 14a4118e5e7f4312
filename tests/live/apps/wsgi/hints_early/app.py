"""Early hints, then the body of the request as the answer; then hints that come too late."""


def application(environ, start_response):
    hints = [("Link", "</style.css>; rel=preload; as=style"), (b"Link", b"</a.js>; rel=preload; as=script")]
    environ["wsgi.early_hints"](hints)
    environ["wsgi.early_hints"](hints[:1])
    body = environ["wsgi.input"].read(100)
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"hinted " + body
    environ["wsgi.early_hints"](hints)
