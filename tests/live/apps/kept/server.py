"""The same app by a server of its own: python server.py DESCRIPTOR."""

import sys

from app import application
from gevent import socket
from gevent.pywsgi import WSGIServer

WSGIServer(socket.socket(fileno=int(sys.argv[1])), application, log=None).serve_forever()
