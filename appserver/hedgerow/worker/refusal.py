"""What a client, or the front, is told of a request that is refused before its app is entered."""

from __future__ import annotations

from ..errors import RefusedError
from ..hosting import pages
from ..hosting.pages import Page
from .job import MOVED, REFUSED, Job

# nginx sends a request that was answered with this to the other addresses, and a worker that sent it on to us refuses
# it in its turn; it is in no app's power to send it.
SEND_ELSEWHERE = "X-Accel-Redirect: @refused"
NOT_ENTERED = ("down", "rate", "body")  # causes of answers in an app's name, given before it was entered
# A request of an app that arrives is kept for so long before it is sent elsewhere: the front moves it four times only,
# and in turns that all requests share, so it may meet only addresses that do not have the app yet.
ARRIVAL_S = 0.5


def told_cause(job: Job) -> tuple[str, ...]:
    """A line of the head by which a front that asks, or the worker that sends to us, hears why this is no answer of the
    app.
    """
    return (f"X-Hedgerow-Cause: {job.cause}",) if job.heard and job.cause else ()


def refuse(job: Job, refusal: RefusedError) -> tuple[Page, float]:
    """The page, and after how many seconds; further own lines are put into the job."""
    job.cause = refusal.cause
    job.refused = MOVED if job.movable else REFUSED
    if not job.movable:
        accept = job.request.fields.get("HTTP_ACCEPT", "")
        job.own_headers += told_cause(job)
        return pages.refused(refusal.retry_after_s, accept, refusal.cause, job.request_id), 0.0
    # Nothing but the redirect: nginx would carry other fields of this answer into the next one's.
    job.own_headers += (SEND_ELSEWHERE,)
    arrives = refusal.cause == "starting" and not job.connection.server.draining  # else somebody has it by now
    return ("503 Service Unavailable", [], b""), ARRIVAL_S if arrives else 0.0


def refuse_behind(job: Job, refusal: RefusedError) -> Page:
    """The page for a worker that has sent the request on to us, and knows where else it may go."""
    job.cause, job.refused = refusal.cause, MOVED
    job.own_headers += (SEND_ELSEWHERE, *told_cause(job), f"X-Hedgerow-Retry: {refusal.retry_after_s}")
    return "503 Service Unavailable", [], b""
