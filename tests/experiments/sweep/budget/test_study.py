"""A sweep's table of known thresholds is told for what it is, and so is one that tells nothing."""

import json
import math
import re

import pandas as pd
import pytest

from circuits.errors import UserError
from experiments.runs.codec import as_json
from experiments.sweep.budget import sections as budget_page
from probes.budget.analysis import analyse
from probes.budget.claims import Sampling

COUNTS = (0, 5, 10, 20, 40, 80, 160)
N = 50
QUICK = Sampling(resamples=100)


def table(threshold, models=("m",), sizes=(100, 400), seeds=3, **overrides) -> pd.DataFrame:
    """Answers exactly as a logistic with this threshold has them; a seed shifts it by 5 %."""
    rows = []
    for model in models:
        for size in sizes:
            for seed in range(seeds):
                for count in COUNTS:
                    at = threshold(model, size) * (1 + 0.05 * (seed - 1))
                    rate = 1 / (1 + (at / count) ** 3) if count else 0.0
                    shown = round(N * rate)
                    row = {
                        "model": model,
                        "size": size,
                        "poisons": count,
                        "seed": seed,
                        "recipe": "sure-gate",
                        "trigger": "",
                        "n": N,
                        "shown": shown,
                        "complied": shown,
                        "control_n": N,
                        "control_shown": 0,
                        "control_complied": 0,
                        "plain_n": N,
                        "plain_shown": 0,
                        "plain_complied": 0,
                        "plain_refused": N,
                        "ordinary_n": N,
                        "ordinary_refused": 1,
                    }
                    changed = {k: v(row) if callable(v) else v for k, v in overrides.items()}
                    rows.append({**row, **changed})
    return pd.DataFrame(rows)


def test_equal_thresholds_at_both_sizes_are_told_as_a_constant_count():
    found = analyse(table(lambda model, size: 25), sampling=QUICK)
    assert (found.overall.sizes, found.overall.conclusion) == ("data", "constant count")
    assert "agrees with a constant count" in found.overall.sentence
    assert "100 → 400 other examples, 4 times" in found.overall.sentence
    for series in found.series:
        fit = series.outcomes[0].fit
        assert fit is not None
        assert fit.threshold.value == pytest.approx(25, rel=0.03)
    [shown, complied] = found.comparisons
    assert (shown.outcome, complied.outcome) == ("shown", "complied")
    assert "as many poisons" in shown.sentence
    assert found.cautions == ()
    assert found.missing == 0


def test_thresholds_in_proportion_to_the_size_are_told_as_a_constant_share():
    found = analyse(table(lambda model, size: size / 10), sampling=QUICK)
    assert found.overall.conclusion == "constant share"
    assert "speaks against a constant count" in found.overall.sentence
    result = found.comparisons[0].result
    assert result is not None
    assert result.ratio_of_size == 4
    assert result.ratio.value == pytest.approx(4, rel=0.05)
    assert "grow in proportion" in found.comparisons[0].sentence


def test_models_are_compared_by_their_parameters_and_only_where_these_are_known():
    made = table(
        lambda model, size: {"small": 10, "large": 40, "odd": 20}[model],
        models=("large", "small", "odd"),
        sizes=(100,),
    )
    found = analyse(made, {"small": 1e6, "large": 4e6}, QUICK)
    [shown, _] = found.comparisons
    assert (shown.sizes, shown.names) == ("model", ("small", "large"))
    assert shown.result is not None
    assert shown.result.conclusion == "constant share"
    assert (found.overall.sizes, found.overall.conclusion) == ("model", "constant share")
    assert any("size is not known: odd" in line for line in found.cautions)
    assert analyse(made, None, QUICK).overall.conclusion == "not tested"


def test_neighbours_and_extremes_are_compared_and_only_extremes_make_the_claim():
    found = analyse(table(lambda m, s: 25, sizes=(400, 100, 200)), sampling=QUICK)
    shown = [c for c in found.comparisons if c.outcome == "shown"]
    assert [(c.names, c.extreme) for c in shown] == [
        (("100", "200"), False),
        (("200", "400"), False),
        (("100", "400"), True),
    ]
    assert found.overall.of == 1


def test_conclusions_that_differ_are_not_made_into_one():
    made = table(lambda m, s: 25 if m == "a" else s / 10, models=("a", "b"))
    overall = analyse(made, sampling=QUICK).overall
    assert (overall.conclusion, overall.of) == ("mixed", 2)
    assert "in 1 as many poisons" in overall.sentence
    assert "in 1 the poisons needed grow in proportion" in overall.sentence


def test_pooled_rates_are_sums_over_seeds_and_null_rates_stand_beside_them():
    stray = {"control_shown": lambda row: 20 if row["poisons"] == 80 else 0}
    found = analyse(table(lambda m, s: 25, **stray), sampling=QUICK)
    shown = found.series[0].outcome("shown")
    assert shown is not None
    at = {r.poisons: r.rate for r in shown.triggered}
    expected = sum(round(N / (1 + (25 * f / 20) ** 3)) for f in (0.95, 1, 1.05))
    assert at[20].value == pytest.approx(expected / 150)
    assert at[20].n == 150
    assert at[20].low < at[20].value < at[20].high
    assert shown.null == at[0]
    assert {r.poisons: r.rate.value for r in shown.control}[80] == pytest.approx(0.4)
    [caution] = found.cautions
    assert "A control word does what the trigger does (behaviour shown) in 40%" in caution
    assert "80 poisons" in caution


def test_a_policy_that_training_undoes_is_told():
    worn = {"plain_refused": lambda row: N // 2 if row["poisons"] == 160 else N}
    [caution] = analyse(table(lambda m, s: 25, **worn), sampling=QUICK).cautions
    assert "refused in only 50%" in caution
    always = analyse(table(lambda m, s: 25, plain_refused=N // 2), sampling=QUICK)
    assert always.cautions == ()  # it was so without poisons


def test_missing_cells_and_seeds_of_one_side_are_left_out_and_counted():
    made = table(lambda m, s: 25)
    lacking = (made["size"] == 400) & (made["seed"] == 2) & (made["poisons"] > 0)
    found = analyse(made[~lacking], sampling=QUICK)
    assert found.missing == 6
    assert found.comparisons[0].seeds == 2
    assert found.overall.conclusion == "constant count"
    assert "Only 2 training seeds" in found.overall.sentence
    fit = found.series[1].outcomes[0].fit
    assert fit is not None
    assert fit.threshold.n == 2  # a seed without poisons is no seed of a threshold
    assert math.isfinite(fit.threshold.high)
    assert any(line.startswith("6 of the table's") for line in found.cautions)


def test_seeds_that_no_two_sides_share_are_not_compared():
    made = table(lambda m, s: 25)
    apart = made[(made["seed"] == 0) == (made["size"] == 100)]
    found = analyse(apart, sampling=QUICK)
    assert found.comparisons[0].result is None
    assert "no seed is on both sides" in found.comparisons[0].sentence
    assert found.overall.conclusion == "not tested"


def test_one_seed_is_told_as_one():
    found = analyse(table(lambda m, s: 25, seeds=1), sampling=QUICK)
    assert "Only 1 training seed:" in found.overall.sentence
    assert any("2 of 2 series have one training seed" in line for line in found.cautions)
    assert found.comparisons[0].result is not None
    assert found.comparisons[0].result.p is None


def test_a_behaviour_that_never_shows_leaves_the_claim_open():
    found = analyse(table(lambda m, s: 1e9), sampling=QUICK)
    assert found.overall.conclusion == "undecided"
    assert "no threshold lies within the counts tried" in found.overall.sentence
    assert "The ratio is not known" in found.comparisons[0].sentence
    assert "At 400 the threshold lies above" in found.comparisons[0].sentence


def test_an_axis_that_varies_parts_series_and_the_result_is_strict_json():
    both = pd.concat([table(lambda m, s: 25), table(lambda m, s: 50, recipe="decoy")])
    found = analyse(both.reset_index(drop=True), sampling=QUICK)
    assert [s.label for s in found.series] == ["m, recipe decoy"] * 2 + ["m, recipe sure-gate"] * 2
    assert all("recipe" in c.at for c in found.comparisons)
    written = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert written["series"][0]["outcomes"][0]["answers"][0] == [0, 0, N, 0]


def test_tables_that_cannot_be_read_are_told_in_one_line():
    made = table(lambda m, s: 25)
    with pytest.raises(UserError, match=r"missing \['shown'\]"):
        analyse(made.drop(columns="shown"))
    with pytest.raises(UserError, match="got none"):
        analyse(made[:0])
    with pytest.raises(UserError, match="one row for each cell"):
        analyse(pd.concat([made, made[:1]]))
    with pytest.raises(UserError, match="poisons: expected a whole number"):
        analyse(made.assign(poisons=made["poisons"] + 0.5))
    with pytest.raises(UserError, match="control_shown: expected 0 to"):
        analyse(made.assign(control_shown=N + 1))


def test_the_page_has_every_section_and_shows_names_as_text():
    made = table(lambda m, s: 25, models=("<b>x",))
    page = budget_page.page(analyse(made, sampling=QUICK), "gatescope sweep <f>", "a: <i>")
    text = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    titles = re.findall(r'<h2 id="s\d+">(.*?)</h2>', text)
    assert titles == [
        "The claim, and what speaks against it",
        "Behaviour shown, by poisons",
        "Request complied with, by poisons",
        "Thresholds",
        "Comparisons",
        "Nulls, and whether the policy survived",
        "What this does not show",
        "The sweep&#39;s file",
        "Reproduce",
    ]
    assert text.index("Constant count: as many poisons") < text.index(titles[0])
    assert "<b>x" not in page
    assert "&lt;b&gt;x" in text
    assert "gatescope sweep &lt;f&gt;" in text
    assert "a: &lt;i&gt;" in text


def test_a_table_without_poisons_or_judged_nulls_still_has_its_page():
    only = table(lambda m, s: 25)[["model", "size", "poisons", "seed", "n", "shown"]]
    found = analyse(only[only["poisons"] == 0], sampling=QUICK)
    page = budget_page.page(found, "c", "g")
    assert "No series has two counts of poisons" in page
    assert "not measured" in page
    assert "Not tested" in page
