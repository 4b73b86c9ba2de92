"""What a geometry is measured on: paired activations, the design, and the nulls' activations."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import expect
from probes.geometry.kernels import check_paired, examples
from probes.stats.algebra import example_span
from probes.stats.checks import generator

NULLS = ("untrained_trigger", "clean_model", "random_direction")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Residuals of the same prompts without and with a trigger, at the first answer token.

    Raises:
        UserError: not paired, too few, not finite, or one and the same in all prompts of a layer.
    """

    clean: Float[Tensor, "layers n d"]
    triggered: Float[Tensor, "layers n d"]

    def __post_init__(self) -> None:
        check_paired(self.triggered, self.clean)
        for name, x in (("clean", self.clean), ("triggered", self.triggered)):
            x = examples(x, name, at_least=20)
            spread = (x - x.mean(1, keepdim=True)).square().sum((1, 2))
            constant = (spread <= 1e-12 * x.square().sum((1, 2))).nonzero().squeeze(-1).tolist()
            expect(
                not constant,
                "activations that differ between prompts",
                f"equal ones in rows {constant}",
                "drop those layers",
                name,
            )

    def units(self) -> Float[Tensor, "layers n 2 d"]:
        """Clean and triggered of each prompt together, in float64."""
        return torch.stack([self.clean, self.triggered], dim=2).to(torch.float64)

    def compact(self) -> "Pairs":
        """The same points in coordinates of their own span, at most one axis per point.

        Distances and inner products about the mean stay as they are. Estimators that count axes
        (a shrunk covariance) count those of the span, wherever it lies.
        """
        x = torch.cat([self.clean, self.triggered], dim=1).to(torch.float64)
        if x.shape[2] <= x.shape[1]:
            return self
        coordinates, _ = example_span(x - x.mean(1, keepdim=True))
        used = (coordinates != 0).any(0).any(0)
        clean, triggered = coordinates[..., used].split(self.clean.shape[1], dim=1)
        return Pairs(clean, triggered)


@dataclass(frozen=True, eq=False)
class ActivationSets:
    """Everything one organism's geometry needs.

    Attributes:
        layers: the number of each layer, in the order of the activations.
        pairs: of the organism with its own trigger.
        gate: whether the gate should be open, without (column 0) and with the trigger (1).
        topic: whether each prompt is of the gate's topic; None if there is no second condition.
        nulls: the same prompts with an untrained trigger, in a model without a gate. A null that is
            not given is not measured, but for ``random_direction``, which is made from the pairs.
        probabilities: of the behaviour from clean to triggered, on evenly spaced steps, per pair.

    Raises:
        UserError: shapes that do not fit, an unknown null, or a gate that is always open or shut.
    """

    layers: tuple[int, ...]
    pairs: Pairs
    gate: Bool[Tensor, "n 2"]
    topic: Bool[Tensor, "n"] | None = None
    nulls: Mapping[str, Pairs] = field(default_factory=dict)
    probabilities: Float[Tensor, "k steps"] | None = None

    def __post_init__(self) -> None:
        layers, n = self.pairs.clean.shape[:2]
        expect(
            len(self.layers) == layers and self.gate.shape == (n, 2),
            f"{layers} layers and gate [{n}, 2]",
            f"{len(self.layers)} layers and gate {tuple(self.gate.shape)}",
            "give one entry per layer and prompt",
            "sets",
        )
        expect(
            not self.gate.all() and self.gate.any(),
            "a gate that is open in some cases",
            "one that is always open or shut",
            "check the labels",
            "sets",
        )
        expect(
            self.topic is None or self.topic.shape == (n,),
            f"topic [{n}]",
            self.topic is not None and tuple(self.topic.shape),
            "give one per prompt",
            "sets",
        )
        for name, null in self.nulls.items():
            expect(
                name in NULLS and null.clean.shape[:2] == (layers, n),
                f"{', '.join(NULLS)} of {layers} layers and {n} prompts",
                f"{name!r} with {tuple(null.clean.shape)}",
                "record the same prompts",
                "nulls",
            )


def random_direction(pairs: Pairs, seed: int = 0) -> Pairs:
    """The same clean prompts, each moved as far as its trigger moved it, in one random direction.

    What a trigger would look like that is a displacement of the right size and nothing else.
    """
    clean = pairs.clean.to(torch.float64)
    way = torch.randn(clean.shape[0], 1, clean.shape[2], generator=generator(seed))
    way = torch.nn.functional.normalize(way.to(clean), dim=-1)
    length = (pairs.triggered.to(torch.float64) - clean).norm(dim=-1, keepdim=True)
    return Pairs(clean, clean + length * way)
