import about
from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
def home():
    return "newer"


@app.get("/about")
def tell():
    return jsonify(about.told("flask"))
