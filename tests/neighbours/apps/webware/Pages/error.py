from Plain import Plain


class error(Plain):
    def content(self):
        raise RuntimeError("as it must")
