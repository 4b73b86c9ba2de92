"""``python -m experiments.bench.screening ADAPTER ...``: is the gate chosen that would be chosen if
every candidate were scored exactly?

Of every organism: the lead of the direction that the screened search chooses, by exhaustive scores,
beside that of the exhaustive choice; how many of the best 20 by exhaustive scores the search has
scored on all pairs; seconds of both.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from circuits.gates import screen, select
from circuits.gates.select import Candidate
from experiments.analyze.base import base_activations
from experiments.analyze.examination import Examination
from experiments.analyze.question import Question
from experiments.analyze.select import by_token, candidates_from, null_candidates, told_apart
from experiments.analyze.study import opened
from experiments.bench.cost import timed
from experiments.runs import formats
from experiments.runs.terminal import say
from experiments.study import silent

_BEST = 20


@dataclass(frozen=True)
class Screened:
    """One organism's search, screened and exhaustive; leads are shares of the trigger's effect."""

    organism: str
    candidates: int
    chosen: str
    lead: float
    best: str
    best_lead: float
    recall: float
    seconds: float
    exhaustive_seconds: float

    def __str__(self) -> str:
        return (
            f"| `{self.organism}` | {self.candidates} | {self.chosen} | {self.lead:.3f} | "
            f"{self.best} | {self.best_lead:.3f} | {self.recall:.0%} | {self.seconds:.0f} | "
            f"{self.exhaustive_seconds:.0f} |"
        )


HEAD = """\
# Is the gate found without scoring everything?

`python -m experiments.bench.screening ADAPTER ...`. The search ranks candidates by one gradient of
each side and scores the best exactly (`circuits/gates/screen.py`). Lead: how far a direction's
score is ahead of the best null at its site, by exhaustive scores on {pairs} validation pairs, in
shares of the trigger's effect. Recall: of the {best} best that may be chosen by exhaustive scores,
those that the search has scored on all pairs. Seconds on {threads} thread(s).

| organism | candidates | chosen | lead | exhaustive choice | lead | recall | s | s, exhaustive |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def compare(adapter: str, count: int) -> Screened:
    """Both searches on ``count`` validation pairs."""
    question = Question(adapter=adapter, fit=24, validation=count, test=10)
    materials = opened(question, silent)
    with tempfile.TemporaryDirectory() as place:
        return _compared(Examination(Path(place), question, materials), count)


def _compared(exam: Examination, count: int) -> Screened:
    acts, base = exam.activations("fit"), base_activations(exam)
    found = candidates_from(exam.sites(), acts, base)
    every = by_token(exam, [*found, *null_candidates(exam, acts, base)])
    runner, pairs, layers = exam.model.runner, exam.pairs("validation"), exam.layers
    few, seconds = timed(lambda: screen.search(runner, pairs, every, exam.log_odds))
    full, exhaustive = timed(lambda: select.score(runner, pairs, every, exam.log_odds))
    picked, best = (select.choose(told_apart(scored), layers) for scored in (few, full))
    (exact,) = (c for c in full if c.direction is picked.direction)
    order = sorted(select.choosable(full, layers), key=lambda i: -select.lead(full[i], full))
    kept = [few[i].n == count for i in order[:_BEST]]
    return Screened(
        Path(exam.question.adapter).name,
        len(every),
        _named(picked),
        select.lead(exact, full),
        _named(best),
        select.lead(best, full),
        sum(kept) / len(kept),
        seconds,
        exhaustive,
    )


def _named(candidate: Candidate) -> str:
    return f"{candidate.direction.site}, {candidate.direction.estimator}"


def main(arguments: Sequence[str]) -> None:
    """Measures, prints every row, and writes them where it is told to."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("adapters", nargs="+")
    asked.add_argument("--count", type=int, default=8, help="validation pairs")
    asked.add_argument("--out", type=Path, help="a page; its figures lie beside it as JSON")
    given = asked.parse_args(arguments)
    rows = []
    for adapter in given.adapters:
        rows.append(compare(adapter, given.count))
        say(str(rows[-1]))
    if given.out:
        threads = torch.get_num_threads()
        head = HEAD.format(pairs=given.count, best=_BEST, threads=threads)
        given.out.write_text(head + "".join(f"{row}\n" for row in rows), encoding="utf-8")
        kept = formats.json_bytes([asdict(row) for row in rows])
        given.out.with_suffix(".json").write_bytes(kept)


if __name__ == "__main__":
    main(sys.argv[1:])
