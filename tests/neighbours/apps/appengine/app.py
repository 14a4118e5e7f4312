import secrets

import about
from flask import Flask, Response, abort, jsonify, redirect, render_template, request, session, url_for
from google.appengine.api import apiproxy_stub_map, memcache, wrap_wsgi_app
from google.appengine.ext import ndb, testbed

app = Flask(__name__)
app.secret_key = "of appengine"  # noqa: S105

# The services, without the cloud. They have to be put back: to wrap an app is to connect it to the cloud.
stubs = testbed.Testbed()
stubs.activate()
stubs.init_datastore_v3_stub()
stubs.init_memcache_stub()
local = apiproxy_stub_map.apiproxy
app.wsgi_app = wrap_wsgi_app(app.wsgi_app)
apiproxy_stub_map.apiproxy = local


class Note(ndb.Model):
    text = ndb.StringProperty()
    at = ndb.DateTimeProperty(auto_now_add=True)


@app.get("/")
def home():
    return render_template("home.html")


@app.route("/notes", methods=["GET", "POST"])
def note():
    token = session.setdefault("token", secrets.token_hex(8))
    if request.method == "POST":
        if request.form.get("token") != token:
            abort(403)
        Note(text=request.form["text"]).put()
        memcache.incr(token, initial_value=0)
        return redirect(url_for("note"))
    latest = [one.text for one in Note.query().order(-Note.at).fetch(5)]
    return render_template("notes.html", token=token, count=memcache.get(token) or 0, notes=latest)


@app.get("/has")
def has():
    return str(Note.query(Note.text == request.args["text"]).count())


@app.post("/upload")
def upload():
    return about.digest(request.files["file"].read())


@app.get("/stream")
def stream():
    return Response(about.stream(), mimetype="text/plain")


@app.get("/about")
def tell():
    return jsonify(about.told("appengine-python-standard"))


@app.get("/error")
def error():
    raise RuntimeError("as it must")


@app.errorhandler(404)
def missing(_):
    return "appengine does not have this", 404


@app.errorhandler(500)
def broken(_):
    return "appengine is sorry", 500
