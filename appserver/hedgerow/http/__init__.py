"""HTTP/1.1: bytes to requests and answers to bytes (RFC 9110, RFC 9112). No sockets, no gevent, no clock in this
package.
"""
