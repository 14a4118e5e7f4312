"""The folder itself is the package; modules are imported relatively, and one has the name of a standard module."""

from . import answer


def create_app():
    from .logging import TEXT  # noqa: PLC0415

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [answer.word() + TEXT]

    return app
