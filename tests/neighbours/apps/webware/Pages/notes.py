import html
import secrets

import store
from HTTPExceptions import HTTPForbidden
from Page import Page

FORM = '<form method="post"><input type="hidden" name="token" value="{}"><input name="text"></form>'


class notes(Page):
    def respondToGet(self, transaction):
        session = self.session()
        if not session.hasValue("token"):
            session.setValue("token", secrets.token_hex(8))
        self.write(FORM.format(session.value("token")))
        self.write(f"{session.value('count', 0)} by you<ul>")
        for one in store.notes.latest():
            self.write(f"<li>{html.escape(one)}</li>")
        self.write("</ul>")

    def respondToPost(self, transaction):
        request, session = self.request(), self.session()
        if request.field("token", "") != session.value("token", None):
            raise HTTPForbidden
        store.notes.add(request.field("text"))
        session.setValue("count", session.value("count", 0) + 1)
        self.response().sendRedirectSeeOther(request.servletPath() + "/notes")
