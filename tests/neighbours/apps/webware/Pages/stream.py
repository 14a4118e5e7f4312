import store
from Plain import Plain


class stream(Plain):
    def writeHTML(self):
        self.response().setHeader("Content-Type", "text/plain")
        for line in store.about.stream():
            self.response().write(line)
            self.response().flush()
