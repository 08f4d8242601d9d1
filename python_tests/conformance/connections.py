"""Persistence, pipelining and the end of a connection: RFC 9112 section 9, RFC 9110 section 7.6.1 and 7.8."""

from .model import NEXT, NEXT_ANSWER, STREAM, Answer, Case, End, Step, get, head, post, refused, served


def closing(name, data, rule="9112 §9.6", **given):
    return served(name, rule, data, end=End.CLOSED, headers={"Connection": "close"}, **given)


def old(*lines, target="/"):
    return head(f"GET {target} HTTP/1.0", *lines)


CLOSE = [
    closing(f"the connection option {value} closes", get(f"Connection: {value}"))
    for value in (
        *(
            "close",
            "Close",
            "CLOSE",
            "close, foo",
            "foo, close",
            "foo,close",
            "foo , close",
            "close,",
            ",close",
            " \tclose",
        ),
        *("keep-alive, close", "close, keep-alive", "close, close", "upgrade, close", "TE, close"),
    )
] + [
    closing("close on a second line closes", get("Connection: foo", "Connection: close")),
    closing("close before keep-alive on a second line closes", get("Connection: close", "Connection: keep-alive")),
    closing("keep-alive before close on a second line closes", get("Connection: keep-alive", "Connection: close")),
    closing("Connection has no case", get("cOnNeCtIoN: close")),
    closing(
        "close with a body closes",
        post("Connection: close", "Content-Length: 3", body=b"abc"),
        method="POST",
        body=b"abc",
    ),
    closing("close of HEAD closes", head("HEAD / HTTP/1.1", "Host: x", "Connection: close"), method="HEAD"),
    closing(
        "close of a streamed answer closes",
        get("Connection: close", target="/reply/streamed"),
        target="/reply/streamed",
        text=STREAM,
    ),
]

ALIVE = [
    served(
        f"the connection option {value or 'of nothing'} keeps the connection", "9112 §9.3", get(f"Connection: {value}")
    )
    for value in (
        "keep-alive",
        "Keep-Alive",
        "",
        "foo",
        "closed",
        "close-not",
        "xclose",
        '"close"',
        "upgrade",
        "foo, bar",
        "TE",
    )
] + [
    served("HTTP/1.1 keeps the connection by itself", "9112 §9.3", get(), headers={"Connection": None}),
    served("Keep-Alive is no Connection", "9112 §9.3", get("Keep-Alive: timeout=5, max=0")),
    served("Proxy-Connection means nothing", "9112 §9.3", get("Proxy-Connection: close")),
    served("close as another header's value means nothing", "9112 §9.3", get("X-Connection: close")),
]

HTTP_1_0 = [
    served("HTTP/1.0 closes by itself", "9112 §9.3", old(), end=End.CLOSED),
    served("HTTP/1.0 closes when it says so", "9112 §9.3", old("Connection: close"), end=End.CLOSED),
    served("HTTP/1.0 closes when it says something else", "9112 §9.3", old("Connection: foo"), end=End.CLOSED),
    served(
        "HTTP/1.0 keeps the connection when asked",
        "9112 §9.3",
        old("Connection: keep-alive"),
        headers={"Connection": "keep-alive"},
    ),
    served("keep-alive has no case", "9112 §9.3", old("Connection: Keep-Alive"), headers={"Connection": "keep-alive"}),
    served(
        "keep-alive may be one of several",
        "9112 §9.3",
        old("Connection: foo, keep-alive"),
        headers={"Connection": "keep-alive"},
    ),
    served("close beats keep-alive in HTTP/1.0", "9112 §9.3", old("Connection: keep-alive, close"), end=End.CLOSED),
    served(
        "close behind keep-alive in HTTP/1.0 closes",
        "9112 §9.3",
        old("Connection: keep-alive", "Connection: close"),
        end=End.CLOSED,
    ),
    served(
        "close before keep-alive in HTTP/1.0 closes",
        "9112 §9.3",
        old("Connection: close", "Connection: keep-alive"),
        end=End.CLOSED,
    ),
    served("Keep-Alive alone keeps nothing in HTTP/1.0", "9112 §9.3", old("Keep-Alive: timeout=5"), end=End.CLOSED),
    served(
        "a streamed answer ends with the connection in HTTP/1.0",
        "9112 §6.3",
        old(target="/reply/streamed"),
        target="/reply/streamed",
        text=STREAM,
        headers={"Transfer-Encoding": None, "Content-Length": None},
        end=End.CLOSED,
    ),
    served(
        "a streamed answer ends with the connection in HTTP/1.0 that asked to keep it",
        "9112 §6.3",
        old("Connection: keep-alive", target="/reply/streamed"),
        target="/reply/streamed",
        text=STREAM,
        headers={"Transfer-Encoding": None, "Content-Length": None},
        end=End.CLOSED,
    ),
    served(
        "a sized answer keeps the connection in HTTP/1.0 that asked to keep it",
        "9112 §9.3",
        old("Connection: keep-alive", target="/reply/sized?is=5"),
        target="/reply/sized?is=5",
        text=b"xxxxx",
    ),
    served(
        "a body is followed by the next request in HTTP/1.0",
        "9112 §9.3",
        head("POST / HTTP/1.0", "Connection: keep-alive", "Content-Length: 3") + b"abc",
        method="POST",
        body=b"abc",
    ),
]


def pipelined(name, requests, end=End.ALIVE, follow=b"", rule="9112 §9.3.2"):
    data, answers = zip(*requests, strict=True)
    return Case(name, rule, (b"".join(data),), answers, end, follow)


def numbered(number):
    return get(target=f"/{number}"), Answer(reached=f"GET /{number}")


ABC = (post("Content-Length: 3", body=b"abc"), Answer(method="POST", reached="POST /", body=b"abc"))
CHUNKS = (
    post("Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
    Answer(method="POST", reached="POST /", body=b"abc"),
)
HEAD = (head("HEAD /h HTTP/1.1", "Host: x"), Answer(method="HEAD", reached="HEAD /h"))
STREAMED = (get(target="/reply/streamed"), Answer(reached="GET /reply/streamed", text=STREAM))
NO_CONTENT = (get(target="/reply/status?is=204"), Answer(204, reached="GET /reply/status?is=204"))
FAILING = (get(target="/reply/failing"), Answer(500, reached="GET /reply/failing"))
LAST = (get("Connection: close"), Answer(reached="GET /", headers={"Connection": "close"}))
BAD = Answer(400, headers={"Connection": "close"})

PIPELINED = [
    pipelined("two requests in one packet are answered in order", [numbered(1), numbered(2)]),
    pipelined("fifty requests in one packet are answered in order", [numbered(n) for n in range(50)]),
    pipelined(
        "requests with and without bodies are answered in order", [numbered(1), ABC, HEAD, CHUNKS, numbered(2), ABC]
    ),
    pipelined("a chunked body is followed by a request", [CHUNKS, numbered(1)]),
    pipelined("HEAD's answer is followed by the next one at once", [HEAD, HEAD, numbered(1)]),
    pipelined("a streamed answer is followed by the next one", [STREAMED, STREAMED, numbered(1)]),
    pipelined("an answer without content is followed by the next one", [NO_CONTENT, numbered(1), NO_CONTENT]),
    pipelined("a failing application costs its own answer", [numbered(1), FAILING, numbered(2)]),
    pipelined("what follows close is not answered", [numbered(1), LAST], End.CLOSED, NEXT, "9112 §9.6"),
    Case(
        "empty lines between requests are skipped",
        "9112 §2.2",
        (numbered(1)[0] + b"\r\n" + numbered(2)[0] + b"\r\n\r\n" + ABC[0],),
        (numbered(1)[1], numbered(2)[1], ABC[1]),
    ),
    Case(
        "a line end behind a body is skipped",
        "9112 §2.2",
        (ABC[0] + b"\r\n",),
        (ABC[1], NEXT_ANSWER),
        follow=NEXT,
    ),
    Case(
        "one request waits for the answer of another",
        "9112 §9.3",
        (numbered(1)[0], Step.ANSWER, numbered(2)[0]),
        (numbered(1)[1], numbered(2)[1]),
    ),
    Case(
        "a request may come in two packets behind another",
        "9112 §9.3.2",
        (numbered(1)[0] + numbered(2)[0][:9], numbered(2)[0][9:]),
        (numbered(1)[1], numbered(2)[1]),
    ),
    refused(
        "a malformed request behind good ones",
        "9112 §9.3.2",
        400,
        numbered(1)[0] + numbered(2)[0] + b"GET\r\n\r\n",
        before=(numbered(1)[1], numbered(2)[1]),
    ),
    refused(
        "an unknown version behind good ones",
        "9112 §9.3.2",
        505,
        numbered(1)[0] + b"GET / HTTP/2.0\r\n\r\n",
        before=(numbered(1)[1],),
    ),
    refused(
        "a malformed request behind a body", "9112 §9.3.2", 400, ABC[0] + b"x", before=(ABC[1],), follow=b"\r\n\r\n"
    ),
    refused("bytes beyond a body's length", "9112 §6.3", 400, ABC[0] + b"defg\r\n\r\n", before=(ABC[1],)),
    refused(
        "malformed chunks behind a good request",
        "9112 §7.1",
        400,
        numbered(1)[0] + CHUNKS[0][:-5] + b"x\r\n",
        before=(numbered(1)[1],),
    ),
    refused(
        "too large a head behind a good one",
        "9110 §5.4",
        431,
        numbered(1)[0] + get("A: " + "b" * 40_000),
        before=(numbered(1)[1],),
    ),
]

HALF_CLOSED = [
    Case(
        "a client that shut its side gets its answer",
        "9112 §9.6",
        (get(), Step.HALF_CLOSE),
        (Answer(reached="GET /"),),
        End.CLOSED,
    ),
    Case(
        "a client that shut its side gets a streamed answer",
        "9112 §9.6",
        (STREAMED[0], Step.HALF_CLOSE),
        (STREAMED[1],),
        End.CLOSED,
    ),
    Case(
        "a client that shut its side gets the answer to its body",
        "9112 §9.6",
        (ABC[0], Step.HALF_CLOSE),
        (ABC[1],),
        End.CLOSED,
    ),
    Case(
        "a client that shut its side gets all its answers",
        "9112 §9.6",
        (b"".join(numbered(n)[0] for n in range(20)), Step.HALF_CLOSE),
        tuple(numbered(n)[1] for n in range(20)),
        End.CLOSED,
    ),
    Case(
        "a client that shut its side within its second request gets both answers",
        "9112 §8",
        (numbered(1)[0] + b"GET /", Step.HALF_CLOSE),
        (numbered(1)[1], BAD),
        End.CLOSED,
    ),
]

UPGRADES = [
    served(
        f"an upgrade to {protocol} is not taken up",
        "9110 §7.8",
        get("Connection: Upgrade", f"Upgrade: {protocol}", *lines),
        headers={"Upgrade": None, "Connection": None},
    )
    for protocol, *lines in (
        ("h2c",),
        ("h2c, HTTP/2.0",),
        ("websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"),
        ("TLS/1.2",),
        ("HTTP/3.0",),
        ("unknown",),
    )
] + [
    served(
        "an upgrade to h2c with its settings is not taken up",
        "9110 §7.8",
        get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        headers={"Upgrade": None},
    ),
    served(
        "an upgrade with a body is not taken up",
        "9110 §7.8",
        post("Connection: upgrade", "Upgrade: h2c", "Content-Length: 3", body=b"abc"),
        method="POST",
        body=b"abc",
    ),
    served("Upgrade without its connection option means nothing", "9110 §7.8", get("Upgrade: h2c")),
    served(
        "an upgrade that asks to close is closed",
        "9112 §9.6",
        get("Connection: upgrade, close", "Upgrade: h2c"),
        end=End.CLOSED,
        headers={"Connection": "close"},
    ),
    served("HTTP/1.0 has no upgrade", "9110 §7.8", old("Connection: upgrade", "Upgrade: h2c"), end=End.CLOSED),
]

CASES = [*CLOSE, *ALIVE, *HTTP_1_0, *PIPELINED, *HALF_CLOSED, *UPGRADES]
