def application(environ, start_response):
    raise RuntimeError("as it must")
