"""Would serve by itself when run as a script; hosted, that block must not run."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hosted\n"]


if __name__ == "__main__":
    raise SystemExit("this block must not run")
