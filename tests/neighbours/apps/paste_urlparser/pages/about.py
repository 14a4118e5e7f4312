import json

import store


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(store.about.told("paste")).encode()]
