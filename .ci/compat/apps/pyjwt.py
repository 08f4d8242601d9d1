"""crypto: pyjwt."""

import jwt

KEY = "not a secret, but as long as one"


def use():
    assert jwt.decode(jwt.encode({"a": 1}, KEY, algorithm="HS256"), KEY, algorithms=["HS256"]) == {"a": 1}
