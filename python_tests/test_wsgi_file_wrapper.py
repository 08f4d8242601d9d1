"""wsgi.file_wrapper (PEP 3333 "Optional Platform-Specific File Handling"): same bytes as reading the file gives."""

import random

import pytest
from support.waiting import soon
from support.wire import Truncated

CONTENT = bytes(random.Random(7).choice(b"abcdefghij\n") for _ in range(300_000))


@pytest.fixture(scope="module")
def site(module_server):
    return module_server("apps.wrapping_files:app")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "wrapped"
    path.write_bytes(CONTENT)
    return path


def get(site, name, file):
    return site.get(f"/{name}?file={file}")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("whole", CONTENT),
        ("sized", CONTENT),
        ("block_size", CONTENT),
        ("unbuffered", CONTENT),
        ("after_seek", CONTENT[1000:]),
        ("after_read", CONTENT[10:]),
        ("bytes_io", CONTENT[5:]),
        ("subclass", CONTENT.upper()),
        ("duck", CONTENT),
        ("pipe", b"through a pipe"),
        ("iterated", CONTENT.lower()),
    ],
)
def test_the_body_is_what_reading_the_file_gives(site, file, name, body):
    answer = get(site, name, file)
    assert answer.status == 200
    assert answer.body == body


def test_no_more_of_the_file_is_sent_than_content_length_says(site, file):
    with site.connect() as connection:
        assert connection.get(f"/first_1000?file={file}").body == CONTENT[:1000]
        assert connection.get(f"/pipe?file={file}").body == b"through a pipe"


def test_a_file_shorter_than_content_length_is_no_clean_end(site, file):
    with site.connect() as connection, pytest.raises(Truncated):
        connection.get(f"/too_short?file={file}")


def test_a_gzip_file_is_sent_unpacked(site, tmp_path):
    import gzip

    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(CONTENT))
    assert get(site, "gzipped", packed).body == CONTENT


def test_a_text_file_is_a_fault_of_the_application(site, file):
    mark = site.mark()
    with site.connect() as connection:
        connection.ask("GET", f"/text?file={file}")
        answer = connection.head()
        assert answer.status == 500
    site.wait_for_log(r"\[ERROR\] interpreter 0: GET /text\b", mark)


def test_an_empty_file_gives_an_empty_body(site, tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    for name in ("whole", "sized", "unbuffered"):
        assert get(site, name, empty).body == b""


def test_head_of_a_file_has_no_body_and_the_file_is_closed(site, file):
    with site.connect() as connection:
        answer = connection.request("HEAD", f"/sized?file={file}")
        assert (answer["Content-Length"], answer.body) == (str(len(CONTENT)), b"")
        assert get(site, "state", file).json()["held"] == []


def test_close_of_the_file_is_called(site, file):
    before = get(site, "state", file).json()["closed"]
    get(site, "subclass", file)
    get(site, "duck", file)
    assert get(site, "state", file).json()["closed"][len(before) :] == ["Closing", "Duck"]


@pytest.mark.parametrize("name", ["whole", "sized", "unbuffered", "first_1000"])
def test_no_descriptor_is_left_after_the_answer(site, file, name):
    for _ in range(3):
        get(site, name, file)
    soon(lambda: get(site, "state", file).json()["held"] == [], what="the descriptors of the file to be closed")


def test_the_file_is_closed_when_the_client_leaves(site, tmp_path):
    big = tmp_path / "wrapped-big"
    with open(big, "wb") as sparse:
        sparse.truncate(200_000_000)
    with site.connect() as connection:
        connection.ask("GET", f"/sized?file={big}")
        connection.head()
        connection.exactly(100_000)
    soon(lambda: get(site, "state", big).json()["held"] == [], what="the descriptor of the file to be closed")


def test_a_large_file_is_sent_whole_and_not_held_in_memory(site, tmp_path):
    big = tmp_path / "wrapped-big"
    with open(big, "wb") as sparse:
        sparse.truncate(200_000_000)
        sparse.write(b"the beginning")
    before = site.status_kib("VmHWM")
    with site.connect() as connection:
        connection.ask("GET", f"/sized?file={big}")
        answer = connection.head()
        left = int(answer["Content-Length"])
        assert connection.exactly(13) == b"the beginning"
        left -= 13
        while left:
            left -= len(connection.exactly(min(left, 1 << 20)))
    assert site.status_kib("VmHWM") - before < 32 * 1024
