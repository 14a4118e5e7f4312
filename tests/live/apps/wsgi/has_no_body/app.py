"""A body with a status that has none; without the type that wsgiref.validate does not want."""


def application(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("+", " "), [])
    return iter([b"not to ", b"be seen"])
