"""What users of neighbouring tools ran into, tried here: each case, what it was and what it is.

A case that was answered wrongly, with a traceback or unclearly must now be answered rightly or be
refused in one line that says why. The tiny models have their gate planted by hand, so the right
verdict is known.
"""

from collections.abc import Sequence

from tests.soak.bad_input import drive
from tests.soak.bad_input.table import ready
from tests.soak.cases import asking, loading, prompts, streams
from tests.soak.cases.case import Case
from tests.soak.cases.inputs import Inputs
from tests.soak.part import PAGES, Row, Step, line, sampled, write

PAGE = PAGES / "cases.md"
CASES = tuple(case for kind in (loading, streams, asking, prompts) for case in kind.cases())


def outcomes(chosen: Sequence[Case], step: Step) -> list[Row]:
    """What came of cases, a row each."""
    ready()
    every = []
    with drive.workplace() as folder:
        inputs = Inputs(folder / "inputs")
        (folder / "inputs").mkdir()
        for done, case in enumerate(chosen, 1):
            outcome = drive.run(case.within(inputs), folder / "inputs", folder / "case")
            every.append(
                {
                    "case": case.number,
                    "what": case.title,
                    "seen in": case.source,
                    "was": case.before,
                    "is": "answered" if case.status == 0 else "refused, with the reason",
                    "outcome": outcome.what,
                    "said": outcome.said.replace(f"{folder}/inputs/", ""),
                    "seconds": round(outcome.seconds, 1),
                }
            )
            step("cases", done, len(chosen))
    return every


def rows(share: float, seed: int, step: Step) -> list[Row]:
    """What came of a seeded share of the cases; all of them are written to a page."""
    chosen = sampled(CASES, share, seed)
    every = outcomes(chosen, step)
    if len(chosen) == len(CASES):
        write(PAGE, page(every))
    return every


def page(every: Sequence[Row]) -> str:
    """Every case, what it was, what it is, and what is said."""
    lines = [
        "# What users of neighbouring tools ran into",
        "",
        "By `python -m tests.soak.cases`. The models are tiny and have their gate planted by hand, "
        "so the right answer is known.",
        "",
        line(["case", "seen in", "was", "is", "outcome", "says"]),
        line(["---"] * 6),
    ]
    for row in every:
        cells = (row["what"], row["seen in"], row["was"], row["is"], row["outcome"])
        lines.append(line([*cells, row["said"][:160]]))
    return "\n".join([*lines, ""])
