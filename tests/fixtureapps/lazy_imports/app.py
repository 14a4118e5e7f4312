"""Imports its own modules at request time, in every form of the statement."""

# ruff: noqa: PLC0415  -- at request time is the point


def application(environ, start_response):
    import pkg.deep
    import pkg.deep as alias
    import values
    from pkg import deep, sibling
    from pkg.deep import WORD
    from values import VALUE

    assert pkg.deep is alias is deep
    assert __import__("pkg.deep") is pkg
    assert __import__("pkg.deep", fromlist=["WORD"]) is deep
    assert values.VALUE == VALUE
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{VALUE} {WORD} {sibling.seen()}\n".encode()]
