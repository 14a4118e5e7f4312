"""Stands in for a library that has one client a process."""


class Client:
    dsn = ""


_client = Client()


def init(dsn, default_integrations=True):
    _client.dsn = dsn


def get_client():
    return _client
