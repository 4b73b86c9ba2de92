"""What the product of two features adds to a linear probe on a trigger x topic design.

A gate that opens for one condition alone, or for both together, can be read by a line through the
readings of trigger and topic. Exclusive or cannot: it needs their product, unless the model has
formed it already.
"""

from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import expect
from probes.geometry.margins import check_units, fold_of
from probes.geometry.spread import Estimates
from probes.linear import lda, logistic
from probes.stats.intervals import MEANS, estimates
from probes.stats.means import mean_bounds


@dataclass(frozen=True)
class InteractionGain:
    """Held-out accuracy of the two probes, one estimate per site, intervals over units.

    Attributes:
        linear: of a probe on the readings of trigger, topic and gate.
        product: of one that also has the product of the readings of trigger and topic.
        gain: product minus linear, paired by unit: 0.5 for an exclusive or without noise, 0 for one
            condition alone. "Both" and "either" gain 0.01 to 0.02 where readings are noisy, because
            the best boundary then has a bend.
    """

    linear: Estimates
    product: Estimates
    gain: Estimates


def interaction_gain(
    x: Float[Tensor, "sites n m d"],
    trigger: Bool[Tensor, "n m"],
    topic: Bool[Tensor, "n m"],
    gate: Bool[Tensor, "n m"],
    seed: int = 0,
) -> InteractionGain:
    """What the product of trigger and topic tells of the gate beyond a linear reading.

    Of five folds, two give the directions of trigger, topic and gate (linear discriminants with
    Ledoit-Wolf shrinkage), two the weights of both probes on the readings along them (logistic),
    one is tested, and each is tested once. The direction of the gate is what lets the linear probe
    keep up where the model itself has already formed the product.

    Args:
        x: activations of n units of m examples; units stay in one fold.
        trigger, topic: the design: which condition each example is in.
        gate: whether the gate should be open, a function of the two.

    Raises:
        UserError: other shapes, or a class missing in a fold (add units).
    """
    for labels, name in ((trigger, "trigger"), (topic, "topic"), (gate, "gate")):
        check_units(x, labels, name)
    fold = fold_of(x.shape[1], 5, seed)
    right = torch.empty(2, *x.shape[:3], dtype=torch.float64)
    for test in range(5):
        turn = (fold - test) % 5
        parts = turn == 0, (turn == 1) | (turn == 2), turn > 2
        for labels, part in product((trigger, topic, gate), parts[1:]):
            expect(
                not labels[part].all() and labels[part].any(),
                "both classes in every fold",
                f"one in {int(part.sum())} units",
                "add units",
                "interaction gain",
            )
        right[:, :, parts[0]] = _two_probes(x, (trigger, topic, gate), parts)
    linear, extended = right.mean(-1)
    return InteractionGain(*(_over_units(part) for part in (linear, extended, extended - linear)))


Designs = tuple[Bool[Tensor, "n m"], Bool[Tensor, "n m"], Bool[Tensor, "n m"]]
Parts = tuple[Bool[Tensor, "n"], Bool[Tensor, "n"], Bool[Tensor, "n"]]


def _two_probes(
    x: Float[Tensor, "sites n m d"], designs: Designs, parts: Parts
) -> Float[Tensor, "2 sites units m"]:
    """1 where the linear, and the product, probe is right about a test example's gate."""
    test, axes, fit = parts
    unscaled = [lda(x[:, axes].flatten(1, 2), y[axes].flatten()) for y in designs]

    def readings(part: Tensor) -> Float[Tensor, "sites examples 3"]:
        return torch.stack([axis.scores(x[:, part].flatten(1, 2)) for axis in unscaled], dim=-1)

    known, new = readings(fit), readings(test)
    centre, spread = known.mean(1, keepdim=True), known.std(1, keepdim=True).clamp_min(1e-200)
    known, new = (known - centre) / spread, (new - centre) / spread
    label, truth = designs[2][fit].flatten(), designs[2][test].flatten()
    right = []
    for extend in (lambda z: z, _with_product):
        scores = logistic(extend(known), label, penalty=0.01).scores(extend(new))
        right.append(((scores > 0) == truth).to(torch.float64))
    return torch.stack(right).unflatten(-1, designs[0][test].shape)


def _with_product(z: Float[Tensor, "sites k 3"]) -> Float[Tensor, "sites k 4"]:
    return torch.cat([z, z[..., :1] * z[..., 1:2]], dim=-1)


def _over_units(values: Float[Tensor, "sites n"]) -> Estimates:
    low, high = mean_bounds(values)
    return estimates(values.mean(-1), low, high, values.shape[-1], MEANS)
