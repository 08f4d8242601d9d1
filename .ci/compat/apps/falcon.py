"""framework: falcon."""

import falcon


class Index:
    def on_get(self, request, response):
        response.media = {"word": "hello"}


app = falcon.App()
app.add_route("/", Index())
