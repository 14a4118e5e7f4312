"""A factory, called without arguments."""


def create_app(config=None, debug=False):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"factory\n"]

    return app
