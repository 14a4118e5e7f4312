"""Sets the key of a library at its first request, where its code does not say so."""

import stripe


def give(library):
    library.api_key = "late_key_b"


given = []


def seen():
    if not given:
        given.append(True)
        give(stripe)
    return stripe.api_key


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(seen()).encode()]
