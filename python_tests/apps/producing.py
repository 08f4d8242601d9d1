"""Sends bodies of any size in pieces, and counts what it has produced; /produced says how much."""

from apps.routes import answer, by_path, query

PIECE = bytes(range(256)) * 256
produced = {"bytes": 0, "closed": 0}


class Pieces:
    def __init__(self, count):
        self.left = count

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        produced["bytes"] += len(PIECE)
        return PIECE

    def close(self):
        produced["closed"] += 1


def download(environ, start_response):
    count = int(query(environ)["pieces"])
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return Pieces(count)


def sized(environ, start_response):
    count = int(query(environ)["pieces"])
    start_response("200 OK", [("Content-Length", str(count * len(PIECE)))])
    return Pieces(count)


def written(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for piece in Pieces(int(query(environ)["pieces"])):
        write(piece)
    return []


def tiny(environ, start_response):
    """A million parts of one byte, every second one followed by an empty one."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(1_000_000):
        yield b"x"
        if number % 2:
            yield b""


def one_large(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"x" * 100_000_000


def state(environ, start_response):
    return answer(start_response, produced)


app = by_path(download, sized, written, tiny, one_large, state)
