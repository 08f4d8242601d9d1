"""Expect: RFC 9110 section 10.1.1."""

from .model import NEXT, NEXT_ANSWER, Answer, Case, End, Step, chunked, get, head, post, refusals, refused, served

RULE = "9110 §10.1.1"
ASK = "Expect: 100-continue"


def asked(name, start, *rest, body=b"abc"):
    """The client waits for 100 before it sends its body."""
    first = Answer(method="POST", reached="POST /", body=body)
    return Case(name, RULE, (start, Step.CONTINUE, *rest), (first, NEXT_ANSWER), End.ALIVE, NEXT)


CASES = [
    asked("a client that waits for it is told to go on", post(ASK, "Content-Length: 3"), b"abc"),
    asked("a client with chunks is told to go on", chunked(b"", ASK), b"3\r\nabc\r\n0\r\n\r\n"),
    asked("100-continue has no case", post("eXpEcT: 100-CONTINUE", "Content-Length: 3"), b"abc"),
    asked("a large body is asked for", post(ASK, "Content-Length: 300000"), b"x" * 300_000, body=b"x" * 300_000),
    asked("a body in pieces is asked for once", post(ASK, "Content-Length: 3"), b"a", b"b", b"c"),
    served(
        "a body that is there need not be asked for",
        RULE,
        post(ASK, "Content-Length: 3", body=b"abc"),
        method="POST",
        body=b"abc",
        interim=None,
    ),
    served("no body is asked for where there is none", RULE, get(ASK), body=b""),
    served("no body is asked for where its length is 0", RULE, post(ASK, "Content-Length: 0"), method="POST", body=b""),
    served(
        "HTTP/1.0 has no expectations",
        RULE,
        head("POST / HTTP/1.0", ASK, "Content-Length: 3") + b"abc",
        method="POST",
        body=b"abc",
        end=End.CLOSED,
    ),
    served(
        "HTTP/1.0 has no expectations, known or not",
        RULE,
        head("GET / HTTP/1.0", "Expect: miracles"),
        end=End.CLOSED,
    ),
    served("an empty expectation is none", "9110 §5.6.1", get("Expect:")),
    served("the application is told of the expectation", RULE, get(ASK), environ={"HTTP_EXPECT": "100-continue"}),
    *refusals(
        RULE,
        417,
        {
            "an unknown expectation": get("Expect: miracles"),
            "an unknown expectation with a value": get("Expect: a=b;c=d"),
            "100-continue among unknown expectations": get("Expect: 100-continue, miracles"),
            "100-continue and an unknown expectation on two lines": get(ASK, "Expect: miracles"),
            "an unknown expectation and 100-continue on two lines": get("Expect: miracles", ASK),
            "an expectation like 100-continue": get("Expect: 100-continued"),
            "100-continue in quotation marks": get('Expect: "100-continue"'),
            "an expectation of another interim answer": get("Expect: 101-switching"),
        },
    ),
    refused(
        "an unknown expectation before a body that is not asked for",
        RULE,
        417,
        post("Expect: x", "Content-Length: 3"),
        follow=b"",
    ),
    refused(
        "a body beyond the limit that is not asked for", RULE, 413, post(ASK, "Content-Length: 2000001"), follow=b""
    ),
    refused("a malformed length that is not asked for", RULE, 400, post(ASK, "Content-Length: x"), follow=b""),
    refused(
        "two lengths that are not asked for", RULE, 400, post(ASK, "Content-Length: 3", "Content-Length: 4"), follow=b""
    ),
    refused(
        "an unknown coding that is not asked for", RULE, 501, post(ASK, "Transfer-Encoding: gzip, chunked"), follow=b""
    ),
    refused(
        "a missing Host that asks for nothing", RULE, 400, head("POST / HTTP/1.1", ASK, "Content-Length: 3"), follow=b""
    ),
    refused(
        "a body that comes malformed after it was asked for",
        "9112 §7.1",
        400,
        chunked(b"", ASK),
        Step.CONTINUE,
        b"x\r\n",
    ),
    refused(
        "a body that does not come although it was asked for",
        "9112 §8",
        400,
        post(ASK, "Content-Length: 3"),
        Step.CONTINUE,
        Step.HALF_CLOSE,
        follow=b"",
    ),
]
