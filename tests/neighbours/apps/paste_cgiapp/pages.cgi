#!/usr/bin/env python3
import functools
from wsgiref.handlers import CGIHandler

from plain import serve

CGIHandler().run(functools.partial(serve, "paste_cgiapp"))
