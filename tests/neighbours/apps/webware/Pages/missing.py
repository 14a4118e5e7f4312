from Plain import Plain


class missing(Plain):
    def content(self):
        self.response().setStatus(404, "Not Found")
        return "webware does not have this"
