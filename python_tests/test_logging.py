"""The log: chaussette 1.3's lines, which Circus users grep, and the new last one."""

import os
import re
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from support.process import HERE, command_line
from support.sockets import listening
from support.waiting import soon
from support.wire import Connection

LINE = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[%d\] \[%s\] %s$"


def lines(site):
    return site.log.splitlines()


def test_a_start_says_four_lines_in_their_order(server):
    site = server("apps.hello:app", "--interpreters", "2")
    expected = [
        r"Application is <function app at 0x[0-9a-f]+>",
        rf"Serving on fd://{site.fd}",
        r"Using .* as a backend",
        r"ready: .* in \d+\.\d+ s",
    ]
    informed = [line for line in lines(site) if "[INFO]" in line]
    assert len(informed) == 4, site.log
    for line, text in zip(informed, expected, strict=True):
        assert re.match(LINE % (site.pid, "INFO", text), line), line


@pytest.mark.isolation("own-gil", reason="the line names it")
@pytest.mark.parametrize(
    ("options", "using", "ready"),
    [
        (["--interpreters", "2"], "Using 2 own-GIL interpreters x 1 thread as a backend", "ready: 2 interpreters in "),
        (["--interpreters", "1"], "Using 1 own-GIL interpreter x 1 thread as a backend", "ready: 1 interpreter in "),
        (
            ["--interpreters", "3", "--threads", "2"],
            "Using 3 own-GIL interpreters x 2 threads as a backend",
            "ready: 3 interpreters in ",
        ),
    ],
)
def test_the_backend_and_the_ready_line_say_how_many(server, options, using, ready):
    site = server("apps.hello:app", *options)
    assert re.search(re.escape(using) + "$", site.log, re.MULTILINE)
    assert ready in lines(site)[-1]


def test_an_end_says_stopping_and_stopped(server):
    site = server("apps.hello:app", "--interpreters", "2")
    mark = site.mark()
    assert site.stop() == 0
    said = site.log[mark:].splitlines()
    assert re.search(r"\[INFO\] stopping", said[0])
    assert re.search(r"\[INFO\] stopped", said[-1])


@pytest.mark.parametrize("level", ["critical", "ERROR", "warning", "Info", "DEBUG"])
def test_a_level_hides_what_is_below_it(server, level):
    site = server("apps.misbehaving:app", "--log-level", level, wait=False)
    assert site.get("/").status == 200
    assert site.get("/raises").status == 500
    if level != "critical":
        site.wait_for_log(r"\[ERROR\] interpreter 0: GET /raises")
    assert site.stop() == 0
    assert ("[INFO]" in site.log) == (level in ("Info", "DEBUG"))
    assert ("[ERROR]" in site.log) == (level != "critical")


def test_the_log_goes_to_a_file_and_is_added_to_it(server, tmp_path):
    file = tmp_path / "the.log"
    file.write_text("an earlier line\n")
    site = server("apps.misbehaving:app", "--log-output", file, wait=False)
    assert site.get("/raises").status == 500
    assert site.stop() == 0
    text = file.read_text()
    assert text.startswith("an earlier line\n")
    for expected in ("Application is", "ready: 1", "application raised", "ValueError: raised on purpose", "stopped"):
        assert expected in text, expected
    assert "INFO" not in site.log


def test_a_log_file_that_cannot_be_opened_is_told(command):
    done = command("--port", "0", "--log-output", "/not/there/the.log")
    assert done.returncode in (1, 2), done.stderr
    assert "/not/there/the.log" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_reader_of_the_log_that_goes_away_does_not_end_the_server(server):
    """Circus reads stdout and stderr through pipes, and a restarted circusd leaves them broken."""
    reading, writing = os.pipe()
    with listening("tcp") as made:
        fd = made.fileno()
        process = subprocess.Popen(
            [*command_line(), "--fd", str(fd), "--interpreters", "1", "apps.misbehaving:app"],
            stdout=writing, stderr=writing, stdin=subprocess.DEVNULL, pass_fds=[fd], env={}, cwd=HERE,
        )  # fmt: skip
        os.close(writing)
        try:
            seen = b""

            def ready():
                nonlocal seen
                seen += os.read(reading, 65536)
                return b"ready: " in seen

            soon(ready)
            os.close(reading)
            for path, status in [("/raises", 500), ("/", 200)] * 5:
                with Connection(made.getsockname()) as connection:
                    assert connection.get(path).status == status
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


def test_what_the_application_logs_by_logging_reaches_stderr(server, tmp_path):
    (tmp_path / "logging_app.py").write_text(
        "import logging\n"
        "def app(environ, start_response):\n"
        "    logging.getLogger('some.logger').warning('a warning of the application')\n"
        "    start_response('200 OK', [])\n    return [b'logged']\n"
    )
    site = server("logging_app:app", cwd=tmp_path)
    assert site.get().text == "logged"
    site.wait_for_log("a warning of the application")


def test_a_request_target_cannot_forge_a_line_of_the_log(server):
    site = server("apps.misbehaving:app")
    mark = site.mark()
    target = "/raises?%0A2026-01-01 [1] [ERROR] forged".replace(" ", "%20")
    assert site.get(target).status == 500
    assert site.request("GET", "/raises\x85forged").status in (400, 500)
    site.wait_for_log(r"\[ERROR\] interpreter 0: GET /raises", mark)
    assert not re.search(r"^2026-01-01 \[1\]", site.log[mark:], re.MULTILINE)
    assert "\x85" not in site.log[mark:]


def test_an_application_that_changes_tz_does_not_move_the_log(server):
    """Django's TIME_ZONE sets TZ for the whole process."""
    running = server("apps.moving_time:app", env={"TZ": "UTC"})
    mark = running.mark()
    assert running.get("/raise").status == 500
    line = running.wait_for_log(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) .*application raised", mark)
    logged = datetime.strptime(line[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - logged) < timedelta(hours=1)
