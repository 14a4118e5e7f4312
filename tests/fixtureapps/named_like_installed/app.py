"""Has its own click.py; Flask, imported afterwards, needs the installed one."""

import click
from flask import Flask
from flask.cli import AppGroup

app = Flask(__name__)
group = AppGroup("group")


@app.get("/")
def root():
    return click.WHOSE
