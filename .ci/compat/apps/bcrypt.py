"""crypto: bcrypt."""

import bcrypt


def use():
    assert bcrypt.checkpw(b"x", bcrypt.hashpw(b"x", bcrypt.gensalt(4)))
