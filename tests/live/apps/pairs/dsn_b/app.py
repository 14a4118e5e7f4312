"""Sends what goes wrong to an address of its own."""

import sentry_sdk

sentry_sdk.init(dsn="http://dsn_b@127.0.0.1:9/1", default_integrations=False)


def seen():
    return sentry_sdk.get_client().dsn.partition("//")[2].partition("@")[0]


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(seen()).encode()]
