import logging

from package_factory.logging import TEXT


def word():
    assert logging.getLogger
    assert TEXT
    return b"package "
