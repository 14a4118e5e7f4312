"""The worker: one gevent hub, one set of apps. The only package that imports gevent; `__main__` patches on its first
line.
"""
