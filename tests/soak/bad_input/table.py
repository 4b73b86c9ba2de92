"""The table of bad input: its cases by area, run one by one or several at once, and its page."""

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path

import torch

from tests.soak import part
from tests.soak.bad_input import (
    adapters,
    calls,
    checkpoints,
    directories,
    documents,
    drive,
    flags,
    prompts,
    shared,
    triggers,
    world,
)
from tests.soak.bad_input.drive import OUTCOMES, Case, Outcome
from tests.soak.part import Step

PAGE = part.PAGES / "bad-input.md"
_AREAS = (prompts, triggers, adapters, checkpoints, directories, documents, flags, world, calls)
# Everything that a command may import, so that a fork needs not.
_HEAVY = (
    "peft",
    "datasets",
    "pyarrow.parquet",
    "transformer_lens",
    "transformers.models.llama.modeling_llama",
    "plotly.graph_objects",
    "scipy.stats",
    "experiments.commands",
    "experiments.ending",
    "experiments.report.page",
    "experiments.serve.server",
    "experiments.serve.subject",
    "circuits.backends.transformer_lens",
)


def cases() -> list[Case]:
    """All cases; no two of one area have the same name."""
    every = [case for area in _AREAS for case in area.cases()]
    twice = [key for key, times in Counter((c.area, c.name) for c in every).items() if times > 1]
    if twice:
        raise ValueError(f"cases: expected different names, got {twice}")
    return every


def ready() -> None:
    """Import everything, in one thread: a fork with several would not run."""
    torch.set_num_threads(1)
    from experiments.studies import COMMANDS, STUDIES

    for name in _HEAVY:
        import_module(name)
    for load in COMMANDS.values():
        load()
    for name in STUDIES:
        import_module(f"experiments.{name}.sections" if name != "analyze" else "viz.page.page")


def outcomes(
    chosen: Sequence[Case], step: Step, shared_inputs: Path | None = None
) -> list[Outcome]:
    """What came of cases, one after the other."""
    with drive.workplace() as place:
        (place / "shared").mkdir()
        inputs = shared.make(place / "shared")
        ended = []
        for number, case in enumerate(chosen):
            step("bad input", number, len(chosen))
            ended.append(drive.run(case, inputs, place / "case"))
        step("bad input", len(chosen), len(chosen))
    return ended


def rows(share: float, seed: int, step: Step) -> list[part.Row]:
    """A row for every case, for the soak's table."""
    ready()
    every = outcomes(part.sampled(cases(), share, seed), step)
    if share == 1:
        part.write(PAGE, page(every))
    return [
        {
            "part": "bad input",
            "case": f"{ended.area}: {ended.name}",
            "outcome": ended.what,
            "passed": ended.what == "right",
            "seconds": round(ended.seconds, 2),
            "detail": "" if ended.what == "right" else ended.said,
        }
        for ended in every
    ]


def page(ended: Sequence[Outcome]) -> str:
    """The table as Markdown: counts by area, what is not right, then every case."""
    areas = list(dict.fromkeys(each.area for each in ended))
    counts = {area: Counter(e.what for e in ended if e.area == area) for area in areas}
    shown = [what for what in OUTCOMES if any(counts[area][what] for area in areas)]
    head = [
        "# Bad input",
        "",
        "By `python -m tests.soak.bad_input`: every case in a process of its own, on tiny models.",
        f"{len(ended)} cases, {sum(e.what == 'right' for e in ended)} right, "
        f"{sum(e.seconds for e in ended):.0f} s.",
        "",
        part.line(["area", *shown]),
        part.line(["---"] * (1 + len(shown))),
        *(part.line([area, *(counts[area][what] for what in shown)]) for area in areas),
        "",
    ]
    wrong = [each for each in ended if each.what != "right"]
    return "\n".join([*head, *_listed("Not right", wrong), *_listed("All", ended)])


def _listed(title: str, ended: Sequence[Outcome]) -> Iterable[str]:
    if not ended:
        return
    yield from (f"## {title}", "", part.line(["area", "case", "outcome", "status", "what it said"]))
    yield part.line(["---"] * 5)
    for each in ended:
        yield part.line([each.area, each.name, each.what, each.status, each.said[:300]])
    yield ""
