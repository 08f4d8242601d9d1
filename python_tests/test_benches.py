"""What the benchmark says is only as good as its arithmetic: medians, goals, waits, what reaches the documents."""

import json
import sys
from pathlib import Path

import pytest

BENCHES = Path(__file__).resolve().parent.parent / "benches"


@pytest.fixture(autouse=True, scope="module")
def _benches_can_be_imported():
    """The programs in benches/ import each other by bare names, as they do when they are run."""
    names = {path.stem for path in BENCHES.glob("*.py")}
    # Other tests of this process may have an `apps` of their own.
    others = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names}
    sys.path.insert(0, str(BENCHES))
    yield
    sys.path.remove(str(BENCHES))
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]
    sys.modules.update(others)


def taken(cpu, others=0.0, errors=0):
    return {"cpu_us_per_request": cpu, "others_cpus": others, "errors": errors}


def test_a_disturbed_round_does_not_count_beside_enough_quiet_ones():
    from figures import quietest

    rounds = [taken(10), taken(50, others=1.0), taken(11), taken(12)]
    assert [each["cpu_us_per_request"] for each in quietest(rounds, 3)] == [10, 11, 12]


def test_where_the_machine_is_never_quiet_the_least_disturbed_rounds_count():
    from figures import quietest

    rounds = [taken(30, others=0.9), taken(10, others=0.4), taken(20, others=0.5)]
    assert [each["cpu_us_per_request"] for each in quietest(rounds, 2)] == [10, 20]


def test_errors_are_summed_and_all_else_is_a_median():
    from figures import medians

    assert medians([taken(1, errors=2), taken(9), taken(3, errors=1)]) == taken(3, errors=3)


def test_the_spread_is_of_the_middle_half():
    from figures import spread

    rounds = [taken(cpu) for cpu in (1, 10, 10, 10, 100)]
    assert spread(rounds, "cpu_us_per_request") == 0
    assert spread([taken(8), taken(12)], "cpu_us_per_request") == pytest.approx(0.2)
    assert spread([taken(8)], "cpu_us_per_request") == 0


def medians_of(**cpu):
    return {name: {"cpu_us_per_request": value, "requests_per_second": 1000 / value} for name, value in cpu.items()}


@pytest.mark.parametrize(("bound", "met"), [(0.5, True), (0.49, False)])
def test_a_goal_is_a_ratio_to_the_best_of_those_it_names(bound, met):
    from goals import Goal, verdict

    judged = verdict(
        Goal("cpu_us_per_request", bound, ("granian", "bjoern")), medians_of(chaussette=10, granian=40, bjoern=20)
    )
    assert (judged.value, judged.met) == (0.5, met)


def test_for_what_should_be_large_the_best_is_the_largest():
    from goals import Goal, verdict

    goal = Goal("requests_per_second", 1.9, ("granian", "bjoern"), at_least=True)
    judged = verdict(goal, medians_of(chaussette=10, granian=40, bjoern=20))
    assert (judged.value, judged.met) == (2.0, True)


def test_what_was_not_measured_is_neither_met_nor_missed():
    from goals import Goal, verdict

    alone = verdict(Goal("cpu_us_per_request", 1.0, ("granian",)), medians_of(chaussette=10))
    other = verdict(Goal("cpu_us_per_request", 1.0, ours="free-threaded"), medians_of(chaussette=10))
    assert [(each.value, each.met) for each in (alone, other)] == [(None, None), (None, None)]


def test_a_goal_without_others_is_the_figure_itself():
    from goals import Goal, verdict

    judged = verdict(Goal("wakeups_per_second", 0), {"chaussette": {"wakeups_per_second": 0.0}})
    assert (judged.value, judged.met) == (0, True)


def test_each_goal_names_contestants_and_figures_of_its_case():
    from cases import cases
    from figures import WORDS

    for cores in (1, 2, 8):
        for name, case in cases(cores).items():
            for goal in case.goals:
                assert {goal.ours, *goal.against} <= set(case.contestants), name
            assert {*case.figures, *(goal.figure for goal in case.goals)} <= set(WORDS), name


MS = 1_000_000


@pytest.mark.parametrize(
    ("requests", "share"),
    [
        # One after another on one worker of two: the second waits 9 ms beyond the hand-over, of 20.
        ([("a", 0, 0, 10), ("a", 0, 10, 20)], 9 / 20),
        # The same wait while both workers are busy is nobody's fault.
        ([("a", 0, 0, 10), ("b", 0, 0, 10), ("a", 0, 10, 20)], 0),
        # A hand-over is not a wait.
        ([("a", 0, 1, 10), ("b", 0, 1, 10)], 0),
        # Only while one of them is idle: from 5 ms on.
        ([("a", 0, 0, 5), ("b", 0, 0, 10), ("b", 0, 10, 20)], 5 / 20),
    ],
)
def test_idleness_beside_waiting_is_time_in_which_both_are_true(requests, share):
    from skew import Served, idle_beside_waiting

    served = [Served(worker, sent * MS, entered * MS, left * MS) for worker, sent, entered, left in requests]
    assert idle_beside_waiting(served, workers=2, handover=MS) == pytest.approx(share)


def test_a_regression_is_what_exceeds_the_tolerance_of_its_case():
    import callgrind
    from instructions import Figures, table, tolerance

    counted = {
        case: Figures(instructions, dict.fromkeys(callgrind.GROUPS, 0.0), 0.0)
        for case, instructions in {
            "hello/one": 1040.0,
            "hello/wide": 1040.0,
            "echo/wide": 1020.0,
            "new/wide": 9.0,
        }.items()
    }
    baseline = {case: {"instructions": 1000.0} for case in ("hello/one", "hello/wide", "echo/wide")}
    lines, worse = table(counted, baseline, tolerance)
    assert worse == ["hello/wide"]
    assert lines.count("REGRESSION") == 1


def content(case="hello"):
    return {
        "case": case,
        "date": "2026-11-24T20:00:00+00:00",
        "machine": {"cpus_usable": 2, "cpu": "C", "kernel": "6", "python": "3.13.0", "wrk": "wrk 4", "oha": "oha 1"},
        "versions": {"granian": "2"},
        "figures": ["cpu_us_per_request"],
        "medians": medians_of(chaussette=10, granian=20),
        "spread": {"chaussette": 0, "granian": 0.3},
        "rounds_used": {"chaussette": 3, "granian": 3},
        "noisy": {"granian": "rounds differ by 30%"},
        "goals": [{"goal": "CPU <= 0.4 x granian", "value": 0.5, "met": False}],
    }


def test_figures_reach_the_documents_between_their_markers_only():
    from document import filled

    before = "A\n<!-- bench:goals -->\nold\n<!-- /bench -->\nB <!-- bench:none -->\n"
    after = filled(before, {"hello1": content()})
    assert after.startswith("A\n<!-- bench:goals -->\n| case |")
    assert "| hello1 | CPU <= 0.4 x granian | 0.50 | **NOT MET, noisy** |" in after
    assert after.endswith("\n<!-- /bench -->\nB <!-- bench:none -->\n")
    assert "old" not in after
    assert filled(after, {"hello1": content()}) == after


def test_the_distance_to_the_limit_is_told_in_microseconds_and_times():
    from document import limit

    hello = content() | {"medians": medians_of(chaussette=12, static=8)}
    assert limit({"hello1": hello}).endswith("4.0 µs above the limit, 1.50 times it.")
    assert limit({"hello1": content()}) == limit({}) == "Not measured."


def test_a_marker_that_nobody_fills_is_an_error():
    from document import filled

    with pytest.raises(SystemExit, match="bench:nothing"):
        filled("<!-- bench:nothing -->\n<!-- /bench -->", {"hello1": content()})


def test_the_documents_have_markers_and_the_committed_results_can_be_told():
    import document

    marked = [path for path in document.DOCUMENTS if "<!-- bench:" in path.read_text()]
    assert marked == list(document.DOCUMENTS)
    results = document.read(BENCHES / "results")
    assert results
    for path in marked:
        assert document.filled(path.read_text(), results)


def test_a_case_is_told_with_its_noise():
    import document
    import report

    told = json.loads(json.dumps(content()))
    assert "granian (noisy)" in document.tables({"hello1": told})
    assert report.verdicts(told) == [["CPU <= 0.4 x granian", "0.50", "NOT MET, noisy"]]
