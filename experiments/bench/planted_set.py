"""A set of planted models, scored as they come and kept; their figures, their part of the page."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from circuits.planted.plans import KINDS, Kind
from experiments import checks
from experiments.analyze.result import GATE
from experiments.bench import sets
from experiments.bench.planted import ASKED, Score, score
from experiments.runs.stages import Step
from probes.stats.intervals import Estimate, wilson

LEAST_COSINE = 0.99


def bench_planted(which: str, count: int, out: Path, step: Step) -> list[Score]:
    """Score the plans of a set that ``out`` does not have yet; ``count`` of each kind, 0 for all.

    Raises:
        UserError: there is no such set, or less than no plans are asked for.
    """
    checks.whole(count, "--count", 0, 1000)
    of_kinds = sets.seeds(which)
    wanted: list[tuple[Kind, int]] = [
        (kind, seed) for kind in KINDS for seed in of_kinds[kind][: count or None]
    ]
    wanted.sort(key=lambda plan: plan[1])  # a set that is stopped early has some of every kind
    return sets.scored(
        Score,
        out / f"{which}.json",
        wanted,
        lambda made: (made.kind, made.seed),
        lambda plan: score(*plan),
        step,
    )


def figures(scores: Sequence[Score]) -> dict[str, Estimate]:
    """What the benchmark is about, as shares of models."""
    parts = [
        s.parts[name] == right for s in scores if s.parts for name, right in s.right_parts.items()
    ]
    without = [s for s in scores if s.effect and s.right != GATE]
    cosines = [s.cosine for s in scores if s.cosine is not None and s.word == GATE]
    rows = {
        "word right": [s.hit for s in scores],
        "parts right, where parts were said": parts,
        f"|cos| of at least {LEAST_COSINE}, where a gate was named rightly": [
            c >= LEAST_COSINE for c in cosines
        ],
        '"gate" where there is an effect and no gate': [s.word == GATE for s in without],
    }
    return {name: wilson(sum(hits), len(hits)) for name, hits in rows.items() if hits}


def text(scores: Sequence[Score]) -> str:
    """One line per kind, and the figures."""
    return "\n".join([*table(scores), "", *_figures(scores)])


def table(scores: Sequence[Score]) -> Iterator[str]:
    """By kind: words, parts, cosines."""
    yield "| kind | right word | models | right | said otherwise | parts right | least cos |"
    yield "|-|-|-|-|-|-|-|"
    for kind in KINDS:
        rows = [s for s in scores if s.kind == kind]
        if not rows:
            continue
        wrong = [s.word for s in rows if not s.hit]
        otherwise = ", ".join(f"{wrong.count(w)} × {w}" for w in dict.fromkeys(wrong))
        right = sum(s.parts.get(n) == r for s in rows for n, r in s.right_parts.items())
        said = sum(bool(s.parts) for s in rows)
        cosines = [s.cosine for s in rows if s.cosine is not None]
        least = f"{min(cosines):.4f}" if cosines else ""
        hits = sum(s.hit for s in rows)
        parts = f"{right} of {3 * said}" if said else "none said"
        yield (
            f"| {kind} | {rows[0].right} | {len(rows)} | {hits} | {otherwise} | {parts} | {least} |"
        )


def _figures(scores: Sequence[Score]) -> Iterator[str]:
    for name, share in figures(scores).items():
        yield f"- {name}: {share:.0%pn}"


def section(folder: Path) -> list[str]:
    """Both sets, as far as they are kept, as parts of a page."""
    names = ("fit", "validation", "test", "patch", "evidence", "trace", "randoms", "tokens")
    counts = ", ".join(f"{name} {getattr(ASKED, name)}" for name in names)
    parts = [
        "# Planted truth through `analyze`",
        "By `gatescope bench planted --set first` and `--set second`. Models of known truth "
        "(`circuits/planted`), made from seeds and with right words that were set down first "
        "(`experiments/data/planted.json`), go through the very code of "
        f'`gatescope analyze`, with the model before training as the base ({counts}). "Effect, '
        'not located" is never right. Every model, with its seed and what was said of it, is in '
        "`planted/first.json` and `planted/second.json`.",
        "What it does not say. The models of *distributed* and *xor* speak in the last layer but "
        "one, because behind the layer that speaks any behaviour is one direction: where seed 101 "
        "of *distributed* speaks a layer earlier, the word is gate, of the last token behind it. "
        "That gate is never said of them holds for their placement. The analysis was worked on "
        "with the first set; the second was run once, afterwards: 76 of 80 words right. Then the "
        "rule for *several* was made stricter, and *distributed* and *xor* of both sets were run "
        "again: 75 of 80, as below. After the seeds were set down, "
        "two faults of the models were mended (training touched other tokens than it was to) and "
        "one right answer with them (the relay of *xor*, which the base has).",
    ]
    for which in sets.SETS:
        scores = sets.read(Score, folder / f"{which}.json")
        if scores:
            parts += [f"## The {which} set", "\n".join(table(scores)), "\n".join(_figures(scores))]
    return parts
