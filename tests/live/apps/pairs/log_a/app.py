"""Configures the log of a library, and everybody's."""

import logging

heard = []


class Handler(logging.Handler):
    def emit(self, record):
        heard.append("log_a")


logging.getLogger().setLevel(logging.DEBUG)
logging.getLogger("asyncio").addHandler(Handler())
logging.getLogger("asyncio").propagate = False


def seen():
    heard.clear()
    logging.getLogger("asyncio").info("asked")
    logging.getLogger("asyncio").error("asked")
    return "log_a" if heard == ["log_a"] * 2 else heard


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(seen()).encode()]
