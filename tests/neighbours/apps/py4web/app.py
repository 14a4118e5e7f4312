import os

from py4web.core import wsgi

HERE = os.path.dirname(os.path.abspath(__file__))
application = wsgi(apps_folder=os.path.join(HERE, "apps"), dashboard_mode="none", password_file="")
