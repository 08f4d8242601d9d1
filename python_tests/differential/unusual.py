"""What may stand in each place of a request, beyond what is usual: the grammar's tables.

Owns bytes and the marks that name them. A mark is one deviation, or one rarely used right; its entries are of one kind
to every server that this suite knows.
"""

#: What may stand in the place of the method.
METHODS = {
    "method-lower-case": [b"get", b"post"],
    "method-unusual": [b"M-SEARCH", b"PROPFIND", b"VERSION-CONTROL", b"MKCALENDAR"],
    "method-one-letter": [b"X"],
    "method-short-or-long": [b"AB", b"A" * 30],
    "method-marks": [b"-X", b"G!T", b"GE.T", b"G#T"],
    "method-not-a-token": [b"G(T", b"GE:T", b'G"T', b"G\xc3\x89T", b"G\x00T", b"[GET]"],
    "method-connect": [b"CONNECT"],
    "method-missing": [b""],
}

TARGETS = {
    "target-plain": [
        b"/",
        b"/a",
        b"/a/b.html?c=d&e",
        b"/?",
        b"/a?b?c",
        b"/a//b",
        b"/a/./b/../c",
        b"/a;b=c,d",
        b"/%61%20b",
    ],
    "target-escaped-slash": [b"/a%2Fb", b"/a%2fb?c%2Fd"],
    "target-two-slashes": [b"//a/b", b"///"],
    "target-utf-8-escaped": [b"/caf%C3%A9", b"/%ff%FE"],
    "target-bad-escape": [b"/%zz", b"/a%", b"/a%4"],
    "target-escaped-nul": [b"/a%00b"],
    "target-escaped-line": [b"/a%0d%0ab"],
    "target-escaped-question": [b"/a%3Fb=c", b"/a%23b"],
    "target-marks": [b"/a{b}", b"/a|b", b"/a^b", b"/a[b]", b"/?a={b}|^[c]", b"/a\\b"],
    "target-quote": [b'/a"b', b'/a?b="c"'],
    "target-angle": [b"/a<b", b"/a?b=<c>"],
    "target-grave": [b"/a`b", b"/a?b`c"],
    "target-fragment": [b"/a#b", b"/a?c#d", b"/#"],
    "target-non-ascii": [b"/caf\xc3\xa9", b"/a?\xe9", b"/\xff"],
    "target-control": [b"/a\x01b", b"/a\x7fb", b"/\x0bb"],
    "target-nul": [b"/a\x00b"],
    "target-space": [b"/a b", b"/a?b c"],
    "target-tab": [b"/a\tb"],
    "target-relative": [b"a/b", b"a", b"?a", b"./a"],
    "target-asterisk": [b"*"],
    "target-asterisk-and-more": [b"*a", b"*/a"],
    "target-authority": [b"x.test:80", b"x.test"],
    "target-absolute": [b"http://x.test/a?b", b"http://x.test:8080/a", b"HTTP://x.test/a", b"http://[::1]/a"],
    "target-absolute-https": [b"https://x.test/a"],
    "target-absolute-no-path": [b"http://x.test", b"http://x.test?a"],
    "target-absolute-other-host": [b"http://other.test/a"],
    "target-absolute-userinfo": [b"http://u:p@x.test/a", b"http://u@x.test/"],
    "target-absolute-no-host": [b"http:///a", b"http://:80/a"],
    "target-other-scheme": [b"ftp://x.test/a", b"urn:a:b", b"://x.test/a"],
    "target-absolute-bad-port": [b"http://x.test:a/", b"http://x.test:65536/", b"http://x.test:99999999/"],
    "target-absolute-bad-host": [b"http://[::g]/", b"http://[::1/"],
    "target-absolute-escaped-host": [b"http://a%20b/"],
    "target-missing": [b""],
    "target-9000-bytes": [b"/" + b"a" * 9000],
}

VERSIONS = {
    "version-1.2": [b"HTTP/1.2", b"HTTP/1.9"],
    "version-2.0": [b"HTTP/2.0", b"HTTP/3.0"],
    "version-0.9": [b"HTTP/0.9"],
    "version-lower-case": [b"http/1.1", b"Http/1.1"],
    "version-malformed": [
        b"HTTP/1.",
        b"HTTP/11",
        b"HTTP/1.1.1",
        b"HTTP/1.10",
        b"HTTP/01.1",
        b"HTTP 1.1",
        b"HTTP/a.b",
        b"XTTP/1.1",
    ],
    "version-missing": [b""],
}

#: The white space of the request line: before, between, between, after; then the line's end.
LINES = {
    "line-two-spaces": [(b"", b"  ", b" ", b"", b"\r\n"), (b"", b" ", b"  ", b"", b"\r\n")],
    "line-tab": [(b"", b"\t", b" ", b"", b"\r\n"), (b"", b" ", b"\t", b"", b"\r\n")],
    "line-space-before": [(b" ", b" ", b" ", b"", b"\r\n")],
    "line-space-after": [(b"", b" ", b" ", b" ", b"\r\n")],
    "line-lf": [(b"", b" ", b" ", b"", b"\n")],
    "line-cr": [(b"", b" ", b" ", b"", b"\r")],
    "line-cr-cr-lf": [(b"", b" ", b" ", b"\r", b"\r\n")],
    "line-crlf-before": [(b"\r\n", b" ", b" ", b"", b"\r\n")],
    "line-some-crlf-before": [(b"\r\n" * 2, b" ", b" ", b"", b"\r\n"), (b"\r\n" * 10, b" ", b" ", b"", b"\r\n")],
    "line-many-crlf-before": [(b"\r\n" * 11, b" ", b" ", b"", b"\r\n")],
    "line-lf-before": [(b"\n", b" ", b" ", b"", b"\r\n")],
}

#: In the place of the Host line.
HOSTS = {
    "host-missing": [[]],
    "host-twice": [[b"Host: x.test", b"Host: y.test"], [b"Host: x.test", b"Host: x.test"]],
    "host-empty": [[b"Host:"], [b"Host: "]],
    "host-with-port": [[b"Host: x.test:80"], [b"Host: [::1]:8080"], [b"Host: 127.0.0.1"]],
    "host-empty-port": [[b"Host: x.test:"]],
    "host-bad-port": [[b"Host: x.test:a"], [b"Host: x.test:-1"], [b"Host: x.test:65536"]],
    "host-unusual": [[b"Host: a_b.test"], [b"Host: 0.0.0.0=80"], [b"Host: a%20b"]],
    "host-bad": [
        [b"Host: x test"],
        [b"Host: x/test"],
        [b"Host: u@x.test"],
        [b"Host: x.test, y.test"],
        [b"Host: http://x.test"],
        [b"Host: [::1"],
        [b"Host: [::1]x"],
        [b"Host: [::g]"],
        [b"Host: x%zz"],
        [b'Host: x"y'],
        [b"Host: \xc3\xa9.test"],
        [b"Host: x?y"],
        [b"Host: x#y"],
        [b"Host: x\\y"],
    ],
    "host-lower-case": [[b"host: x.test"], [b"HOST: x.test"]],
    "host-after-others": [[b"A: b", b"Host: x.test"]],
}

#: Lines added to the others.
FIELDS = {
    "field-plain": [
        [b"Accept: */*"],
        [b"X-A: b c"],
        [b"User-Agent: x/1 (y; z)"],
        [b"Content-Type: text/x"],
        [b"X-Digits-09: 1"],
    ],
    "field-white-space": [[b"X-A:b"], [b"X-A: \t b \t "], [b"X-A:\tb"]],
    "field-inner-white-space": [[b"X-A: b \t  c"]],
    "field-empty": [[b"X-A:"], [b"X-A: \t"]],
    "field-repeated": [[b"X-A: 1", b"X-A: 2"], [b"X-A: 1", b"x-a: 2", b"X-B: 3", b"X-A: 4"]],
    "field-repeated-empty": [[b"X-A:", b"X-A: 2"]],
    "field-cookie-repeated": [[b"Cookie: a=b", b"Cookie: c=d"]],
    "field-type-repeated": [[b"Content-Type: text/a", b"Content-Type: text/b"]],
    "field-obs-text": [[b"X-A: caf\xc3\xa9"], [b"X-A: \xff\xfe"]],
    "field-underscore": [[b"X_A: b"], [b"X_A: b", b"X-A: c"]],
    "field-underscore-length": [[b"Content_Length: 3"]],
    "field-underscore-coding": [[b"Transfer_Encoding: chunked"]],
    "field-proxy": [[b"Proxy: http://evil.test"]],
    "field-token-marks": [[b"X.A|B~C: d"], [b"!#$%&'*+^`: x"]],
    "field-forwarded": [[b"X-Forwarded-For: 1.2.3.4"], [b"X-Forwarded-Host: y.test"], [b"Forwarded: for=1.2.3.4"]],
    "field-forwarded-scheme": [[b"X-Forwarded-Proto: https"], [b"X-Forwarded-Ssl: on"], [b"X-Forwarded-Protocol: ssl"]],
    "field-script-name": [[b"Script-Name: /x"], [b"SCRIPT_NAME: /x"], [b"Path-Info: /x"], [b"Remote-User: x"]],
    "field-space-before-colon": [[b"X-A : b"], [b"X-A\t: b"], [b"Content-Length : 0"]],
    "field-no-colon": [[b"nonsense"], [b"X-A"]],
    "field-no-name": [[b": b"], [b":"]],
    "field-not-a-token": [[b"X[]: b"], [b"X A: b"], [b"X(A): b"], [b'X"A: b'], [b"X/A: b"], [b"X@A: b"], [b"X{A}: b"]],
    "field-name-non-ascii": [[b"X-\xc3\xa9: b"]],
    "field-name-control": [[b"X\x01A: b"], [b"X\x00A: b"], [b"X\x7fA: b"]],
    "field-folded": [[b"X-A: b\r\n c"], [b"X-A: b\r\n\tc"], [b"X-A:\r\n b"]],
    "field-nul": [[b"X-A: b\x00c"]],
    "field-control": [[b"X-A: b\x01c"], [b"X-A: b\x1bc"], [b"X-A: b\x0bc"]],
    "field-del": [[b"X-A: b\x7fc"]],
    "field-cr": [[b"X-A: b\rc"], [b"X-A: b\rContent-Length: 5"], [b"X-A: b\r"]],
    "field-lf": [[b"X-A: b\nX-B: c"], [b"X-A: b\nContent-Length: 5"]],
    "field-9000-bytes": [[b"X-A: " + b"b" * 9000]],
    "field-40000-bytes": [[b"X-A: " + b"b" * 40000]],
    "field-120-lines": [[b"X-%d: y" % n for n in range(120)]],
    "field-connection-other": [
        [b"Connection: x-a"],
        [b"Connection: upgrade", b"Upgrade: h2c"],
        [b"Connection: te", b"TE: trailers"],
    ],
    "field-keep-alive": [[b"Connection: keep-alive"], [b"Connection: Keep-Alive", b"Keep-Alive: 300"]],
    "field-keep-alive-in-1.0": [[b"Connection: keep-alive"]],
    "field-close": [[b"Connection: close"]],
    "field-close-in-capitals": [[b"Connection: Close"], [b"Connection: CLOSE"]],
    "field-close-in-a-list": [
        [b"Connection: x-a, close"],
        [b"Connection: close,x-a"],
        [b"Connection: keep-alive, close"],
    ],
    "field-close-in-another-line": [[b"Connection: x-a", b"Connection: close"]],
    "field-expect-continue": [[b"Expect: 100-continue"], [b"Expect: 100-Continue"]],
    "field-expect-list": [
        [b"Expect: 100-continue, 100-continue"],
        [b"Expect: ,100-continue"],
        [b"Expect: 100-continue", b"Expect: 100-continue"],
    ],
    "field-expect-other": [[b"Expect: 200-ok"], [b"Expect: 100-continue, x"]],
    "field-expect-other-in-1.0": [[b"Expect: 200-ok"]],
}

#: In the place of the lines that frame a body of five bytes; the bytes.
LENGTHS = {
    "length-zeros": [[b"Content-Length: 0005"]],
    "length-sign": [[b"Content-Length: +5"], [b"Content-Length: -5"], [b"Content-Length: -0"]],
    "length-not-a-number": [
        [b"Content-Length: five"],
        [b"Content-Length: 5a"],
        [b"Content-Length: 5.0"],
        [b"Content-Length: 0x5"],
    ],
    "length-underscore": [[b"Content-Length: 0_5"]],
    "length-empty": [[b"Content-Length:"]],
    "length-spaces": [[b"Content-Length: 5 5"], [b"Content-Length: 5 0"]],
    "length-list-equal": [[b"Content-Length: 5, 5"], [b"Content-Length: 5,5"]],
    "length-list-differing": [[b"Content-Length: 5, 6"]],
    "length-twice-equal": [[b"Content-Length: 5", b"Content-Length: 5"]],
    "length-twice-differing": [
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 6", b"Content-Length: 5"],
    ],
    "length-huge": [[b"Content-Length: 99999999999999999999999"]],
    "length-non-ascii-digits": [[b"Content-Length: \xb2"], [b"Content-Length: \xd9\xa5"]],
    "length-in-capitals": [[b"CONTENT-LENGTH: 5"], [b"content-length: 5"]],
}

#: In the place of the line that says chunked.
CODINGS = {
    "coding-in-capitals": [[b"Transfer-Encoding: Chunked"], [b"TRANSFER-ENCODING: CHUNKED"]],
    "coding-tab": [[b"Transfer-Encoding:\tchunked"], [b"Transfer-Encoding: \t chunked \t"]],
    "coding-and-trailer": [[b"Transfer-Encoding: chunked", b"Trailer: X-A"]],
    "coding-unknown-then-chunked": [
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: x-a", b"Transfer-Encoding: chunked"],
    ],
    "coding-identity-then-chunked": [[b"Transfer-Encoding: identity, chunked"]],
    "coding-identity": [[b"Transfer-Encoding: identity"]],
    "coding-not-last": [
        [b"Transfer-Encoding: chunked, gzip"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
    ],
    "coding-twice": [
        [b"Transfer-Encoding: chunked, chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
    ],
    "coding-unknown": [
        [b"Transfer-Encoding: gzip"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding: chunked;q=1"],
    ],
    "coding-empty": [[b"Transfer-Encoding:"]],
    "coding-empty-element": [[b"Transfer-Encoding: chunked,"], [b"Transfer-Encoding: ,chunked"]],
    "coding-quoted": [[b'Transfer-Encoding: "chunked"']],
    "coding-control": [[b"Transfer-Encoding: \x0bchunked"], [b"Transfer-Encoding: chunked\x00"]],
    "coding-and-length": [
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Content-Length: 0", b"Transfer-Encoding: chunked"],
    ],
    "coding-in-1.0": [[b"Transfer-Encoding: chunked"]],
}

#: Bytes of a body that is larger than what this server gathers before the application is asked (64 KiB).
LARGE = 70_000

#: Chunks that say "hello".
CHUNKS = {
    "chunk-plain": [b"5\r\nhello\r\n0\r\n\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"],
    "chunk-zeros": [b"0005\r\nhello\r\n000\r\n\r\n"],
    "chunk-hex": [b"A\r\nhellohello\r\n0\r\n\r\n", b"a\r\nhellohello\r\n0\r\n\r\n"],
    "chunk-large": [b"%x\r\n%s\r\n0\r\n\r\n" % (LARGE, b"x" * LARGE)],
    "chunk-extension": [b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b'5;a="b c"\r\nhello\r\n0\r\n\r\n'],
    "chunk-extension-spaced": [
        b"5 ; a = b\r\nhello\r\n0\r\n\r\n",
        b"5\t;a\r\nhello\r\n0\r\n\r\n",
        b"5; a\r\nhello\r\n0\r\n\r\n",
    ],
    "chunk-extension-malformed": [
        b"5;\r\nhello\r\n0\r\n\r\n",
        b"5;a=\r\nhello\r\n0\r\n\r\n",
        b"5;=b\r\nhello\r\n0\r\n\r\n",
    ],
    "chunk-extension-control": [b"5;a\x00b\r\nhello\r\n0\r\n\r\n", b"5;a\rb\r\nhello\r\n0\r\n\r\n"],
    "chunk-extension-lf": [b"5;a\nb\r\nhello\r\n0\r\n\r\n"],
    "chunk-trailer": [b"5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"],
    "chunk-crlf-behind": [b"5\r\nhello\r\n0\r\n\r\n\r\n"],
    "chunk-trailer-forbidden": [
        b"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
        b"5\r\nhello\r\n0\r\nHost: y.test\r\n\r\n",
    ],
    "chunk-trailer-malformed": [b"5\r\nhello\r\n0\r\nX A b\r\n\r\n", b"5\r\nhello\r\n0\r\nX-A : b\r\n\r\n"],
    "chunk-size-spaced": [b"5 \r\nhello\r\n0\r\n\r\n", b"5\t\r\nhello\r\n0\r\n\r\n"],
    "chunk-size-spaced-before": [b" 5\r\nhello\r\n0\r\n\r\n"],
    "chunk-size-sign": [b"+5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n"],
    "chunk-size-prefixed": [b"0x5\r\nhello\r\n0\r\n\r\n"],
    "chunk-size-underscore": [b"0_5\r\nhello\r\n0\r\n\r\n"],
    "chunk-size-not-hex": [b"g\r\nhello\r\n0\r\n\r\n", b"5,\r\nhello\r\n0\r\n\r\n", b"\xb2\r\nhello\r\n0\r\n\r\n"],
    "chunk-size-missing": [b"\r\nhello\r\n0\r\n\r\n", b";a\r\nhello\r\n0\r\n\r\n"],
    "chunk-size-huge": [b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"],
    "chunk-lf": [b"5\nhello\n0\n\n", b"5\r\nhello\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n"],
    "chunk-last-lf": [b"5\r\nhello\r\n0\n\n", b"5\r\nhello\r\n0\r\n\n"],
    "chunk-without-crlf": [b"5\r\nhelloXX0\r\n\r\n", b"5\r\nhello0\r\n\r\n"],
    "chunk-too-long": [b"4\r\nhello\r\n0\r\n\r\n"],
}

#: Bytes that are missing at a body's end: the client shuts its sending side there, and waits for an answer.
CUTS = {"cut-length": [1, 5], "cut-chunks": [2, 5, 9]}

#: Marks of requests that are only tried as the first of a stream: what a peer does with them depends on those before.
FIRST = frozenset({"target-absolute-bad-host", "line-crlf-before"})

#: Where a request can be unusual.
PLACES = {
    "method": METHODS,
    "target": TARGETS,
    "version": VERSIONS,
    "line": LINES,
    "host": HOSTS,
    "field": FIELDS,
    "length": LENGTHS,
    "coding": CODINGS,
    "chunk": CHUNKS,
    "cut": CUTS,
}
