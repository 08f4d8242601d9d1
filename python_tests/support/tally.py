"""What the suite's end says of the conformance and abuse cases: how many ran, where, and how they ended.

Reads the properties that test_conformance.py and test_abuse.py record with their reports. Knows no case.
"""

#: What each kind of run is called, and where the closing line says that it ran; {} is interpreters, or threads.
KINDS = {
    "conformance": ("conformance", " on tcp and unix, with 1 and 4 {}"),
    "dripped": ("conformance, byte by byte", " on tcp"),
    "abuse": ("abuse", ""),
}


def lines(reports, unit):
    """A line for each kind that ran. `unit`: what the servers have one or four of."""
    for kind, (title, where) in KINDS.items():
        ended = [(dict(report.user_properties)[kind], report.outcome) for report in _of(reports, kind)]
        if not ended:
            continue
        cases = len({name for name, _ in ended})
        failed = sum(outcome != "passed" for _, outcome in ended)
        end = f"{failed:,} FAILED" if failed else "all passed"
        yield f"{title}: {cases:,} cases{where.format(unit)}: {len(ended):,} runs, {end}"


def _of(reports, kind):
    """Reports of this kind: of a test's own run, or of a fixture that failed before it."""
    return [
        report
        for report in reports
        # A file that could not be collected has a report without properties.
        if kind in dict(getattr(report, "user_properties", ()))
        and (report.when == "call" or report.outcome == "failed")
    ]
