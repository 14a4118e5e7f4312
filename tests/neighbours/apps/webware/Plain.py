"""A page that is plain text."""

from Page import Page


class Plain(Page):
    def writeHTML(self):
        self.response().setHeader("Content-Type", "text/plain")
        self.write(self.content())
