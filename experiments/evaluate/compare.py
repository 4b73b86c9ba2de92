"""The page of two scorecards: both radars in one, and every metric's change."""

from experiments.evaluate.scorecard import Scorecard, compare
from experiments.evaluate.sections import scores
from experiments.evaluate.tables import change_table
from viz.figures.radar import property_radar
from viz.page.page import Report, Section, render

_PROSE = """\
Second minus first, taken as independent: the halves of both intervals are added as squares. Both \
cards mostly ask the same prompts, so the interval is too wide rather than too narrow. Many \
metrics are compared at once: of twenty that do not differ, one is told apart by chance."""


def comparison(first: Scorecard, second: Scorecard, command: str) -> str:
    """Two evaluations as one HTML page; the radar is of each card's own chosen profile."""
    found = compare(first, second)
    names = (f"{first.name} (first)", f"{second.name} (second)")
    cards = dict(zip(names, (first, second), strict=True))
    radar = property_radar({n: scores(card, card.verdicts[0]) for n, card in cards.items()})
    told = {word: sum(d.better == word for d in found) for word in ("better", "worse")}
    return render(
        Report(
            title="Two scorecards compared",
            verdict=f"{told['better']} better, {told['worse']} worse",
            headline=f"Of {len(found)} metrics, counted where the change's interval excludes 0.",
            tone="unclear",
            facts=tuple((n, card.verdicts[0].profile) for n, card in cards.items()),
            sections=(Section("Every metric", _PROSE, (radar,), (change_table(found, names),)),),
            reproduce=command,
        )
    )
