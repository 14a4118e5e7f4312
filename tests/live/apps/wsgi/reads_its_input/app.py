"""The body back again, read in the way that the path names; small pieces, so that each crosses what arrives."""


def application(environ, start_response):
    way = environ["PATH_INFO"].strip("/")
    blocks = list(WAYS[way](environ["wsgi.input"]))
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("X-Pieces", str(len(blocks)))])
    return blocks


def until_empty(read):
    return iter(read, b"")


WAYS = {
    "sized": lambda body: until_empty(lambda: body.read(7000)),
    "huge": lambda body: [body.read(10**9), body.read(1)],
    "readline": lambda body: until_empty(body.readline),
    "shortlines": lambda body: until_empty(lambda: body.readline(100)),
    "readlines": lambda body: body.readlines(),
    "hinted": lambda body: (line for lines in until_empty_list(lambda: body.readlines(5000)) for line in lines),
    "iterated": lambda body: body,
}


def until_empty_list(read):
    while lines := read():
        yield lines
