"""Sets the key of a library."""

import stripe

stripe.api_key = "key_a"


def seen():
    return stripe.api_key


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(seen()).encode()]
