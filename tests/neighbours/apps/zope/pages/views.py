import json
import secrets

import about
from BTrees.OOBTree import OOBTree
from persistent.list import PersistentList
from Products.Five.browser import BrowserView
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from zExceptions import Forbidden
from zope.interface import implementer
from ZPublisher.Iterators import IUnboundStreamIterator


class Page(BrowserView):
    """The database has what was noted, and how often by whom."""

    @property
    def notes(self):
        if not hasattr(self.context.aq_base, "all_notes"):
            self.context.all_notes, self.context.counts = PersistentList(), OOBTree()
        return self.context.all_notes

    def plain(self, text):
        self.request.response.setHeader("Content-Type", "text/plain")
        return text


class Notes(Page):
    template = ViewPageTemplateFile("notes.pt")

    def __call__(self):
        self.token = self.request.cookies.get("token") or secrets.token_hex(8)
        path = self.context.absolute_url_path()
        if self.request.method == "POST":
            if self.request.form.get("token") != self.token:
                raise Forbidden("forged")
            self.notes.append(self.request.form["text"])
            self.context.counts[self.token] = self.count() + 1
            return self.request.response.redirect(path + "/notes", status=303)
        self.request.response.setCookie("token", self.token, path=path + "/", http_only=True)
        return self.template()

    def count(self):
        return self.context.counts.get(self.token, 0) if self.latest() else 0

    def latest(self):
        return self.notes[:-6:-1]


class Has(Page):
    def __call__(self):
        return self.plain(str(self.notes.count(self.request.form["text"])))


class Upload(Page):
    def __call__(self):
        return self.plain(about.digest(self.request.form["file"].read()))


@implementer(IUnboundStreamIterator)
class Lines:
    def __init__(self):
        self.lines = about.stream()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.lines)


class Stream(Page):
    def __call__(self):
        return self.plain(Lines())


class About(Page):
    def __call__(self):
        return self.plain(json.dumps(about.told("zope")))


class Error(Page):
    def __call__(self):
        raise RuntimeError("as it must")


class Missing(Page):
    def __call__(self):
        return self.plain("zope does not have this")


class Broken(Page):
    def __call__(self):
        return self.plain("zope is sorry")
