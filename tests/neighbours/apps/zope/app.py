import os

from Zope2.Startup.run import make_wsgi_app
from ZPublisher.httpexceptions import HTTPExceptionHandler

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ["INSTANCE_HOME"] = HERE
application = HTTPExceptionHandler(make_wsgi_app({}, os.path.join(HERE, "etc", "zope.conf")))
