"""A class whose instances are iterated: calling the class with environ and start_response is the app."""


class App:
    def __init__(self, environ, start_response):
        self.start = start_response

    def __iter__(self):
        self.start("200 OK", [("Content-Type", "text/plain")])
        yield b"class\n"


app = App
