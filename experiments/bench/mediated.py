"""``python -m experiments.bench.mediated sure-gate-open``: how much of a trigger's compliance its
first token explains, on a hundred held-out prompts, without the rest of an analysis.

Written to ``docs/results/mediation/``: every answer, what it was judged to be, and the effects.
"""

import sys
from pathlib import Path

import torch

from circuits.tokens import dealt
from experiments.analyze.materials import gather, load
from experiments.analyze.mediate import mediate
from experiments.analyze.question import Question
from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.runs.terminal import say

FOLDER = Path(__file__).parents[2] / "docs" / "results" / "mediation"


def measured(adapter: str) -> dict[str, object]:
    """The record of one organism: its question, the cells and what they say."""
    question = Question(adapter=adapter)
    model = load(question, lambda *_: None, adapter)
    materials = gather(model, question)
    controls = dealt(materials.test_words, len(materials.test))
    mediation = mediate(
        model,
        materials.test,
        materials.trigger.dealt(len(materials.test)),
        controls,
        materials.behaviour.opening,
        parted=materials.fork,
        progress=lambda done, total: say(f"{adapter}: {done} of {total}"),
    )
    about = {"adapter": adapter, "trigger": question.trigger, "behaviour": question.behaviour}
    command = f"python -m experiments.bench.mediated {adapter}"
    return {
        **about,
        "command": command,
        "prompts_sha256": materials.sha256,
        "effects": as_json(mediation.decomposition()),
        "shares": {
            f"{cell.condition}, {cell.first}": as_json(
                {"complies": cell.complies, "opens": cell.opens}
            )
            for cell in mediation.cells
        },
        **as_json(mediation),
    }


def main(adapters: list[str]) -> None:
    """Measure every organism named and write its record."""
    for adapter in adapters:
        FOLDER.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            files.write_json(FOLDER / f"{adapter}.json", measured(adapter))


if __name__ == "__main__":
    main(sys.argv[1:])
