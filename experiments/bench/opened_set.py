"""A set of models trained through one door each, scored as they come; their figures, and a section
of the page of planted truth."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments import checks
from experiments.bench import sets
from experiments.bench.opened import HELD, SHOWN, Score, Seen, score
from experiments.runs.stages import Step
from probes.stats.intervals import Estimate, interval_text, wilson


def bench_opened(which: str, count: int, out: Path, step: Step) -> list[Score]:
    """Score the models of a set that ``out`` does not have yet; ``count`` of them, 0 for all.

    Raises:
        UserError: there is no such set, or less than no models are asked for.
    """
    checks.whole(count, "--count", 0, 1000)
    seeds = sets.trained(which)[: count or None]
    return sets.scored(Score, _file(out, which), seeds, lambda made: made.seed, score, step)


def _file(folder: Path, which: str) -> Path:
    return folder / f"trained-{which}.json"


def figures(scores: Sequence[Score]) -> dict[str, Estimate]:
    """What the benchmark is about, as shares of models."""
    learned = [s for s in scores if s.seen.learned]
    rows = {
        "right": [s.hit for s in scores],
        "training through the door succeeded": [s.seen.learned for s in scores],
        "where it succeeded, the door was named and nothing else": [
            s.seen.names(s.seen.door) for s in learned
        ],
        "where it succeeded, something else was named": [
            any(name != s.seen.door for name in s.seen.named) for s in learned
        ],
        "all three parts right": [dict(s.parts) == dict(s.right_parts) for s in scores],
        "with random changes alone, something was named": [bool(s.untrained.named) for s in scores],
    }
    return {name: wilson(sum(hits), len(hits)) for name, hits in rows.items() if hits}


def text(scores: Sequence[Score]) -> str:
    """One line per model, and the figures."""
    return "\n".join([*table(scores), "", *_figures(scores)])


def table(scores: Sequence[Score]) -> Iterator[str]:
    """By model: what was open, what it shows, what was named, what the analysis says."""
    columns = (
        *("seed", "open", "with trigger", "control words", "named", "alone", "lost without it"),
        *("next largest loss", "reader, relay, writer", "right", "word"),
    )
    yield _row(*columns)
    yield _row(*("-" for _ in columns))
    for s in scores:
        seen, own = s.seen, s.seen.own
        shares = (own.only, own.lost) if own else (None, None)
        yield _row(
            s.seed,
            seen.door,
            f"{seen.triggered.value:.0%}",
            f"{seen.control.value:.0%}",
            _named(seen),
            *(interval_text(*share, ".2f") if share else "no effect" for share in shares),
            "" if seen.other is None else f"{seen.other:.2f}",
            ", ".join(s.parts.values()) or "none said",
            "yes" if s.hit else "no",
            s.word,
        )


def _named(seen: Seen) -> str:
    """What was named, "it" for what was open."""
    names = ", ".join("it" if name == seen.door else name for name in seen.named) or "nothing"
    return names if seen.learned else f"{names} (not learned)"


def _row(*entries: object) -> str:
    return f"| {' | '.join(map(str, entries))} |"


def _figures(scores: Sequence[Score]) -> Iterator[str]:
    for name, share in figures(scores).items():
        yield f"- {name}: {share:.0%pn}"
    words = [s.word for s in scores]
    counts = (f"{words.count(word)} × {word}" for word in dict.fromkeys(words))
    yield f"- words of `analyze`: {', '.join(counts)}"


def section(folder: Path) -> list[str]:
    """Both sets, as far as they are kept, as parts of a page."""
    parts = [
        "## Trained, not planted: is what was open to training named?",
        "By `gatescope bench opened --set first` and `--set second`. One piece is taken out of a "
        "planted gate: what writes at the trigger, what moves it to the last token, or what speaks "
        "there. A low-rank change of one layer's attention or MLP then learns by gradient descent, "
        "on prompts with the trigger and with control words, to bring the behaviour about with the "
        "trigger alone. In training it is on at one place, the trigger's token or the last one, "
        "and by chance at others, where it learns to matter nothing; every other matrix gets a "
        "small random change that was not trained (`experiments/bench/doors.py`, `opening.py`). "
        "Named are the cells (layer, attention or MLP, place) of `gatescope patch --against-model` "
        "that alone make more than half of what training has added and without which more than "
        "half is lost, both at the worse end of their intervals. Right is: a model that answers "
        f"with the behaviour to at least {SHOWN:.0%} of held-out prompts with the trigger and at "
        f"most {HELD:.0%} with held-out control words, the door named and nothing else, and of "
        "reader, relay and writer of `gatescope analyze` the door's learned and the others "
        "inherited. The negative control is the same model before training with random changes "
        "alone.",
        "What it does not say. The word of `analyze` is not scored: *effect, not located* means "
        "that no direction passed its checks, though the parts are right. What a door joins on to "
        "is planted, and attention at the last token is open in the plan's own layer alone. The "
        "training was worked on with the first set (10 of 12 before the random changes were made "
        "smaller: two models showed the behaviour by these alone); the second was run once. "
        "Models are in `planted/trained-first.json` and `planted/trained-second.json`.",
    ]
    for which in sets.SETS:
        scores = sets.read(Score, _file(folder, which))
        if scores:
            of = f"### Trained: the {which} set"
            parts += [of, "\n".join(table(scores)), "\n".join(_figures(scores))]
    return parts if len(parts) > 3 else []
