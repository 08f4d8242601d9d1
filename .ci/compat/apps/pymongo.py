"""database: pymongo."""

import bson
import pymongo


def use():
    assert bson.decode(bson.encode({"a": [1, "x"]})) == {"a": [1, "x"]}
    with pymongo.MongoClient("127.0.0.1", 1, serverSelectionTimeoutMS=50) as client:
        try:
            client.admin.command("ping")
        except pymongo.errors.PyMongoError:
            return
    raise AssertionError("nobody listens on port 1")
