from plain import serve


class Pages:
    def __init__(self, name):
        self.name = name

    def __call__(self, environ, start_response):
        return serve(self.name, environ, start_response)


application = Pages("instance")
