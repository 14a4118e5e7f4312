"""One process's density: 200 Flask apps whose modules all have the same names, in one worker."""

from __future__ import annotations

from pathlib import Path

from worker_support import serving

COUNT = 200
LIMIT_BYTES = 100 * 10**6

APP = """
from flask import Flask, jsonify, render_template

import models
from views import blueprint

app = Flask(__name__)
app.config.from_object("config")
app.register_blueprint(blueprint)


@app.route("/")
def index():
    return render_template("index.html", name=models.NAME, key=app.config["KEY"])
"""
VIEWS = """
from flask import Blueprint, jsonify

blueprint = Blueprint("views", __name__)


@blueprint.route("/late")
def late():
    import models  # at request time, when all others have been loaded since
    return jsonify(name=models.NAME)
"""


def make_app(folder: Path, name: str) -> Path:
    (folder / "templates").mkdir(parents=True)
    (folder / "app.py").write_text(APP)
    (folder / "views.py").write_text(VIEWS)
    (folder / "models.py").write_text(f"NAME = {name!r}\n")
    (folder / "config.py").write_text(f"KEY = 'key of {name}'\n")
    (folder / "templates" / "index.html").write_text("<p>{{ name }} has the {{ key }}</p>")
    return folder


def test_200_flask_apps_with_the_same_module_names_take_at_most_100_mb(tmp_path: Path) -> None:
    apps = {f"app{n:03}": make_app(tmp_path / f"app{n:03}", f"app{n:03}") for n in range(COUNT)}
    run = tmp_path / "run"
    run.mkdir()
    with serving(run, apps) as worker:
        for _ in range(2):
            for name in apps:
                assert worker.ask(f"/{name}/")[1] == f"<p>{name} has the key of {name}</p>".encode()
                assert f'"{name}"'.encode() in worker.ask(f"/{name}/late")[1]
        used = worker.memory()
    print(f"{COUNT} Flask apps in one worker: {used / 10**6:.1f} MB in all")
    assert used <= LIMIT_BYTES
