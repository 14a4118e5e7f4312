"""The entry is named in app.toml; the name is no convention, and it is a factory."""


def make():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"named\n"]

    return app
