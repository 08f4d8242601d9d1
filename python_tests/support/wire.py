"""An HTTP/1.1 client that hides nothing: raw bytes out, and answers parsed strictly (RFC 9112).

A reply that ends early is `Truncated`, a connection closed before the first byte of one is `Closed`: the two are
never confused with a complete reply, which is what the tests of stopping and of failures rest on.
"""

import json
import socket
import ssl
from dataclasses import dataclass, field

#: Seconds one read may take before the test fails.
TIMEOUT = 15.0


class Closed(Exception):
    """The peer closed the connection before any byte of an answer."""


class Truncated(Exception):
    """The peer closed, or broke the framing, inside an answer."""


@dataclass
class Response:
    version: str
    status: int
    reason: str
    headers: list
    body: bytes = b""
    interim: list = field(default_factory=list)

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name):
        values = self.all(name)
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


def message(method, target, headers=(), body=b"", chunks=None, version="1.1"):
    """The bytes of a request; Host and the framing are added unless `headers` has them."""
    names = {name.lower() for name, _ in headers}
    lines = [f"{method} {target} HTTP/{version}"]
    if "host" not in names:
        lines.append("Host: test")
    lines += [f"{name}: {value}" for name, value in headers]
    if chunks is not None:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"
    elif body and "content-length" not in names:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Connection:
    """One connection to `address`: a (host, port[, ...]) tuple, or the path of a unix socket.

    `source` is the client's own address, any of 127.0.0.0/8 on Linux: tests of who is trusted need two.
    """

    def __init__(self, address, timeout=TIMEOUT, source=None):
        if isinstance(address, tuple):
            self.socket = socket.create_connection(address[:2], timeout, (source, 0) if source else None)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def close(self):
        self.socket.close()

    def reset(self):
        """Leave with a RST instead of a FIN, as a killed client's kernel does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def start_tls(self):
        """Go on over TLS, whoever the peer may be."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def half_close(self):
        """Shut the sending side, and read on."""
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, method, target, headers=(), body=b"", chunks=None, version="1.1"):
        """Send a request without waiting for its answer."""
        self.send(message(method, target, headers, body, chunks, version))

    def request(self, method, target, headers=(), body=b"", chunks=None, version="1.1"):
        self.ask(method, target, headers, body, chunks, version)
        return self.response(method)

    def get(self, target, headers=()):
        return self.request("GET", target, headers)

    def response(self, method="GET"):
        """Read one answer, interim ones included."""
        answer = self.head()
        self.read_body(answer, method)
        return answer

    def head(self):
        """Read the head of one answer, collecting interim ones."""
        interim = []
        while True:
            answer = self._one_head()
            if answer.status >= 200 or answer.status == 101:
                answer.interim = interim
                return answer
            interim.append(answer)

    def _one_head(self):
        if not self.buffer and not self._fill():
            raise Closed("connection closed before any byte of an answer")
        version, _, rest = self.line().decode("latin-1").partition(" ")
        status, _, reason = rest.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or len(status) != 3 or not status.isdigit():
            raise Truncated(f"not a status line: {version!r} {rest!r}")
        headers = []
        while line := self.line().decode("latin-1"):
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise Truncated(f"not a header line: {line!r}")
            headers.append((name, value.strip(" \t")))
        return Response(version, int(status), reason, headers)

    def read_body(self, answer, method="GET"):
        """Read the body of `answer` into it (RFC 9112 section 6.3)."""
        lengths, codings = answer.all("Content-Length"), answer.all("Transfer-Encoding")
        if len(lengths) > 1 or (lengths and codings):
            raise Truncated(f"the length is said twice: {answer.headers}")
        if method == "HEAD" or answer.status in (204, 304):
            return
        if codings:
            # Joined once: adding to bytes copies them, and proxies make thousands of chunks of a large body.
            answer.body = b"".join(iter(self.chunk, b""))
        elif lengths:
            answer.body = self.exactly(int(lengths[0]))
        else:
            answer.body = self.rest()

    def chunk(self):
        """Read one chunk; b"" is the last one, its empty trailer section read too."""
        size = int(self.line().partition(b";")[0], 16)
        data = self.exactly(size) if size else b""
        if self.line() != b"":
            raise Truncated("no CRLF after a chunk")
        return data

    def line(self):
        while b"\r\n" not in self.buffer:
            if not self._fill():
                raise Truncated(f"closed inside a line: {self.buffer[-80:]!r}")
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def exactly(self, size):
        parts = [self.buffer[:size]]
        self.buffer = self.buffer[size:]
        missing = size - len(parts[0])
        while missing:
            if not self._fill():
                raise Truncated(f"closed with {missing} of {size} bytes missing")
            parts.append(self.buffer[:missing])
            self.buffer = self.buffer[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def rest(self):
        """Everything until the peer closes."""
        while self._fill():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def ended(self):
        """Whether the peer closes with nothing more to say (waits for it; a RST counts)."""
        return not self.buffer and not self._fill()

    def _fill(self):
        try:
            data = self.socket.recv(1 << 18)
        except (ConnectionResetError, BrokenPipeError):
            return False
        self.buffer += data
        return bool(data)
