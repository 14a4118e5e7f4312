import json

import store
from Plain import Plain


class about(Plain):
    def content(self):
        return json.dumps(store.about.told("webware-for-python"))
