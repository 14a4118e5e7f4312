"""The applications of the portability matrix: which folder, what a runner has to know of it, and what a user has to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Application:
    """folder: in `apps`, also what its pages call it; title: what people call it; note: what somebody who uses it has
    to know; heavy: its environment is large, or its start takes seconds; alone: a process can have one only; target:
    its callable for a server that is started in its folder, '' if it has none; composite: whether it works as an app of
    `hedgerow.wsgi:application` too, which stands in no app's folder; before: the command that has to be run in its
    folder first, where nobody runs `deploy.before`; distribution: whose version is told, where its pages cannot.
    """

    folder: str
    title: str
    note: str = ""
    heavy: bool = False
    alone: bool = False
    target: str = "app:application"
    composite: bool = True
    before: str = ""
    distribution: str = ""


_SERVER = "It brings its own server, so Hedgerow starts it by `run` and forwards; the mount is in X-Forwarded-Prefix."

APPLICATIONS = (
    Application("function", "a function"),
    Application("klass", "a class"),
    Application("instance", "an instance"),
    Application(
        "flask", "Flask", "`url_for` knows the mount; the session's cookie is of the whole host unless "
        "SESSION_COOKIE_PATH says the mount.", target="app:app",
    ),
    Application(
        "django", "Django", "Links know the mount; the cookies of session and token are of the whole host "
        "unless SESSION_COOKIE_PATH and CSRF_COOKIE_PATH say the mount.", alone=True, target="project.wsgi:application",
        before="python manage.py migrate",
    ),
    Application(
        "djangocms", "django CMS",
        "It reads STATIC_URL while it loads, so that has to say the mount; deploy.warmup must be a page that needs no "
        "table, since the first trial comes before the migration.",
        heavy=True, alone=True, target="project.wsgi:application", before="python manage.py setup",
    ),
    Application(
        "pyramid", "Pyramid", "`route_path` knows the mount; the session's cookie is of the whole host unless its "
        "factory gets a path.",
        target="app:create_app()",
    ),
    Application("falcon", "Falcon", "It adds the mount to no redirect: write `req.root_path + path`."),
    Application(
        "bottle", "Bottle",
        "The default app has a process of its own, `bottle.Bottle()` objects share; `redirect('/')` leaves the mount.",
        alone=True,
    ),
    Application(
        "cherrypy", "CherryPy",
        "`cherrypy.Application(root, None, config)` takes the mount of each request; its sessions in files are of the "
        "process, and an app without them shares; their cookie is of the whole host unless tools.sessions.path is set.",
        alone=True,
    ),
    Application(
        "webpy", "web.py", "It sends no Content-Type unless the app sets one; give it the classes, not `globals()`."
    ),
    Application(
        "py4web", "py4web",
        "`py4web.core.wsgi(apps_folder=...)` is the callable; its apps folder needs an `__init__.py`, or it asks for "
        "one on the terminal.",
        heavy=True, alone=True, composite=False,
    ),
    Application(
        "zope", "Zope",
        "A FileStorage can be opened by one process only, and a new release starts beside the old one: use RelStorage "
        "or ZEO. It reads a body to its end, whatever the length says: a server whose input has none (wsgiref) hangs.",
        heavy=True, alone=True,
    ),
    Application(
        "quixote", "Quixote",
        "Its publisher refuses threads, so one request runs at a time; a stream needs its length, or Quixote sends "
        "chunks of its own, which no WSGI server can take for what they are.",
        alone=True,
    ),
    Application(
        "webware", "Webware",
        "Set `AppLogFilename = None`, or what the process prints goes to Logs/Application.log; list its folders under "
        "`data`; a servlet must not have the name of a module that it imports.",
        heavy=True, alone=True, composite=False,
    ),
    Application("turbogears", "TurboGears", "`tg.url` and `redirect` know the mount."),
    Application(
        "paste_urlparser", "Paste urlparser",
        "It enters each page into sys.modules by its bare name: a page `notes` that imports `notes` gets itself.",
        alone=True, composite=False,
    ),
    Application(
        "paste_cgiapp", "Paste cgiapp", "A process for each request; what is streamed arrives as it comes.",
        distribution="Paste",
    ),
    Application(
        "appengine", "App Engine (bundled services)",
        "Without the cloud datastore and memcache are stubs in memory; `wrap_wsgi_app` replaces them, so they have to "
        "be put back after it.",
        heavy=True, alone=True, target="app:app", composite=False,
    ),
    Application("tornado", "Tornado", _SERVER, target="", composite=False),
    Application("twisted", "Twisted", _SERVER, target="", composite=False),
)  # fmt: skip
BY_FOLDER = {one.folder: one for one in APPLICATIONS}
