from Page import Page


class Main(Page):
    def writeHTML(self):
        base = self.request().servletPath()
        self.write(f'<link rel="stylesheet" href="{base}/static/style.css">')
        self.write(f'<h1>webware</h1><a href="{base}/notes">notes</a>')
