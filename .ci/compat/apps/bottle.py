"""framework: bottle."""

import bottle

app = bottle.Bottle()


@app.get("/")
def index():
    return bottle.template("{{word}}", word="hello")
