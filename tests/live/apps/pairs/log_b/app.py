"""Configures the log of a library, and everybody's."""

import logging

heard = []


class Handler(logging.Handler):
    def emit(self, record):
        heard.append("log_b")


logging.getLogger().setLevel(logging.ERROR)
logging.getLogger("asyncio").addHandler(Handler())
logging.getLogger("asyncio").propagate = False


def seen():
    heard.clear()
    logging.getLogger("asyncio").info("asked")
    logging.getLogger("asyncio").error("asked")
    return "log_b" if heard == ["log_b"] * 1 else heard


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(seen()).encode()]
