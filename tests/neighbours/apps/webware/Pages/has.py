import store
from Plain import Plain


class has(Plain):
    def content(self):
        return str(store.notes.has(self.request().field("text")))
