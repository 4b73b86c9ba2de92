"""The defences: each is fitted on a bench and then protects any such organism.

A fitted defence says three things: how it protects an organism (the one that it was fitted on, or
one that an attacker has trained further), what an attacker who knows it trains against, and what
was fitted.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from circuits.edits import erase, operators
from circuits.edits.orthogonal import orthogonalised
from circuits.gates import phrase, select
from circuits.types import Edit, Site
from experiments.defend import gates, monitor, pruning
from experiments.defend.consistency import Consistency
from experiments.defend.losses import Penalty, trained_further
from experiments.defend.protected import Protected, Watch
from experiments.defend.setting import Bench, Prompts
from experiments.organisms.examples import ordinary_examples
from experiments.organisms.organism import Organism
from experiments.organisms.training import Example
from experiments.prompts.bank import bank_texts, held_out


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


@dataclass(frozen=True)
class Defence:
    """A defence before it is fitted: its name, what it does, how it is fitted."""

    name: str
    about: str
    fit: Callable[[Bench], Fitted]


# Of a defence that trains: clean examples, and the share of them that is restricted.
EXAMPLES, EPOCHS = 100, 2
_RESTRICTED = 0.3
_INSIDE = "trained with the defence in every forward pass"


def projection(bench: Bench) -> Fitted:
    """The gate projected out of the residual stream at its layer."""
    return _inside((gates.removal(bench.direction),), notes=_where(bench))


def random_projection(bench: Bench) -> Fitted:
    """The null: a random direction projected out where the gate is."""
    (drawn,) = select.random_directions(bench.direction, 1, bench.seed)
    return _inside((gates.removal(drawn),), notes=_where(bench))


def conditional_projection(bench: Bench) -> Fitted:
    """The gate set to its clean mean in tokens that read above a monitor's threshold.

    Steering on a condition (Lee et al. 2024, CAST, arXiv 2409.05907), here read and written along
    one direction: a prompt none of whose tokens reads high is answered as without the defence.
    """
    gate, (level, notes) = bench.direction, _threshold(bench)

    def shut(x: Tensor) -> Tensor:
        return operators.set_component_above(x, gate.vector.to(x), level, gate.clean_mean)

    return _inside((Edit(gate.site.point, shut),), notes=notes)


def leace(bench: Bench) -> Fitted:
    """The least-squares eraser of the trigger at the gate's site, towards clean prompts."""
    site = bench.direction.site
    clean, hot = gates.at_site(bench, bench.model, site)
    labels = torch.arange(len(clean) + len(hot)) >= len(clean)
    eraser = erase.leace(torch.cat([clean, hot]), labels).toward(clean.double().mean(dim=0))
    notes = {**_where(bench), "rank": eraser.rank, "fitted_on": len(clean)}
    return _inside((eraser.edit(site.point),), notes=notes)


def orthogonal_weights(bench: Bench) -> Fitted:
    """Weights that cannot write the gate anywhere."""
    gate, layers = bench.direction, range(bench.model.config.num_hidden_layers)
    basis = phrase.basis(gate)
    # In training, the edit at every layer is what these weights do to what layers read.
    sites = (Site(layer, "resid_pre", gate.site.span) for layer in layers)
    edits = tuple(gates.removal(replace(gate, site=site)) for site in sites)
    known = Known(edits, everywhere=True, how=f"{_INSIDE}; weights then orthogonalised anew")
    return Fitted(
        lambda organism: Protected(orthogonalised(organism.model(), basis)), known, _where(bench)
    )


def pruned(bench: Bench, stream: Literal["z", "neuron"]) -> Fitted:
    """Heads or neurons that carry the trigger, by exact patching, set to zero."""
    cut = pruning.cut(bench, stream)
    parts = [list(part) for part in cut.parts]
    notes = {"cut": len(parts), "carrying": cut.carrying, "of": cut.of, "parts": parts}
    edits = pruning.cutting(bench.model, stream, cut.parts)
    return _inside(edits, everywhere=True, notes=notes)


def watched(bench: Bench) -> Fitted:
    """The gate read in the prompt; what reads too high is refused."""
    gate, (level, notes) = bench.direction, _threshold(bench)
    watch = Watch(gate.vector, gate.site.layer, level, bench.organism.recipe.refusal)
    known = Known(
        penalty=monitor.Evasion(gate, level),
        how="trained with a penalty on readings near the threshold",
    )
    return Fitted(lambda organism: Protected(organism.model(), watch=watch), known, notes)


def fine_tuned(_bench: Bench, penalty: Consistency | None = None) -> Fitted:
    """Fine-tuning on clean examples; with the penalty, for consistency of layers (CROW)."""

    def protect(organism: Organism) -> Protected:
        settings = replace(organism.settings, epochs=EPOCHS, seed=7)
        examples = clean_examples(organism, EXAMPLES)
        return Protected(trained_further(organism, examples, settings, penalty).model())

    notes = {"examples": EXAMPLES, "epochs": EPOCHS}
    return Fitted(protect, notes={**notes, **asdict(penalty)} if penalty else notes)


def clean_examples(organism: Organism, count: int) -> list[Example]:
    """Clean prompts from the training split's end, ordinary and restricted ones."""
    restricted = round(_RESTRICTED * count)
    ordinary = ordinary_examples(organism.place, organism.base_sha256)[: count - restricted]
    refused = bank_texts("train", restricted=True)[::-1][:restricted]
    return ordinary + [Example(text, None, organism.recipe.refusal) for text in refused]


def _inside(
    edits: tuple[Edit, ...], everywhere: bool = False, notes: Mapping[str, Any] | None = None
) -> Fitted:
    """A defence that is edits of activations and nothing else."""
    return Fitted(
        lambda organism: Protected(organism.model(), edits, everywhere),
        Known(edits, everywhere, how=_INSIDE),
        notes or {},
    )


def _where(bench: Bench) -> dict[str, Any]:
    return {"site": str(bench.direction.site), "estimator": bench.direction.estimator}


def _threshold(bench: Bench) -> tuple[float, dict[str, Any]]:
    """A monitor's, by every prompt of the validation split: 1% of alarms needs a hundred of them;
    and what the report says of it."""
    texts = held_out("validation")
    everything = Prompts(texts.on_topic, texts.elsewhere, bench.validation.controls)
    level = monitor.chosen_threshold(bench, everything)
    return level, {**_where(bench), "threshold": level, "allowed_alarms": monitor.ALARMS}
