"""The factory forgets its return."""


def create_app():
    pass
