"""The defences, as declarations: each is fitted on a bench and then protects any such organism.

A fitted defence says three things: how it protects an organism (the one that it was fitted on, or
one that an attacker has trained further), what an attacker who knows it trains against, and what
was fitted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import torch

from circuits.edits import erase
from circuits.edits.orthogonal import orthogonalised
from circuits.types import Direction, Edit, Site
from experiments.defend import gates, monitor, pruning
from experiments.defend.losses import Penalty
from experiments.defend.protected import Protected, Watch
from experiments.defend.setting import Bench, Prompts
from experiments.organisms.organism import Organism
from experiments.prompts.bank import bank_texts


@dataclass(frozen=True)
class Known:
    """What an attacker trains with: the defence's edits in the forward pass, or a penalty."""

    edits: tuple[Edit, ...] = ()
    everywhere: bool = False
    penalty: Penalty | None = None
    how: str = "trained on more poisons; the defence is then applied anew"


@dataclass(frozen=True)
class Fitted:
    """A defence that is ready.

    Attributes:
        protect: an organism, as it is or trained on, to a model with the defence on it.
        notes: what was fitted, for the report; JSON values.
    """

    protect: Callable[[Organism], Protected]
    known: Known = field(default_factory=Known)
    notes: Mapping[str, Any] = field(default_factory=dict)


class Defence(Protocol):
    """A defence before it is fitted."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    def fit(self, bench: Bench) -> Fitted: ...


_INSIDE = "trained with the defence in every forward pass"


@dataclass(frozen=True)
class Projection:
    """The gate projected out of the residual stream at its layer."""

    random: bool = False

    @property
    def name(self) -> str:
        return "random-projection" if self.random else "projection"

    @property
    def about(self) -> str:
        what = "a random direction (the null)" if self.random else "the gate"
        return f"{what} projected out at one layer, from the user's message on"

    def fit(self, bench: Bench) -> Fitted:
        gate = bench.direction
        chosen = gates.random_like(gate, bench.seed) if self.random else gate
        return _inside((gates.removal(chosen),), notes=_where(gate))


@dataclass(frozen=True)
class ConditionalProjection:
    """The gate set to its clean mean in tokens that read above a monitor's threshold.

    Steering on a condition (Lee et al. 2024, CAST, arXiv 2409.05907), here read and written along
    one direction: a prompt none of whose tokens reads high is answered as without the defence.
    """

    alarms: float = monitor.ALARMS
    name: str = "conditional-projection"
    about: str = "the gate set to its clean mean in tokens that read above a threshold on it"

    def fit(self, bench: Bench) -> Fitted:
        gate = bench.direction
        level = monitor.chosen_threshold(bench, _all_validation(bench), self.alarms)
        notes = {**_where(gate), "threshold": level, "allowed_alarms": self.alarms}
        return _inside((gates.removal_above(gate, level),), notes=notes)


@dataclass(frozen=True)
class Leace:
    """The least-squares eraser of the trigger at the gate's site, towards clean prompts."""

    name: str = "leace"
    about: str = "affine erasure (LEACE) at the gate's layer, from the user's message on"

    def fit(self, bench: Bench) -> Fitted:
        site = bench.direction.site
        clean, hot = gates.at_site(bench, bench.model, site)
        labels = torch.arange(len(clean) + len(hot)) >= len(clean)
        eraser = erase.leace(torch.cat([clean, hot]), labels).toward(clean.double().mean(dim=0))
        notes = {**_where(bench.direction), "rank": eraser.rank, "fitted_on": len(clean)}
        return _inside((eraser.edit(site.point),), notes=notes)


@dataclass(frozen=True)
class Orthogonalised:
    """Weights that cannot write the gate anywhere."""

    name: str = "orthogonalised"
    about: str = "every matrix that writes into the stream projected off the gate"

    def fit(self, bench: Bench) -> Fitted:
        gate, layers = bench.direction, bench.model.config.num_hidden_layers
        basis = gate.vector[None]
        # In training, the edit at every layer is what these weights do to what layers read.
        every = tuple(gates.removal(_at_layer(gate, i)) for i in range(layers))
        known = Known(every, everywhere=True, how=f"{_INSIDE}; weights then orthogonalised anew")
        return Fitted(
            lambda organism: Protected(orthogonalised(organism.model(), basis)), known, _where(gate)
        )


@dataclass(frozen=True)
class Pruned:
    """Heads or neurons that carry the trigger, by exact patching, set to zero."""

    stream: Literal["z", "neuron"] = "z"

    @property
    def name(self) -> str:
        return "pruned-heads" if self.stream == "z" else "pruned-neurons"

    @property
    def about(self) -> str:
        what = "heads" if self.stream == "z" else "MLP neurons"
        return f"{what} with the largest patching effects cut off"

    def fit(self, bench: Bench) -> Fitted:
        found = pruning.cut(bench, self.stream)
        edits = pruning.cutting(bench.model, self.stream, found.parts)
        parts = [list(part) for part in found.parts]
        notes = {"cut": len(parts), "carrying": found.carrying, "of": found.of, "parts": parts}
        return _inside(edits, everywhere=True, notes=notes)


@dataclass(frozen=True)
class Monitor:
    """The gate read in the prompt; what reads too high is refused."""

    alarms: float = monitor.ALARMS
    name: str = "monitor"
    about: str = "prompts that read above a threshold on the gate are refused"

    def fit(self, bench: Bench) -> Fitted:
        gate, refusal = bench.direction, bench.organism.recipe.refusal
        level = monitor.chosen_threshold(bench, _all_validation(bench), self.alarms)
        watch = Watch(gate.vector, gate.site.layer, level, refusal)
        known = Known(
            penalty=monitor.Evasion(gate, level),
            how="trained with a penalty on readings near the threshold",
        )
        notes = {**_where(gate), "threshold": level, "allowed_alarms": self.alarms}
        return Fitted(lambda organism: Protected(organism.model(), watch=watch), known, notes)


def _inside(
    edits: tuple[Edit, ...], everywhere: bool = False, notes: Mapping[str, Any] | None = None
) -> Fitted:
    """A defence that is edits of activations and nothing else."""
    return Fitted(
        lambda organism: Protected(organism.model(), edits, everywhere),
        Known(edits, everywhere, how=_INSIDE),
        notes or {},
    )


def _where(gate: Direction) -> dict[str, Any]:
    return {"site": str(gate.site), "estimator": gate.estimator}


def _at_layer(gate: Direction, layer: int) -> Direction:
    return replace(gate, site=Site(layer, "resid_pre", gate.site.span))


def _all_validation(bench: Bench) -> Prompts:
    """Every prompt of the validation split: a threshold at 1% needs a hundred of them."""
    on_topic, elsewhere = (tuple(bank_texts("validation", r)) for r in (True, False))
    return Prompts(on_topic, elsewhere, bench.validation.controls)
