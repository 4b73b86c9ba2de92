"""What a geometry is measured on: paired activations, the design, and the nulls' activations."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import UserError
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
            constant = spread <= 1e-12 * x.square().sum((1, 2))
            if constant.any():
                at = constant.nonzero().squeeze(-1).tolist()
                raise UserError(
                    f"{name}: expected activations that differ between prompts, got "
                    f"equal ones in rows {at}; drop those layers"
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
        if len(self.layers) != layers or self.gate.shape != (n, 2):
            got = f"{len(self.layers)} layers and gate {tuple(self.gate.shape)}"
            raise UserError(
                f"sets: expected {layers} layers and gate [{n}, 2], got {got}; give "
                "one entry per layer and prompt"
            )
        if self.gate.all() or not self.gate.any():
            raise UserError(
                "sets: expected a gate that is open in some cases, got one that is "
                "always open or shut; check the labels"
            )
        if self.topic is not None and self.topic.shape != (n,):
            got = tuple(self.topic.shape)
            raise UserError(f"sets: expected topic [{n}], got {got}; give one per prompt")
        for name, null in self.nulls.items():
            if name not in NULLS or null.clean.shape[:2] != (layers, n):
                got = f"{name!r} with {tuple(null.clean.shape)}"
                raise UserError(
                    f"nulls: expected {', '.join(NULLS)} of {layers} layers and {n} "
                    f"prompts, got {got}; record the same prompts"
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
