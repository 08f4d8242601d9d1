"""Real HTTP clients against Flask: curl, wget, ab, wrk, and the libraries that Python programs use."""

import asyncio
import hashlib
import http.client
import io
import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.clients import Holdings, run, sha256, url

CONTENT = random.Random(8).randbytes(5_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()

#: Seconds within which a client sees `100 Continue`; below what the clients wait for one before they send anyway.
PROMPTLY = 5


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "big").write_bytes(CONTENT)
    # More than the kernel takes in for a client that does not read.
    with open(folder / "huge", "wb") as sparse:
        sparse.truncate(500_000_000)
    return folder


@pytest.fixture(scope="module", params=["tcp", "unix"])
def site(request, module_server, files):
    pytest.importorskip("flask", reason="Flask is not installed")
    env = {"FILES": str(files)}
    return module_server("apps.flask_files:app", "--interpreters", "2", "--threads", "2", listen=request.param, env=env)


@pytest.fixture(scope="module")
def tcp_site(module_server, files):
    pytest.importorskip("flask", reason="Flask is not installed")
    return module_server("apps.flask_files:app", "--interpreters", "2", "--threads", "2", env={"FILES": str(files)})


@pytest.fixture
def curl(tool, site, tmp_path):
    """A function that runs curl on paths of the site; its words come before the paths."""
    tool("curl")

    def asks(*words, paths=("/",), **more):
        unix = isinstance(site.address, str)
        reach = ["--unix-socket", site.address] if unix else []
        base = "http://test" if unix else url(site, "")
        return run("curl", "-sS", *reach, *words, *[base + path for path in paths], cwd=tmp_path, **more)

    return asks


def many(paths, said):
    """`paths` for curl with their bodies thrown away, and `said` about each."""
    return {"paths": paths}, [word for _ in paths for word in ("-o", "/dev/null")] + ["-w", said + "\\n"]


# curl


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
def test_curl_gets_an_answer_in_each_version_that_it_offers(curl, version):
    assert curl(version).stdout == "hello\n"
    lines = "".join(f"line {n}\n" for n in range(20_000))
    assert curl(version, paths=["/stream/20000"]).stdout == lines


def test_curl_reuses_its_connection_whatever_the_answer_was(curl):
    more, words = many(["/", "/stream/5", "/nowhere", "/files/big", "/"], "%{num_connects} %{http_code}")
    assert curl(*words, **more).stdout.split("\n")[:-1] == ["1 200", "0 200", "0 404", "0 200", "0 200"]


def test_curl_gets_many_in_parallel(curl):
    more, words = many([f"/stream/{n}" for n in range(100)], "%{http_code} %{errormsg}")
    done = curl("--parallel", "--parallel-max", "20", *words, **more)
    assert set(done.stdout.splitlines()) == {"200 "}


def test_curl_is_told_to_continue_at_once(curl, files):
    words = ["--expect100-timeout", "30", "-T", files / "big", "-w", "\n%{time_total}"]
    body, _, seconds = curl(*words, paths=["/upload"]).stdout.rpartition("\n")
    assert DIGEST in body
    assert float(seconds) < PROMPTLY


def test_curl_uploads_what_it_does_not_know_the_length_of(curl):
    done = curl("-T", "-", paths=["/upload"], input=CONTENT, text=False)
    assert DIGEST.encode() in done.stdout


def test_curl_sends_a_form_with_a_file(curl, files):
    assert DIGEST in curl("-F", f"file=@{files / 'big'}", paths=["/form"]).stdout


def test_curl_resumes_a_download(curl, tmp_path):
    part = tmp_path / "part"
    part.write_bytes(CONTENT[:1_234_567])
    said = curl("-C", "-", "-o", part, "-w", "%{http_code} %{size_download}", paths=["/files/big"]).stdout
    assert (said, sha256(part)) == (f"206 {len(CONTENT) - 1_234_567}", DIGEST)


def test_a_range_holds_only_for_the_file_that_the_client_has(curl):
    head = curl("-I", paths=["/files/big"]).stdout
    etag = re.search(r"(?im)^etag: (.*?)\r?$", head).group(1)
    asked = ["-r", "5-9", "-o", "/dev/null", "-w", "%{http_code} %{size_download}"]
    assert curl("-H", f"If-Range: {etag}", *asked, paths=["/files/big"]).stdout == "206 5"
    assert curl("-H", 'If-Range: "another"', *asked, paths=["/files/big"]).stdout == f"200 {len(CONTENT)}"
    said = curl("-r", "99999999-", "-o", "/dev/null", "-w", "%{http_code}", paths=["/files/big"]).stdout
    assert said == "416"


def test_a_session_goes_on_across_interpreters(curl, tmp_path):
    jar = ["-b", tmp_path / "jar", "-c", tmp_path / "jar"]
    assert [curl(*jar, paths=["/visits"]).stdout for _ in range(4)] == ["1", "2", "3", "4"]


def test_a_client_that_reads_slowly_gets_everything(curl, tmp_path):
    curl("--limit-rate", "5M", "-o", tmp_path / "got", paths=["/files/big"])
    assert sha256(tmp_path / "got") == DIGEST


@pytest.mark.parametrize("path", ["/files/huge", "/stream/10000000"])
def test_a_download_that_is_given_up_is_no_error_and_leaves_nothing(curl, site, path):
    held, mark = Holdings(site), site.mark()
    # 28: curl's own time was up.
    curl("--limit-rate", "100k", "--max-time", "0.2", "-o", "/dev/null", paths=[path], status=28)
    held.wait_as_before()
    assert not re.search(r"\[(WARNING|ERROR|CRITICAL)\]|Traceback", site.log[mark:]), site.log[mark:]


# wget, ab, wrk


def test_wget_resumes_and_keeps_its_connection(tool, tcp_site, tmp_path):
    tool("wget")
    (tmp_path / "big").write_bytes(CONTENT[:100_000])
    done = run("wget", "-c", url(tcp_site, "/files/big"), url(tcp_site, "/stream/3"), cwd=tmp_path)
    assert sha256(tmp_path / "big") == DIGEST
    assert (tmp_path / "3").read_text() == "line 0\nline 1\nline 2\n"
    assert done.stderr.count("Reusing existing connection") == 1, done.stderr


@pytest.mark.parametrize("kept", [["-k"], []])
def test_ab_sees_no_failed_request(tool, tcp_site, kept, tmp_path):
    tool("ab")
    held = Holdings(tcp_site)
    said = run("ab", "-q", "-n", "1000", "-c", "16", *kept, url(tcp_site), cwd=tmp_path).stdout
    assert re.search(r"(?m)^Failed requests: +0$", said), said
    assert "Non-2xx" not in said
    if kept:
        assert re.search(r"(?m)^Keep-Alive requests: +1000$", said), said
    held.wait_as_before()


def test_wrk_sees_no_error(tool, tcp_site, tmp_path):
    tool("wrk")
    held = Holdings(tcp_site)
    said = run("wrk", "-t", "1", "-c", "32", "-d", "1s", url(tcp_site, "/stream/10"), cwd=tmp_path).stdout
    assert not re.search("Socket errors|Non-2xx", said), said
    assert int(re.search(r"(\d+) requests in", said).group(1)) > 100
    held.wait_as_before()


# Libraries of Python


def pieces():
    return (CONTENT[n : n + 100_000] for n in range(0, len(CONTENT), 100_000))


def test_http_client_keeps_one_connection_for_all_methods(tcp_site):
    connection = http.client.HTTPConnection(*tcp_site.address[:2], timeout=15)
    connection.connect()
    port = connection.sock.getsockname()
    for method, path, body, status in [
        ("GET", "/", None, 200),
        ("HEAD", "/files/big", None, 200),
        ("PUT", "/upload", CONTENT, 200),
        ("POST", "/upload", pieces(), 200),
        ("OPTIONS", "/upload", None, 200),
        ("DELETE", "/upload", None, 405),
        ("GET", "/stream/3", None, 200),
    ]:
        connection.request(method, path, body, encode_chunked=True)
        answer = connection.getresponse()
        content = answer.read()
        assert (answer.status, connection.sock.getsockname()) == (status, port), method
        assert method not in ("PUT", "POST") or DIGEST.encode() in content
    connection.close()


def test_requests_streams_both_ways(tcp_site):
    requests = pytest.importorskip("requests", reason="requests is not installed")
    with requests.Session() as session:
        assert session.put(url(tcp_site, "/upload"), data=pieces()).json()["sha256"] == DIGEST
        answer = session.get(url(tcp_site, "/files/big"), stream=True)
        assert b"".join(answer.iter_content(10_000)) == CONTENT
        lines = session.get(url(tcp_site, "/stream/1000"), stream=True).iter_lines()
        assert list(lines) == [b"line %d" % n for n in range(1000)]


def test_urllib3_shares_a_pool_among_threads(tcp_site):
    urllib3 = pytest.importorskip("urllib3", reason="urllib3 is not installed")
    shared = urllib3.HTTPConnectionPool(*tcp_site.address[:2], maxsize=4, block=True)
    with shared as pool, ThreadPoolExecutor(8) as crew:
        paths = [f"/stream/{n % 50}" for n in range(200)]
        answers = list(crew.map(lambda path: pool.request("GET", path, retries=False), paths))
        assert {answer.status for answer in answers} == {200}
        assert [len(answer.data.splitlines()) for answer in answers] == [n % 50 for n in range(200)]
        assert pool.num_connections <= 4


def test_httpx_checks_every_byte_with_h11(tcp_site):
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    with httpx.Client(base_url=url(tcp_site, "")) as client:
        assert client.post("/upload", content=pieces()).json()["sha256"] == DIGEST
        assert client.post("/form", files={"file": ("a", CONTENT)}).json() == {"name": "a", "sha256": DIGEST}
        assert client.get("/files/big", headers={"Range": "bytes=0-9"}).content == CONTENT[:10]
        assert client.head("/stream/3").content == b""
        assert client.get("/stream/3").text == "line 0\nline 1\nline 2\n"
        assert client.get("/nowhere").status_code == 404


def test_aiohttp_asks_many_things_at_once(tcp_site):
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    async def ask():
        limit = aiohttp.TCPConnector(limit=8)
        async with aiohttp.ClientSession(url(tcp_site), connector=limit) as session:

            async def upload():
                async with session.put("/upload", data=io.BytesIO(CONTENT), expect100=True) as answer:
                    return (await answer.json())["sha256"]

            async def stream(count):
                async with session.get(f"/stream/{count}") as answer:
                    return len((await answer.read()).splitlines())

            return await asyncio.gather(*[upload() for _ in range(4)], *[stream(n) for n in range(100)])

    assert asyncio.run(ask()) == [DIGEST] * 4 + list(range(100))
