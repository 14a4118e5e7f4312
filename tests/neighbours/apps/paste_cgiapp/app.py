import os

from paste.cgiapp import CGIApplication

HERE = os.path.dirname(os.path.abspath(__file__))
application = CGIApplication({}, "pages.cgi", path=[HERE])
