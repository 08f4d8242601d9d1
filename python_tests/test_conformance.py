"""RFC 9112 and RFC 9110, case by case (conformance/): on tcp and unix sockets, with one and with four interpreters."""

import pytest
from conformance import CASES
from support.conformance import Seen, run

SETTINGS = [(transport, interpreters) for interpreters in (1, 4) for transport in ("tcp", "unix")]

#: Bytes up to which a case is sent byte by byte, too.
SHORT = 1500

#: What the servers allow beyond their defaults: conformance/content_length.py has bodies around it.
OPTIONS = ("--max-body", "2000000")


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda setting: "-".join(map(str, setting)))
def site(request, module_server, tmp_path_factory):
    """A server, and what reached its application."""
    transport, interpreters = request.param
    path = tmp_path_factory.mktemp("seen") / "seen"
    server = module_server(
        "apps.echoing:app", "--interpreters", interpreters, *OPTIONS, listen=transport, env={"SEEN": str(path)}
    )
    seen = Seen(path)
    yield server, seen
    seen.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_comes_back_is_what_the_rfc_says(site, case, record_property):
    record_property("conformance", case.name)
    run(case, *site)


@pytest.fixture(scope="module")
def one_site(module_server, tmp_path_factory):
    path = tmp_path_factory.mktemp("seen") / "seen"
    seen = Seen(path)
    yield module_server("apps.echoing:app", *OPTIONS, env={"SEEN": str(path)}), seen
    seen.close()


def length(case):
    return sum(len(step) for step in case.sends if isinstance(step, bytes)) + len(case.follow)


@pytest.mark.parametrize("case", [case for case in CASES if length(case) <= SHORT], ids=lambda case: case.name)
def test_nothing_changes_when_each_byte_comes_by_itself(one_site, case, record_property):
    record_property("dripped", case.name)
    run(case, *one_site, dripping=True)
