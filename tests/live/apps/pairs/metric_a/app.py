"""Has a metric in the register that all have."""

import prometheus_client

hits = prometheus_client.Gauge("hits", "of metric_a")
hits.set(1)


def seen():
    lines = prometheus_client.generate_latest().decode().splitlines()
    return " ".join(line.partition(" of ")[2] for line in lines if line.startswith("# HELP hits"))


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(seen()).encode()]
