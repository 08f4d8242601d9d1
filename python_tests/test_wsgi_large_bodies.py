"""One part of 10 MB: whole for its client, in bounded memory for a slow one; and write() for nobody."""

import pytest
from apps.large import LARGE


@pytest.fixture(scope="module")
def site(module_server):
    return module_server("apps.large:app", "--threads", 8)


@pytest.mark.parametrize("path", ["/list", "/tuple"])
def test_one_large_part_arrives_whole_with_its_length(site, path):
    answer = site.get(path)
    assert answer["Content-Length"] == str(len(LARGE))
    assert answer.body == LARGE


def test_several_large_parts_arrive_in_order(site):
    assert site.get("/parts").body == LARGE * 2


def test_a_client_that_reads_slowly_costs_a_bounded_part_of_a_large_body(site):
    site.get("/list")
    before = site.status_kib("VmRSS")
    readers = [site.connect() for _ in range(8)]
    for reader in readers:
        reader.ask("GET", "/list")
        assert reader.head().status == 200
    # Each of them could hold 10 MB.
    assert site.status_kib("VmRSS") - before < 16 * 1024
    for reader in readers:
        assert reader.exactly(len(LARGE)) == LARGE


def test_write_to_a_response_without_a_body_is_no_error(site):
    mark = site.mark()
    with site.connect() as connection:
        for _ in range(2):
            assert connection.request("HEAD", "/written").status == 200
        assert connection.get("/written").body == b"x" * 2_000_000 + b"end"
    assert "raised" not in site.log[mark:]
