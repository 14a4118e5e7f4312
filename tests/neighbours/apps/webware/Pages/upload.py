import store
from Plain import Plain


class upload(Plain):
    def content(self):
        return store.about.digest(self.request().field("file").file.read())
