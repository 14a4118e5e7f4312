import secrets

import about
import notes
from flask import Flask, Response, abort, jsonify, redirect, render_template, request, session, url_for

app = Flask(__name__)
app.secret_key = "of flask"  # noqa: S105


@app.get("/")
def home():
    return render_template("home.html")


@app.route("/notes", methods=["GET", "POST"])
def note():
    if request.method == "POST":
        if request.form.get("token") != session.get("token"):
            abort(403)
        notes.add(request.form["text"])
        session["count"] = session.get("count", 0) + 1
        return redirect(url_for("note"))
    session.setdefault("token", secrets.token_hex(8))
    return render_template("notes.html", notes=notes.latest())


@app.get("/has")
def has():
    return str(notes.has(request.args["text"]))


@app.post("/upload")
def upload():
    return about.digest(request.files["file"].read())


@app.get("/stream")
def stream():
    return Response(about.stream(), mimetype="text/plain")


@app.get("/about")
def tell():
    return jsonify(about.told("flask"))


@app.get("/error")
def error():
    raise RuntimeError("as it must")


@app.errorhandler(404)
def missing(_):
    return "flask does not have this", 404


@app.errorhandler(500)
def broken(_):
    return "flask is sorry", 500
