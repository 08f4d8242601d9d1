"""What no client of HTTP sends, and clients that leave: RFC 9112 sections 2.2, 8 and 9.5."""

import random

from .model import Case, End, Step, chunked, get, post, refusals, refused, silent

#: A ClientHello as a browser begins one (RFC 8446 section 4.1.2).
TLS = (
    bytes.fromhex("1603010200010001fc0303")
    + bytes(range(32))
    + b"\x20"
    + bytes(range(32))
    + b"\x00\x02\x13\x01\x01\x00"
)

OTHER_PROTOCOLS = refusals(
    "9112 §2.2",
    400,
    {
        "TLS on the plain port": TLS,
        "TLS of one byte": TLS[:1],
        "SSLv2": bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0"),
        "an SSH banner": b"SSH-2.0-OpenSSH_9.6\r\n",
        "SMTP": b"EHLO mail.example\r\n",
        "FTP": b"USER anonymous\r\n",
        "IRC": b"NICK someone\r\nUSER a 0 * :b\r\n",
        "redis in text": b"PING\r\n",
        "redis in its protocol": b"*1\r\n$4\r\nPING\r\n",
        "memcached": b"stats\r\n",
        "SIP": b"OPTIONS sip:a@b SIP/2.0\r\n\r\n",
        "RTSP": b"OPTIONS rtsp://a/ RTSP/1.0\r\n\r\n",
        "the PROXY protocol, version 1": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + get(),
        "the PROXY protocol, version 2": b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c" + bytes(12) + get(),
        "FastCGI": bytes.fromhex("0101000100080000000100000000000000"),
        "uwsgi": b"\0\x15\0\0\x0e\0REQUEST_METHOD\x03\0GET",
        "SCGI": b"24:CONTENT_LENGTH\x000\0SCGI\x001\0,",
        "AJP": b"\x124\0\x01\x02\x02",
        "RDP": bytes.fromhex("030000130ee000000000000100080003000000"),
        "SMB": b"\0\0\0\x54\xffSMBr\0\0\0\0",
        "SOCKS 4": b"\x04\x01\0\x50\x7f\0\0\x01\0",
        "SOCKS 5": b"\x05\x01\0",
        "PostgreSQL": bytes.fromhex("0000000804d2162f"),
        "BitTorrent": b"\x13BitTorrent protocol" + bytes(8),
        "a shell command": b"id; ls -la\r\n",
        "JSON": b'{"jsonrpc": "2.0"}\r\n',
        "a NUL": b"\0",
        "a thousand NULs": bytes(1000),
        "a byte 0xff": b"\xff",
        "a DEL": b"\x7f",
    },
) + [
    refused(
        "the preface of HTTP/2 with its settings",
        "9113 §3.4",
        505,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"),
    ),
    refused("random bytes that begin with a control byte", "9112 §2.2", 400, b"\x01" + random.Random(1).randbytes(500)),
    refused(
        "random bytes behind a good method", "9112 §3", 400, b"GET " + random.Random(2).randbytes(500) + b"\r\n\r\n"
    ),
    refused(
        "random bytes as a header",
        "9112 §5",
        400,
        b"GET / HTTP/1.1\r\n" + random.Random(3).randbytes(500) + b"\r\n\r\n",
    ),
    *(
        refused(
            f"random visible characters, no. {seed}",
            "9112 §2.2",
            400,
            bytes(random.Random(seed).choices(range(33, 127), k=200)) + b"\r\n\r\n",
        )
        for seed in range(10)
    ),
]

REQUEST = b"POST /path?query HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n"

#: Points in a head, and in the middle of each of its parts.
POINTS = {
    "within its method": 2,
    "behind its method": 4,
    "before its target": 5,
    "within its target": 8,
    "behind its target": 16,
    "within its version": 20,
    "behind its version": 25,
    "within the request line's end": 26,
    "behind its request line": 27,
    "within a name": 29,
    "behind a colon": 32,
    "within a header line's end": 35,
    "behind a header line": 36,
    "within a value": 40,
    "before its empty line": 42,
    "within its empty line": 43,
}

LEAVING = (
    [silent("a client that says nothing and shuts its side", "9112 §9.5", Step.HALF_CLOSE)]
    + [silent("a client that sends an empty line and shuts its side", "9112 §2.2", b"\r\n", Step.HALF_CLOSE)]
    + [
        refused(f"a head that ends {where}", "9112 §8", 400, REQUEST[:at], Step.HALF_CLOSE, follow=b"")
        for where, at in POINTS.items()
    ]
    + [
        Case(
            f"a client that breaks off {where} of a head: others are served",
            "9112 §9.5",
            (REQUEST[:at], Step.RESET),
            (),
            End.LEFT,
        )
        for where, at in POINTS.items()
    ]
    + [
        Case(f"a client that breaks off {where}: others are served", "9112 §9.5", (data, Step.RESET), (), End.LEFT)
        for where, data in {
            "before it says anything": b"",
            "before a body": post("Content-Length: 10"),
            "within a body": post("Content-Length: 10") + b"abc",
            "before a chunk": chunked(b""),
            "within a chunk size": chunked(b"3"),
            "within a chunk": chunked(b"3\r\na"),
            "before the last chunk": chunked(b"3\r\nabc\r\n"),
            "within a trailer": chunked(b"3\r\nabc\r\n0\r\nA"),
            "before 100 is sent": post("Content-Length: 10", "Expect: 100-continue"),
            "behind a request that is refused": b"GET\r\n\r\n",
        }.items()
    ]
)

CASES = [*OTHER_PROTOCOLS, *LEAVING]
