"""One organism's geometry: density and complexity at every layer, beside what nulls give.

Density compares the triggered with the clean residuals of the same prompts; complexity asks how
hard the gate's designed label is to read from both. The nulls go through the same measurements with
the same labels: an untrained trigger, a model without a gate, and a random direction of equal
length. A trigger's string can be read in any model, so only what exceeds the nulls says something
of the gate.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from circuits.errors import expect
from probes.geometry.code_length import Coding, code_length
from probes.geometry.crossings import Crossings, crossings
from probes.geometry.density import mean_discrepancy, neighbour_mixing, vendi_relative
from probes.geometry.dimension import PARTICIPATION, two_nn
from probes.geometry.interaction import interaction_gain
from probes.geometry.margins import held_out_scores, margins, within_class_spread
from probes.geometry.sets import ActivationSets, Pairs, random_direction
from probes.geometry.spread import Estimates
from probes.linear import lda
from probes.stats.intervals import Estimate


@dataclass(frozen=True)
class LayerGeometry:
    """Named estimates of one set of pairs.

    Attributes:
        values: name to one estimate per layer, see `NAMES`.
        p: for the names that are tested (``mean_discrepancy``, ``selectivity``), p per layer.
    """

    values: Mapping[str, Estimates]
    p: Mapping[str, tuple[float, ...]]


NAMES = {
    "participation_ratio": "axes over which the triggered residuals spread",
    "participation_ratio_relative": "axes over which triggered residuals spread, over clean ones",
    "vendi_relative": "effective number of different triggered residuals over clean ones",
    "neighbour_mixing": "share of a triggered residual's neighbours that are clean (alike: 1/2)",
    "mean_discrepancy": "squared MMD of triggered and clean (alike: 0)",
    "intrinsic_dimension": "TwoNN dimension of the triggered residuals",
    "intrinsic_dimension_relative": "TwoNN dimension of triggered residuals over clean ones",
    "bits": "prequential code length of the gate's label, bits per label",
    "compression": "uniform over prequential code length",
    "selectivity": "bits per label that shuffled labels cost more",
    "margin_low": "5 % quantile of the held-out margin, over the within-class spread",
    "margin_median": "median of the held-out margin, over the within-class spread",
    "interaction_gain": "held-out accuracy a product probe gains over a linear one",
}


@dataclass(frozen=True)
class GeometryReport:
    """The geometry of one organism.

    Attributes:
        layers: the number of each layer.
        organism: its own trigger.
        nulls: by name, see `probes.geometry.sets.NULLS`.
        crossings: on the way from clean to triggered, if probabilities were given.
    """

    layers: tuple[int, ...]
    organism: LayerGeometry
    nulls: Mapping[str, LayerGeometry]
    crossings: Crossings | None = None
    volume: None = None  # never measured; files have them
    mass: None = None
    gate_rank: None = None

    def at(self, name: str, layer: int, null: str = "") -> Estimate:
        """The estimate of a name at a layer, in the organism or in a null.

        Raises:
            UserError: a name, layer or null that was not measured.
        """
        expect(
            not null or null in self.nulls,
            f"a null of {', '.join(self.nulls)}",
            f"{null!r}",
            of="geometry",
        )
        values = (self.nulls[null] if null else self.organism).values
        expect(
            name in values and layer in self.layers,
            f"one of {', '.join(values)} at layers {self.layers}",
            f"{name!r} at {layer}",
            "measure it",
            "geometry",
        )
        return values[name][self.layers.index(layer)]


def geometry(sets: ActivationSets, seed: int = 0) -> GeometryReport:
    """Measure an organism and its nulls.

    ``interaction_gain`` is measured where there is a topic. Density, complexity and dimension need
    no topic.

    Raises:
        UserError: what the estimators raise: too few prompts, equal activations.
    """
    nulls = dict(sets.nulls)
    nulls.setdefault("random_direction", random_direction(sets.pairs, seed))
    return GeometryReport(
        layers=sets.layers,
        organism=measure(sets.pairs, sets, seed),
        nulls={name: measure(pairs, sets, seed) for name, pairs in nulls.items()},
        crossings=None if sets.probabilities is None else crossings(sets.probabilities),
    )


def measure(pairs: Pairs, design: ActivationSets, seed: int = 0) -> LayerGeometry:
    """The estimates of one set of pairs, with the labels of a design."""
    pairs = pairs.compact()
    x, both = pairs.units(), (pairs.triggered, pairs.clean)
    discrepancy, p = mean_discrepancy(*both, seed=seed)
    code = code_length(x, design.gate, Coding(seed=seed))
    scores = held_out_scores(lda, x, design.gate, seed=seed)
    margin = margins(scores, design.gate, within_class_spread(x, design.gate), seed=seed)
    dimension, relative_dimension = two_nn(seed=seed).compare(*both)
    axes, relative_axes = PARTICIPATION.compare(*both)
    values = {
        "participation_ratio": axes,
        "participation_ratio_relative": relative_axes,
        "vendi_relative": vendi_relative(*both),
        "neighbour_mixing": neighbour_mixing(*both),
        "mean_discrepancy": discrepancy,
        "intrinsic_dimension": dimension,
        "intrinsic_dimension_relative": relative_dimension,
        "bits": code.bits,
        "compression": code.compression,
        "selectivity": code.selectivity,
        "margin_low": margin.low,
        "margin_median": margin.median,
    }
    if design.topic is not None:
        n = len(design.gate)
        trigger = torch.tensor([False, True]).expand(n, 2)
        topic = design.topic[:, None].expand(n, 2)
        values["interaction_gain"] = interaction_gain(x, trigger, topic, design.gate, seed).gain
    return LayerGeometry(values, {"mean_discrepancy": p, "selectivity": code.p})
