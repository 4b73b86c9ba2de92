"""A set of models trained through one door each, scored as they come; their figures and page."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments import checks
from experiments.analyze.parts import LEARNED, LEARNED_PART
from experiments.bench import sets
from experiments.bench.opened import HELD, SHOWN, Score, score
from experiments.runs.stages import Step
from probes.stats.intervals import Estimate, wilson

KEPT = Path("docs/results/opened")


def bench_opened(which: str, count: int, out: Path, step: Step) -> list[Score]:
    """Score the models of a set that ``out`` does not have yet; ``count`` of them, 0 for all.

    Raises:
        UserError: there is no such set, or less than no models are asked for.
    """
    checks.whole(count, "--count", 0, 1000)
    seeds = sets.trained(which)[: count or None]
    scores = sets.scored(
        Score, out / f"{which}.json", seeds, lambda made: made.seed, lambda seed: score(seed), step
    )
    (out.parent / f"{out.name}.md").write_text(page(out), encoding="utf-8")
    return scores


def figures(scores: Sequence[Score]) -> dict[str, Estimate]:
    """What the benchmark is about, as shares of models."""
    learned = [s for s in scores if s.learned]
    named = [s.door in s.named for s in learned]
    parts = [s.parts[s.part] == LEARNED_PART for s in learned if s.part in s.parts]
    rows = {
        "what was open was named, and nothing else": [s.hit for s in scores],
        "training through the door succeeded": [s.learned for s in scores],
        "where it succeeded, what was open was named": named,
        "where it succeeded, something else was named": [
            any(name != s.door for name in s.named) for s in learned
        ],
        "where `analyze` names parts, the one that was open is learned": parts,
    }
    return {name: wilson(sum(hits), len(hits)) for name, hits in rows.items() if hits}


def text(scores: Sequence[Score]) -> str:
    """One line per model, and the figures."""
    return "\n".join([*table(scores), "", *_figures(scores)])


def table(scores: Sequence[Score]) -> Iterator[str]:
    """By model: what was open, what it shows, what was named, what the analysis says."""
    yield (
        "| seed | open | with trigger | control words | named | lost without it | alone | next "
        "largest loss | right | `analyze` says | its part |"
    )
    yield "|-|-|-|-|-|-|-|-|-|-|-|"
    for s in scores:
        own = (f"{s.own.lost:.2f}", f"{s.own.alone:.2f}") if s.own else ("no effect", "")
        yield _row(
            s.seed,
            s.door,
            f"{s.triggered.value:.0%}",
            f"{s.control.value:.0%}",
            ", ".join("it" if name == s.door else name for name in s.named) or "nothing",
            *own,
            f"{s.other:.2f}",
            "yes" if s.hit else "no" if s.learned else "no, not learned",
            s.word,
            f"{s.part}: {s.parts.get(s.part, 'not said')}",
        )


def _row(*entries: object) -> str:
    return f"| {' | '.join(map(str, entries))} |"


def _figures(scores: Sequence[Score]) -> Iterator[str]:
    for name, share in figures(scores).items():
        yield f"- {name}: {share:.0%pn}"
    words = [s.word for s in scores]
    counts = (f"{words.count(word)} × {word}" for word in dict.fromkeys(words))
    yield f"- words of `analyze`: {', '.join(counts)}"


def page(folder: Path) -> str:
    """Both sets, as far as they are kept."""
    parts = [
        "# Trained, not planted: is what was open to training named?",
        "By `gatescope bench opened --set first` and `--set second`. A tiny random Llama gets a "
        "low-rank change of one layer's attention or MLP. In training it is on at one place alone, "
        "the trigger's token or the last one, where it learns the behaviour, or everywhere but "
        "there, where it learns to change nothing; every other matrix gets a small random change "
        "that was not trained (`experiments/bench/opening.py`). What takes it apart sees the two "
        "models and prompts that no training saw, and names the cells (layer, attention or MLP, "
        f"place) without which at least {LEARNED:.0%} of the effect on log-odds is lost, at the "
        "interval's lower end. Right is: what was open, and nothing else, in a model that answers "
        f"with the behaviour to at least {SHOWN:.0%} of prompts with the trigger and at most "
        f"{HELD:.0%} with control words. Beside it stand the word of `gatescope analyze` and what "
        "it says of the part that was open (at the trigger the reader; later attention the relay, "
        "MLPs the writer). Seeds were set down before (`experiments/data/planted.json`); the "
        "recipe was tuned on the first set, the second was run once. Every model is in "
        "`opened/first.json` and `opened/second.json`.",
    ]
    for which in sets.SETS:
        scores = sets.read(Score, folder / f"{which}.json")
        if scores:
            parts += [f"## The {which} set", "\n".join(table(scores)), "\n".join(_figures(scores))]
    return "\n\n".join(parts) + "\n"
