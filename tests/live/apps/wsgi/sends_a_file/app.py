"""Part of its own source by wsgi.file_wrapper: from where the file stands, as long as Content-Length says."""

OPENED = []


def application(environ, start_response):
    start, length = environ["QUERY_STRING"].split(",")
    file = open(__file__, "rb")  # noqa: SIM115  # the server closes it
    OPENED.append(file)
    file.seek(int(start))
    headers = [("Content-Type", "text/x-python"), ("X-Open", str(sum(not file.closed for file in OPENED)))]
    if length:
        headers.append(("Content-Length", length))
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](file, 64)
