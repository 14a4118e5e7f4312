"""More or less than Content-Length says, by one block, by several, by write()."""


def application(environ, start_response):
    way, length = environ["PATH_INFO"].strip("/"), environ["QUERY_STRING"]
    write = start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", length)])
    if way == "block":
        return [b"0123456789"]
    if way == "blocks":
        return iter([b"01234", b"", b"56789"])
    write(b"01234")
    write(b"56789")
    return []
