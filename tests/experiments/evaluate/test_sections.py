"""Tables of scorecards say all that is known."""

from experiments.evaluate.metrics import Absent, Metric, known
from experiments.evaluate.rules import AspectChecks, Check, Verdict
from experiments.evaluate.scorecard import Difference, Scorecard
from experiments.evaluate.sections import change_table, metrics_table, scores
from probes.stats.intervals import Estimate, wilson
from viz.page.wording import number


def test_the_table_shows_interval_n_null_bound_and_why_there_is_no_number():
    kl = Metric("kl", "harmlessness", wilson(5, 10), wilson(0, 10), "low", "drift")
    check = Check("kl", "at most 0.1", "failed", 0.8, "")
    verdict = Verdict("p", "profile", "", (AspectChecks("integrity", "", (check,)),), ())
    card = Scorecard("m", "access", 10, {}, (kl,), (Absent("hollow", "no base"),), (verdict,))
    rows = {row[1].split(":")[0]: row for row in metrics_table(card, verdict).rows}
    assert rows["kl"][2] == "0.5 [0.237, 0.763]"
    assert rows["kl"][3:] == ("10", "0 [0, 0.278]", "at most 0.1", "✗ not cleared")
    assert rows["hollow"][1] == f"hollow: {known('hollow').about} (no base)"
    assert rows["hollow"][2:] == ("", "", "", "", "– does not apply")
    assert number(Estimate(60, 60, 60, 1)) == "60"


def test_a_metric_without_a_threshold_says_so():
    kl = Metric("kl", "harmlessness", wilson(5, 10), None, "low", "")
    verdict = Verdict("p", "profile", "", (), ())
    (row,) = metrics_table(Scorecard("m", "access", 10, {}, (kl,), (), (verdict,)), verdict).rows
    assert row[1:] == ("kl", "0.5 [0.237, 0.763]", "10", "", "", "no threshold")


def test_a_change_stands_beside_both_values():
    difference = Difference("false_activation", wilson(5, 10), None, None, "measured in one only")
    table = change_table([difference], ("a", "b"))
    assert table.rows[0] == (
        "false activation",
        "0.5 [0.237, 0.763]",
        "",
        "",
        "measured in one only",
    )


def test_thresholds_cleared_are_counted_by_property():
    states = {"success": "passed", "recall": "failed", "place": "left out"}
    checks = tuple(Check(name, "at least 0.9", state, 1.0, "") for name, state in states.items())
    counts = {c.name: c for c in scores(Verdict("p", "access", "", (), checks))}
    assert (counts["effectiveness"].passed, counts["effectiveness"].of) == (1, 2)
    assert counts["robustness"].of == 0
