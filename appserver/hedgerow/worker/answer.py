"""The answer of a pool: what of its head is for us, and what goes on to the client."""

from __future__ import annotations

from ..http.answer import SWITCHING, AnswerReader
from .transfer import BrokenOff

# Between the pool and us alone; our answer is framed anew.
_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    "x-accel-file", "x-hedgerow-cause", "x-hedgerow-retry",
})  # fmt: skip


class Answer(AnswerReader):
    """See AnswerReader. headers: without hop-by-hop ones, but for the Upgrade of a 101; refused: it is a worker's
    refusal before entry, if who sent it can be believed; file: what the front is to send instead, in that case too;
    cause: why this is no answer of the app; retry_after_s: of the refusal.
    """

    broken = BrokenOff

    __slots__ = ("cause", "file", "refused", "retry_after_s")

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.refused = False
        self.cause = self.file = ""
        self.retry_after_s = 1

    def settled(self) -> None:
        """See AnswerReader."""
        upgrade = ""
        kept = []
        for field in self.headers:
            name = field[0].lower()
            if name == "upgrade":
                upgrade = field[1]
            elif name == "x-accel-redirect":
                self.refused = field[1] == "@refused"
            elif name == "x-accel-file":
                self.file = field[1]
            elif name == "x-hedgerow-cause":
                self.cause = field[1]
            elif name == "x-hedgerow-retry" and field[1].isdecimal():
                self.retry_after_s = int(field[1])
            if name not in _HOP_BY_HOP:
                kept.append(field)
        if self.status == SWITCHING:
            kept.append(("Upgrade", upgrade))
        self.headers = kept
