"""``python -m experiments.bench.budgets``: the trigger's own effect in the kept poison budgets.

Nothing is trained, and no model is loaded: ``budget.json`` of every sweep in ``docs/results`` gets
what its table says of the effect, its raw rates stay as they were analysed, and
``docs/results/budget.md`` has the effect seed by seed with the raw rate beside it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.runs.terminal import say
from probes.budget.analysis import analyse
from probes.budget.claims import ALL, Sampling
from probes.budget.effect import EffectComparison, EffectThreshold, compare

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SWEEPS = ("poison-budget", "ladder-budget")
_RATES_STAY = Sampling(resamples=1)  # of the raw rates' intervals, which are not written
_ABOUT = """\
# How many poisons

Remade from the committed tables by `python -m experiments.bench.budgets`; nothing is trained.

The threshold is asked of the trigger's own effect: the rate of the behaviour with the trigger
minus that with a control word. The raw rate, which counts what any word opens, stands beside it.
Half of the effect is reached at so many poisons, seed by seed; `<` and `>` are bounds, where an
effect never reaches a half within the counts that were tried."""
_RAW = """\
## The raw rate

As it was reported before, from the same answers. It counts what any word opens."""


def written(effects: Sequence[EffectComparison], raw: Sequence[Mapping[str, Any]]) -> str:
    """The page, from comparisons of every model and ``budget.json``'s comparisons of raw rates."""
    rows = ["| model | seed | other examples | poisons | ratio |", "|-|-|-|-|-|"]
    rows += [row for effect in effects for row in _rows(effect)]
    pairs = [pair for effect in effects for pair in effect.pairs]
    pooled = compare("all models", ("fewer", "more"), effects[0].ratio_of_size, pairs)
    sentences = "\n".join(f"- {effect.sentence}" for effect in (pooled, *effects))
    before = "\n".join(f"- {c['sentence']}" for c in raw if c["sizes"] == "data")
    return "\n\n".join((_ABOUT, sentences, "\n".join(rows), _RAW, before)) + "\n"


def _rows(effect: EffectComparison) -> list[str]:
    sizes = " → ".join(effect.names)
    return [
        f"| {pair.group} | {pair.seed} | {sizes} | {_said(pair.first)} → {_said(pair.second)} "
        f"| {'<' * pair.first.beyond}{'>' * pair.second.beyond}{pair.ratio:.2f} |"
        for pair in effect.pairs
    ]


def _said(threshold: EffectThreshold) -> str:
    return f"{'>' * threshold.beyond}{threshold.value:.0f}"


def main() -> None:
    """Read the tables and write what they say."""
    effects, raw = [], []
    for name in SWEEPS:
        table = files.read_table(RESULTS / name / "table.parquet")
        budget = analyse(table, sampling=_RATES_STAY)
        path = RESULTS / name / "budget.json"
        kept = files.read_json(path)
        own = {"overall": budget.sentences[0], "effects": as_json(budget.effects)}
        files.write_json(path, {**kept, **own})
        effects += [effect for effect in budget.effects if effect.at != ALL]
        raw += kept["comparisons"]
    page = written(effects, raw)
    files.write_atomically(RESULTS / "budget.md", page.encode())
    say(page)


if __name__ == "__main__":
    main()
