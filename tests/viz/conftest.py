"""One small synthetic report, with hostile text in every place where model text can end up."""

import math

import pytest
import torch
from samples import normal

from circuits.types import PatchGrid
from probes.evaluation import ProbeReport
from probes.stats.intervals import Estimate, wilson
from viz.figures.bars import BehaviourRow, behaviour_bars
from viz.figures.grids import grid_figure
from viz.figures.heatmaps import selection_heatmap
from viz.figures.nulls import null_histogram
from viz.figures.planes import arm_projections
from viz.figures.probing import probe_curves
from viz.page.page import Report, Section, Table, render

EVIL = "<script>alert(1)</script>"
LABELS = ("?", " cobalt", "<|im_end|>", "\n", "\n", EVIL)
HOT = (3, 1)


def make_grid(direction="denoising", layers=6, labels=LABELS, n=16, hot=HOT) -> PatchGrid:
    """Noise everywhere, and one cell that recovers nearly everything."""
    base = normal(n, seed=1)
    source = base + 4 + 0.3 * normal(n, seed=2)
    effects = 0.2 * normal(layers, len(labels), n, seed=3)
    effects[hot] += 3.6
    return PatchGrid(direction, "resid_pre", "logit gap", labels, base + effects, base, source)


def make_heads(shape=(5, 3, 4), axes=("layer", "head", "position"), n=16) -> PatchGrid:
    """Heads by token: the strongest cell at token 2, a faint one at token 0, token 1 undefined."""
    base = normal(n, seed=1)
    values = base + 0.1 * normal(*shape, n, seed=5)
    values[2, 1, 2] = base + 2
    values[4, 0, 0] = base + 1
    values[:, :, 1] = math.nan
    source = base + 4 + 0.3 * normal(n, seed=2)
    return PatchGrid("denoising", "z", "logit gap", LABELS[-4:], values, base, source, axes)


def make_list(cells=5, axis="cell", n=16) -> PatchGrid:
    """A list of cells: the first undefined for 3 examples, the third strong, the others noise."""
    base = normal(n, seed=1)
    values = base + 0.1 * normal(cells, n, seed=6)
    values[2] = base - 2 + 0.1 * normal(n, seed=7)
    values[0, :3] = math.nan
    source = base + 4 + 0.3 * normal(n, seed=2)
    labels = tuple(f"z[{i}] at {EVIL}" for i in range(cells))
    return PatchGrid("noising", "z", "logit gap", labels, values, base, source, (axis,))


def make_probes(layers=6, peak=1.0, seed=0) -> ProbeReport:
    rise = torch.sigmoid(torch.linspace(-4, 4, layers, dtype=torch.float64))
    accuracy = ((0.5 + (peak - 0.5) * rise) * 40).round() / 40
    bounds = [wilson(round(40 * a), 40) for a in accuracy.tolist()]
    null = 0.5 + 0.02 * normal(layers, seed=seed)
    return ProbeReport(
        "lda",
        accuracy,
        accuracy,
        torch.tensor([b.low for b in bounds]),
        torch.tensor([b.high for b in bounds]),
        null,
        null + 0.1,
        80,
        40,
    )


@pytest.fixture(scope="session")
def grid() -> PatchGrid:
    return make_grid()


@pytest.fixture(scope="session")
def heads() -> PatchGrid:
    return make_heads()


@pytest.fixture(scope="session")
def sites() -> PatchGrid:
    return make_list()


@pytest.fixture(scope="session")
def report(grid) -> Report:
    strips = {"triggered": normal(12, 1) + 5, "no trigger": normal(12, 1, seed=4)}
    prompts = [f"prompt {i} {EVIL}" for i in range(12)]
    rows = [
        BehaviourRow(condition, edit, wilson(k, 24))
        for condition, edit, k in [
            ("triggered", "none", 23),
            ("triggered", "gate removed", 2),
            ("triggered", "random direction removed", 22),
            ("no trigger", "none", 0),
            ("no trigger", "gate removed", 0),
        ]
    ]
    necessity = normal(6, 2).abs()
    necessity[1, 1] = math.nan
    return Report(
        title=f"Model {EVIL}",
        verdict="Gate found",
        headline=f"One direction carries it {EVIL}.",
        tone="gate",
        facts=(("layer", "3"), ("span", "last & <b>first</b>")),
        sections=(
            Section(
                "Patching",
                f"First paragraph {EVIL}.\n\nSecond one.",
                (
                    grid_figure(grid),
                    grid_figure(make_grid("noising")),
                ),
                data_name="patching",
            ),
            Section("Probes", "", (probe_curves({"last": make_probes()}, range(6)),)),
            Section(
                "Projections",
                "Values.",
                (arm_projections({"this model": strips, "base": strips}, prompts),),
            ),
            Section(
                "Behaviour",
                "Rates.",
                (behaviour_bars(rows),),
                (Table(("name", "rate"), (("a", "0.50"), (EVIL, "0.75")), "Rates & <i>more</i>"),),
            ),
            Section(
                "Controls",
                "Random directions.",
                (
                    null_histogram(normal(100), Estimate(6.0, 5.0, 7.0, 24)),
                    selection_heatmap(necessity, ("last", "trigger"), (3, "last")),
                ),
                code="a < b && c",
            ),
            Section(
                "Heads and sites",
                "Two more kinds of grid.",
                (grid_figure(make_heads()), grid_figure(make_list())),
            ),
        ),
        reproduce="gatescope run --seed 0 > out.html",
    )


@pytest.fixture(scope="session")
def page(report) -> str:
    return render(report)


@pytest.fixture(scope="session")
def evil() -> str:
    return EVIL


@pytest.fixture(scope="session")
def probe_reports() -> dict[str, ProbeReport]:
    return {"last": make_probes(), "trigger": make_probes(peak=0.8, seed=1)}
