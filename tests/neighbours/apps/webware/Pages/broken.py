from Plain import Plain


class broken(Plain):
    def content(self):
        self.response().setStatus(500, "Internal Server Error")
        return "webware is sorry"
