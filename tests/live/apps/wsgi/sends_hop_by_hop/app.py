"""Fields that belong to the server."""


def application(environ, start_response):
    headers = [("Content-Type", "text/plain"), ("Connection", "close"), ("Keep-Alive", "timeout=5")]
    start_response("200 OK", [*headers, ("Transfer-Encoding", "chunked"), ("X-Mine", "1")])
    return [b"3\r\nno chunk\r\n0\r\n\r\n"]
