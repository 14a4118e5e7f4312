"""Does the stack answer rightly and evenly under a steady number of visitors?

Each visitor goes through the sample apps and thinks between two requests. What comes back is read, not only its status:
where it can, a request carries a token of its own that must stand in its answer, so an answer that belongs to another
request, an empty one, or an error page with status 200 counts as failed.
"""

from __future__ import annotations

import json
import random
import re
import secrets
from collections.abc import Callable
from typing import Any

from locust import FastHttpUser, between, events, task
from locust.contrib.fasthttp import FastResponse
from locust.env import Environment
from locust.runners import WorkerRunner

# What is wrong with an answer, in one sentence; empty if nothing is. Without the token, so that equal faults add up.
Check = Callable[[FastResponse], str]

NO_REQUEST_MADE = 3


class Visitor(FastHttpUser):
    wait_time = between(0.2, 0.8)

    @task(4)
    def function(self) -> None:
        token = secrets.token_hex(8)
        greeting = has(f"<h1>Hello, {token}</h1>", "the greeting of this request")
        self.ask("function", f"/function/?name={token}", greeting)

    @task(2)
    def klass(self) -> None:
        rows = random.randint(1, 60)
        self.ask("klass", f"/klass/?rows={rows}", lambda answer: all_rows(answer, rows))

    @task(2)
    def instance(self) -> None:
        self.ask("instance", "/instance/", matches(r"<output>[1-9][0-9]*</output>", "a count above zero"))

    @task(4)
    def whoami(self) -> None:
        token = secrets.token_hex(8)
        headers = {"Accept": "application/json"}
        self.ask("whoami JSON", f"/whoami/{token}", lambda answer: says_who(answer, token), headers=headers)

    @task(1)
    def clock(self) -> None:
        self.ask("clock", "/clock/", has('new EventSource("stream")', "the script that listens"))
        self.ask("clock stream, 2 events in 1 s", "/clock/stream?count=2", two_ticks)

    @task(2)
    def board(self) -> None:
        self.ask("notes", "/notes/", has('name="text"', "the form"))
        self.ask("notes style", "/notes/static/style.css", has(".board", "the rules of the board"))

    @task(1)
    def note(self) -> None:
        token = secrets.token_hex(8)
        form = {"text": f"{token} <ünï>"}
        shown = has(f'id="note">{token} &lt;ünï&gt;</p>', "the note that was posted")
        page = self.ask("notes, post and follow", "/notes/", shown, method="POST", data=form)
        found = re.search(r'action="[^"]*/note/([0-9]+)/delete"', page)
        if found:
            path = f"/notes/note/{found[1]}"
            self.ask("notes, read again", path, shown)
            self.ask("notes, delete and follow", f"{path}/delete", has('name="text"', "the form"), method="POST")
            self.ask("notes, gone", path, has("no such page or note", "the page of what is missing"), status=404)

    def ask(self, name: str, path: str, check: Check, *, status: int = 200, method: str = "GET", **options: Any) -> str:
        """One request, redirects followed, counted as `name`; the text of the answer if it is right, or nothing."""
        with self.client.request(method, path, name=name, catch_response=True, **options) as answer:
            if answer.status_code != status:
                if answer.status_code:  # else there was no answer, and Locust knows why
                    answer.failure(f"status {answer.status_code} instead of {status}")
                return ""
            complaint = check(answer)
            if complaint:
                answer.failure(complaint)
                return ""
            answer.success()
            return text_of(answer)


def text_of(answer: FastResponse) -> str:
    return (answer.content or b"").decode("utf-8", "replace")


def has(wanted: str, what: str) -> Check:
    return lambda answer: "" if wanted in text_of(answer) else f"lacks {what}"


def matches(pattern: str, what: str) -> Check:
    return lambda answer: "" if re.search(pattern, text_of(answer)) else f"lacks {what}"


def all_rows(answer: FastResponse, rows: int) -> str:
    seen = [int(number) for number in re.findall(r"<span>row ([0-9]+)</span>", text_of(answer))]
    if seen != list(range(1, rows + 1)):
        return "rows are missing or out of order"
    return "" if text_of(answer).rstrip().endswith("</html>") else "the page is cut"


def says_who(answer: FastResponse, token: str) -> str:
    try:
        told = json.loads(text_of(answer))
        mount, path, request_id = told["script_name"], told["path_info"], told["request_id"]
    except (ValueError, TypeError, KeyError):
        return "not the JSON of whoami"
    if (mount, path) != ("/whoami", f"/{token}"):
        return "tells of another mount or path"
    if answer.headers is not None and answer.headers.get("X-Request-Id", request_id) != request_id:
        return "the app was told another request id than the client"
    return ""


def two_ticks(answer: FastResponse) -> str:
    ids = re.findall(r"^id: ([0-9]+)$", text_of(answer), re.MULTILINE)
    return "" if ids == ["1", "2"] else "not the two events 1 and 2"


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def fail_if_nothing_was_asked(environment: Environment, **_: Any) -> None:
    """A run in which no request ended has shown nothing; without this it would count as one without failures."""
    options = environment.parsed_options
    if options is None or not options.headless or isinstance(environment.runner, WorkerRunner):
        return
    if environment.stats.total.num_requests == 0:
        print("no request ended in this run")
        environment.process_exit_code = NO_REQUEST_MADE
