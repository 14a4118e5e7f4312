from plain import serve


def application(environ, start_response):
    return serve("function", environ, start_response)
