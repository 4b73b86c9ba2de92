"""The app: the page of viz.app with its callbacks, protected, and the worker behind them."""

import base64
import hashlib

from dash import Dash

from experiments.serve import answering
from experiments.serve.callbacks import Callbacks
from experiments.serve.maps import Maps
from experiments.serve.patching import PAIRS
from experiments.serve.security import Access, protect
from experiments.serve.subject import Subject
from experiments.serve.worker import Worker
from viz.app.data import About
from viz.app.layout import page
from viz.app.style import CSS, SCRIPT

_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title><style>STYLE</style><script>SCRIPT</script>{%css%}</head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""


def build(subject: Subject, worker: Worker, access: Access) -> Dash:
    """The Dash app of a subject, protected, ready to be served."""
    index = _INDEX.replace("STYLE", CSS).replace("SCRIPT", SCRIPT)
    app = Dash(
        "gatescope",
        title="gatescope",
        update_title="",
        index_string=index,
        serve_locally=True,
        assets_folder="no-assets",
        add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = page(about(subject))
    Callbacks(subject, worker).register(app)
    Maps(subject, worker).register(app)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    hashes = [*app.csp_hashes(), f"'sha256-{digest}'"]
    protect(app.server, access, lambda: hashes)  # pyright: ignore[reportArgumentType]
    return app


def about(subject: Subject) -> About:
    """What the page says of a subject."""
    question, gate = subject.question, subject.direction
    name = (
        question.model if question.adapter == "none" else f"{question.adapter} on {question.model}"
    )
    return About(
        title=name,
        headline=subject.headline,
        gate=f"{gate.site} ({gate.estimator})" if gate else "",
        proven=subject.proven,
        trigger=question.trigger if subject.has_trigger else "",
        control=subject.control,
        behaviour=question.behaviour,
        examples=subject.examples,
        grids=tuple(subject.grids),
        arms=tuple(subject.arms),
        coefficients=answering.COEFFICIENTS,
        lengths=answering.LENGTHS,
        most_characters=answering.MOST_CHARACTERS,
        pairs=PAIRS,
        layers=tuple(subject.layers),
        layer=gate.site.layer if gate else 0,
    )
