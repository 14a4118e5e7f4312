import pathlib
import secrets

import about
import notes
from fastapi import FastAPI, Form, HTTPException, Request, UploadFile, WebSocket
from fastapi.responses import PlainTextResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from starlette.middleware.sessions import SessionMiddleware

HERE = pathlib.Path(__file__).parent
app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="of fastapi")  # noqa: S106
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
pages = Jinja2Templates(HERE / "templates")


@app.get("/", name="home")
def home(request: Request):
    return pages.TemplateResponse(request, "home.html")


@app.get("/notes", name="notes")
def show(request: Request):
    request.session.setdefault("token", secrets.token_hex(8))
    return pages.TemplateResponse(request, "notes.html", {"notes": notes.latest()})


@app.post("/notes")
def add(request: Request, text: str = Form(), token: str = Form("")):
    if token != request.session.get("token"):
        raise HTTPException(403)
    notes.add(text)
    request.session["count"] = request.session.get("count", 0) + 1
    return RedirectResponse(request.url_for("notes").path, 303)


@app.get("/has")
def has(text: str):
    return PlainTextResponse(str(notes.has(text)))


@app.post("/upload")
async def upload(file: UploadFile):
    return PlainTextResponse(about.digest(await file.read()))


@app.get("/stream")
def stream():
    return StreamingResponse(about.stream(), media_type="text/plain")


@app.get("/about")
async def tell():
    return about.told("fastapi")


@app.get("/error")
async def error():
    raise RuntimeError("as it must")


@app.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(f"fastapi heard {text}")


@app.exception_handler(404)
async def missing(request, error):
    return PlainTextResponse("fastapi does not have this", 404)


@app.exception_handler(500)
async def broken(request, error):
    return PlainTextResponse("fastapi is sorry", 500)
