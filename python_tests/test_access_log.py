"""The access log of a real server: which lines it has, in which form, and that the files can be rotated."""

import gzip
import json
import os
import re
import signal
import subprocess
import time

import pytest
from support.process import HERE
from support.waiting import soon

ROOT = HERE.parent

#: Apache's log format "combined", as programs that read such logs take it.
COMBINED = re.compile(
    r'(\S+) - - \[(\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)'
    r' "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"'
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "access.log"


def lines(path, count):
    """The lines of the log once there are so many."""
    return soon(
        lambda: path.exists() and len(path.read_text().splitlines()) >= count and path.read_text().splitlines(),
        what=lambda: f"{count} lines in {path.read_text() if path.exists() else 'no file'}",
    )


def test_without_the_option_there_is_no_log_and_no_thread(server):
    site = server("apps.hello:app")
    assert site.get().status == 200
    assert site.out == ""


def test_the_default_is_apaches_combined_format(server, path):
    site = server("apps.hello:app", "--access-log", path)
    site.request("GET", "/a?b=c", [("Referer", "http://x/"), ("User-Agent", "test/1")])
    site.raw(b"nonsense\r\n\r\n")
    first, second = lines(path, 2)
    match = COMBINED.fullmatch(first)
    assert match.groups()[2:] == ("GET /a?b=c HTTP/1.1", "200", "13", "http://x/", "test/1")
    assert match[1] == "127.0.0.1"
    match = COMBINED.fullmatch(second)
    assert (match[3], match[4], match[6]) == ("nonsense", "400", "-")


def test_the_common_format_is_shorter_and_the_timed_one_longer(server, tmp_path):
    common, timed = tmp_path / "common", tmp_path / "timed"
    site = server("apps.hello:app", "--access-log", common, "--access-log-format", "common")
    site.get()
    assert lines(common, 1)[0].endswith('"GET / HTTP/1.1" 200 13')
    site = server("apps.hello:app", "--access-log", timed, "--access-log-format", "timed")
    site.get()
    match = re.fullmatch(COMBINED.pattern + r" (\d+) (\d+) (\d+)", lines(timed, 1)[0])
    assert int(match[8]) > int(match[9]) >= 0
    assert match[10] == "0"


def test_a_format_of_directives_is_written_as_apache_would(server, path):
    form = '%h %m %U%q %H %>s %b %v:%p %k "%{X-Request-Id}i" "%{Content-Type}o" %{sid}C %404s %{interpreter}x'
    site = server("apps.anywhere:app", "--access-log", path, "--access-log-format", form)
    with site.connect() as connection:
        connection.request("GET", "/hello?a=b", [("X-Request-Id", 'x"y'), ("Cookie", "a=1; sid=7")])
        connection.get("/nosuch")
    first, second = lines(path, 2)
    where = f"127.0.0.1:{site.address[1]}"
    assert first == rf'127.0.0.1 GET /hello?a=b HTTP/1.1 200 11 {where} 0 "x\"y" "text/plain" 7 - 0'
    assert re.fullmatch(rf'127.0.0.1 GET /nosuch HTTP/1.1 (\d+) \d+ {where} 1 "-" ".*" - (404|-) 0', second)


def test_times_and_the_process_are_directives(server, path):
    form = r"%P %{pid}P %D %T %{ms}T %{us}T %{queue}x %{sec}t %{end:%Y-%m-%dT%H:%M:%S}t\t%%"
    site = server("apps.hello:app", "--access-log", path, "--access-log-format", form)
    before = int(time.time())
    site.get()
    (line,) = lines(path, 1)
    numbers = re.fullmatch(r"(\d+) \1 (\d+) (\d+) (\d+) \2 (\d+) (\d+) \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\t%", line)
    process, micros, whole, millis, queued, began = map(int, numbers.groups())
    assert process == site.pid
    assert (whole, millis) == (micros // 1_000_000, micros // 1_000)
    assert queued <= micros
    assert before - 1 <= began <= before + 30


def test_gunicorns_own_format_gives_gunicorns_line(server, tmp_path):
    """Its default, which people copy and extend. The time and the port of the client differ."""
    gunicorn = pytest.importorskip("gunicorn.config", reason="gunicorn is not installed")
    form = gunicorn.AccessLogFormat.default + ' %(M)s %(L)s %(p)s "%({x-a}i)s" %(q)s'
    path = tmp_path / "ours"
    site = server("apps.hello:app", "--access-log", path, "--access-log-format", form)
    site.request("GET", "/a?b=c", [("User-Agent", "test/1"), ("X-A", "given")])
    (line,) = lines(path, 1)
    match = re.fullmatch(COMBINED.pattern + r' (\d+) (\d+\.\d{6}) <(\d+)> "given" b=c', line)
    assert match.groups()[2:7] == ("GET /a?b=c HTTP/1.1", "200", "13", "-", "test/1")
    assert int(match[8]) == int(float(match[9]) * 1000)
    assert int(match[10]) == site.pid


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("clf", "use one of common, combined, timed, json, or directives"),
        ("%h %X", "%X: not a directive that is known here"),
        ("%{PATH}e", "%{PATH}e: variables of the environment are not logged"),
        ("%(Z)s", "%(Z)s: not a name that gunicorn has"),
        ("%{nosuch}x", "%{nosuch}x: not a directive that is known here"),
        ("%h %", "the directive has no end"),
    ],
)
def test_a_directive_that_is_not_known_is_status_2_and_named(command, form, said):
    done = command("--port", "0", "--access-log", "-", "--access-log-format", form)
    assert done.returncode == 2
    assert f"--access-log-format {form}: " in done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_each_directive_of_the_documentation_is_understood(command):
    """docs/operations.md has a table of them; a port that cannot be had ends the start behind the command line."""
    text = (ROOT / "docs" / "operations.md").read_text()
    table = text[text.index("### Directives") : text.index("gunicorn's way to write them")]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    directives = [name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell) if name.startswith("%")]
    assert len(directives) > 30
    form = " ".join(directives).replace("NAME", "host").replace("FORM", "%H")
    done = command("--fd", "77", "--access-log", "-", "--access-log-format", form)
    assert done.returncode == 5, done.stderr


def test_json_tells_the_time_in_the_queue_and_the_interpreter(server, gate, path):
    here = gate()
    site = server("apps.waiting:app", "--access-log", path, "--access-log-format", "json")
    with site.connect() as held, site.connect() as behind:
        held.ask("GET", f"/wait?{here.query}")
        here.wait()
        behind.ask("GET", "/mark")
        # It has reached the queue: nothing of it is left in the kernel.
        soon(lambda: site.has_connection_from(behind.port), what="the second connection")
        here.open()
        assert (held.response().status, behind.response().status) == (200, 200)
    first, second = sorted(map(json.loads, lines(path, 2)), key=lambda line: line["target"], reverse=True)
    assert (first["status"], first["interpreter"], first["complete"]) == (200, 0, True)
    assert second["target"] == "/mark"
    assert 0 <= second["queue_seconds"] <= second["duration_seconds"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", first["time"])


def test_standard_output_is_a_dash(server):
    site = server("apps.hello:app", "--access-log", "-")
    site.get()
    soon(lambda: COMBINED.fullmatch(site.out.strip()), what=lambda: f"a line in {site.out!r}")


def test_each_failure_is_a_line(server, gate, path):
    here = gate()
    site = server("apps.waiting:app", "--queue", "1", "--access-log", path, "--access-log-format", "json")
    with site.connect() as held, site.connect() as waiting:
        held.ask("GET", f"/wait?{here.query}")
        here.wait()
        waiting.ask("GET", "/mark/waits")
        refused = soon(lambda: (answer := site.get("/mark/refused")).status == 503 and answer, what="a full queue")
        assert refused["Retry-After"] == "1"
        here.open()
        held.response()
        waiting.response()
    site.get("/no_such_function")
    told = [(line["status"], line["target"], line["interpreter"]) for line in map(json.loads, lines(path, 4))]
    assert (503, "/mark/refused", None) in told
    assert (500, "/no_such_function", 0) in told


def test_the_client_is_whom_a_trusted_proxy_names(server, path):
    site = server("apps.hello:app", "--access-log", path, "--forwarded-allow-ips", "127.0.0.1")
    site.request("GET", "/", [("X-Forwarded-For", "192.0.2.7")])
    assert lines(path, 1)[0].startswith("192.0.2.7 - - [")


def test_a_client_cannot_write_lines_of_its_own(server, path):
    site = server("apps.hello:app", "--access-log", path)
    sly = '1.2.3.4 - - [24/Nov/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"'
    site.raw(b'GET /" 200 HTTP/1.1\r\nHost: x\r\nUser-Agent: \\" \x1b[2J\r\n\r\n')
    site.request("GET", '/"\\', [("User-Agent", f'"\xe9\t{sly}')])
    for line in lines(path, 2):
        assert COMBINED.fullmatch(line)
        assert line.isascii()
        assert line.isprintable()


def test_usr1_reopens_both_logs(server, tmp_path, path):
    log = tmp_path / "server.log"
    site = server("apps.hello:app", "--access-log", path, "--log-output", log, wait=False)
    soon(lambda: log.exists() and "] ready: " in log.read_text(), 30, what="the ready line")
    site.get("/first")
    lines(path, 1)
    path.rename(tmp_path / "access.old")
    log.rename(tmp_path / "server.old")
    site.signal(signal.SIGUSR1)
    soon(lambda: log.exists() and "log files reopened" in log.read_text(), what="a new log")
    soon(path.exists, what="a new access log")
    site.get("/second")
    assert "GET /second " in lines(path, 1)[0]
    assert "/second" not in (tmp_path / "access.old").read_text()
    assert site.stop() == 0
    assert "stopped: " in log.read_text()
    assert "reopened" not in (tmp_path / "server.old").read_text()


def test_the_last_lines_are_there_at_the_end(server, gate, path):
    here = gate()
    site = server("apps.waiting:app", "--access-log", path)
    with site.connect() as held:
        held.ask("GET", f"/wait?{here.query}")
        here.wait()
        site.signal(signal.SIGTERM)
        site.wait_for_log("stopping: ")
        here.open()
        assert held.response().status == 200
    assert site.wait() == 0
    assert COMBINED.fullmatch(path.read_text().strip())


def test_a_request_that_is_stuck_at_the_end_is_there_too(server, gate, path, isolation):
    here = gate()
    # A worker process is killed, and nothing is left.
    status = 0 if isolation == "process" else 70
    site = server(
        "apps.waiting:app", "--graceful-timeout", "1", "--access-log", path, "--access-log-format", "json"
    ).expect(status)
    with site.connect() as held:
        held.ask("GET", f"/wait?{here.query}")
        here.wait()
        assert site.stop() == status
    (line,) = map(json.loads, path.read_text().splitlines())
    assert (line["status"], line["complete"]) == (499, False)


def test_a_log_that_cannot_be_opened_is_said_before_anything_is_started(command, tmp_path):
    asked = command("--port", "0", "--access-log", tmp_path / "nowhere" / "log")
    assert asked.returncode == 2
    assert "error: --access-log " in asked.stderr
    assert "cannot open for appending: No such file or directory" in asked.stderr


def test_the_example_for_logrotate_rotates_both_files_and_loses_nothing(server, tool, tmp_path, path):
    """The real logrotate, with the example's paths and its way to send the signal made this test's."""
    logrotate, log = tool("logrotate"), tmp_path / "server.log"
    site = server("apps.hello:app", "--access-log", path, "--log-output", log, wait=False)
    soon(lambda: log.exists() and "] ready: " in log.read_text(), 30, what="the ready line")
    text = (ROOT / "examples" / "logrotate" / "chaussette").read_text()
    text = text.replace("/var/log/mysite/server.log", str(log)).replace("/var/log/mysite/access.log", str(path))
    assert "systemctl kill --kill-whom=main --signal=USR1 chaussette.service" in text
    text = re.sub(r"systemctl kill .*", f"kill -USR1 {site.pid}", text)
    config = tmp_path / "logrotate.conf"
    config.write_text(text)
    config.chmod(0o644)
    for number in range(3):
        for _ in range(10):
            assert site.get(f"/{number}").status == 200
        lines(path, 10)
        command = [logrotate, "--force", "--state", str(tmp_path / "state"), str(config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr == ""
        soon(lambda: log.exists() and "log files reopened" in log.read_text(), what="a new log")
    assert site.stop() == 0
    rotated = [name for name in os.listdir(tmp_path) if name.startswith("access.log")]
    assert sorted(rotated) == ["access.log", "access.log.1", "access.log.2.gz", "access.log.3.gz"]
    told = 0
    for name in rotated:
        data = (tmp_path / name).read_bytes()
        told += (gzip.decompress(data) if name.endswith(".gz") else data).count(b"\n")
    assert told == 30
