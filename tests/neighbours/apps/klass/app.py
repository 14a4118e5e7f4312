from plain import serve


class Pages:
    """Made once for each request; what is iterated is the answer."""

    def __init__(self, environ, start_response):
        self.environ, self.start_response = environ, start_response

    def __iter__(self):
        yield from serve("klass", self.environ, self.start_response)


application = Pages
