"""The same applications behind other protocols than HTTP: CGI, FastCGI, and the gateways that others bring. Nothing
here knows where an application comes from.
"""
