import asyncio

import about
from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
async def home():
    await asyncio.sleep(0.2)
    return "async flask"


@app.get("/about")
async def tell():
    return jsonify(about.told("flask"))
