"""A zoo from its file to its page: the sweep's job, and what its table says of prediction.

Beside the sweep's table lie ``prediction.json`` (schema ``gatescope.zoo/1``), ``predictor.json``
(fitted on every organism), ``MODEL_CARD.md`` and ``report.html``.
"""

from collections.abc import Sequence

import msgspec

from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.sweep.engine.run import Outcome
from experiments.sweep.kind import Findings, Kind
from experiments.sweep.zoo import cell
from experiments.sweep.zoo.card import card, sentences
from experiments.sweep.zoo.claim import Prediction, claim
from experiments.sweep.zoo.tables import (
    BASELINES,
    FEATURES,
    POINTWISE,
    PROMPT_BASELINES,
    Row,
    measured,
    organisms_table,
    prompts_table,
    schemes,
)
from probes.brittleness.compare import Effort, compare_organisms, compare_prompts
from probes.brittleness.predictor import fit_predictor

SCHEMA = "gatescope.zoo/1"
_FEWEST = 12  # organisms below which nothing is predicted


def report(outcome: Outcome, command: str, _grid: str) -> Findings:
    """Predict brittleness from the table as far as it goes, and write the page beside it."""
    from experiments.sweep.zoo.sections import page  # plotly is slow to import

    rows, folder = measured(files.read_table(outcome.table)), outcome.table.parent
    if len(rows) < _FEWEST or len(schemes(rows)) < 3:
        for name in ("prediction.json", "predictor.json", "MODEL_CARD.md", "report.html"):
            (folder / name).unlink(missing_ok=True)  # of a larger table
        note = f"{len(rows)} organisms with their behaviour: too few to predict from"
        return Findings([note], outcome.table)
    prediction = predicted(rows)
    # JSON has no NaN: what could not be measured is null.
    stated = msgspec.json.decode(msgspec.json.encode({"schema": SCHEMA, **as_json(prediction)}))
    files.write_json(folder / "predictor.json", stated.pop("predictor"))
    files.write_json(folder / "prediction.json", stated)
    files.write_atomically(folder / "MODEL_CARD.md", card(rows, prediction).encode())
    files.write_atomically(folder / "report.html", page(rows, prediction, command).encode())
    return Findings(sentences(rows, prediction), folder / "report.html")


def predicted(rows: Sequence[Row], effort: Effort | None = None) -> Prediction:
    """Everything that the zoo's organisms say of prediction.

    Raises:
        UserError: too few schemes, or features that were never measured.
    """
    table = organisms_table(rows)
    features = [name for name in FEATURES if not table.columns([name]).isnan().all()]
    organisms = compare_organisms(table, features, BASELINES, effort)
    prompts = compare_prompts(prompts_table(rows), POINTWISE, PROMPT_BASELINES, effort)
    predictor = fit_predictor(table, features, "area")
    return Prediction(organisms, prompts, tuple(claim(rows, organisms)), predictor)


ZOO = Kind(cell.AXES, cell.salt, cell.FUNCTION, cell.cost, report)
