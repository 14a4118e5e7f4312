"""An upload that goes on only when the page has been told how far it has come: of the body one step is read for each
time the page says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from queue import SimpleQueue
from wsgiref.types import StartResponse, WSGIEnvironment

STEP_BYTES = 8_000_000
PATIENCE_S = 20

said: SimpleQueue[str] = SimpleQueue()

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Steps</title>
<link rel="icon" href="data:,">
<script>
function upload(size) {
  return new Promise((resolve, reject) => {
    const body = new Uint8Array(size);
    for (let place = 0; place < size; place += 997) body[place] = place % 251;
    const progress = [];
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => { progress.push(event.loaded); fetch("said", {method: "POST"}); };
    request.onerror = () => reject("the upload failed");
    request.onload = async () => {
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
      const sent = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
      resolve({status: request.status, progress, sent, received: JSON.parse(request.responseText)});
    };
    request.open("POST", "upload");
    request.send(body);
  });
}
</script>
</html>
"""


def received(environ: WSGIEnvironment) -> bytes:
    """Length and digest of the body, and in how many steps it was read."""
    digest, length, steps = hashlib.sha256(), 0, 0
    while True:
        said.get(timeout=PATIENCE_S)
        block = environ["wsgi.input"].read(STEP_BYTES)
        digest.update(block)
        length += len(block)
        steps += 1
        if length >= int(environ["CONTENT_LENGTH"]):
            return json.dumps({"length": length, "digest": digest.hexdigest(), "steps": steps}).encode()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/said":
        said.put(path)
        start_response("204 No Content", [])
        return []
    if path == "/upload":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [received(environ)]
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [PAGE]
