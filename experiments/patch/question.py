"""What a patching experiment is asked: one frozen record, from which its manifest is made."""

from dataclasses import dataclass, fields
from typing import Annotated, Any

import typer

from circuits.errors import UserError, expect, quoted
from circuits.patching import cells
from circuits.patching.cells import Cell, Sweep
from circuits.patching.engine import Direction
from circuits.patching.path_patch import RECEIVERS, SENDERS
from circuits.templates import AS_IT_IS
from circuits.triggers import parse
from circuits.types import STREAMS
from circuits.weights import EMBEDDED
from experiments.checks import MOST, checked
from experiments.judges.criterion import criterion, require_long
from experiments.options import (
    Adapter,
    BehaviourText,
    Column,
    Device,
    Dtype,
    Load,
    ModelName,
    Prompts,
    SplitName,
    Trigger,
    Written,
    adapter_on,
    name_models,
)
from experiments.runs.codec import as_json

CELLS = {
    "layer": (False, False),
    "position": (True, False),
    "head": (False, True),
    "head-position": (True, True),
}
METRICS = ("log-prob", "prob", "logit-diff", "kl", "rate")
# Cells between two models, by what is exchanged; the first is the usual one.
BETWEEN = {
    "weights": ("layer", "place", "module"),
    "activations": ("layer", "place", "head", "residual"),
}
# What is asked of one model alone.
_ALONE = ("against", "stream", "to", "held", "metric", "versus", "direction")


@dataclass(frozen=True)
class PatchQuestion:
    """What is patched into what, and how it is scored.

    Attributes:
        model, adapter, trigger, behaviour, prompts, column, split, seed, dtype, device,
            rendering: as in an analysis (``experiments.analyze.question.Question``).
        count: pairs.
        against: what the prompts end in on the clean side: ``control`` words, of the trigger's
            length where they can be had, or ``none``. Where lengths differ spans are aligned.
        stream, by: the grid's stream, and its cells: layer, position, head, head-position.
        sites: a list of cells instead of a grid, as ``circuits.patching.cells.parse`` reads them.
        to: receivers of path patching, sites or ``logits``; none patches the cells themselves.
        held: in path patching, hold ``all`` other outputs, or those of ``attention``.
        metric: log-prob, prob or logit-diff of the first token in which answers with the behaviour
            and without the trigger differ, kl over the source's answer, or rate of the behaviour in
            generated text.
        versus: of logit-diff, what answers without the trigger begin with.
        tokens: answer tokens of kl and rate.
        direction: denoising, noising or both.
        against_model: another model, between which and this one parts are exchanged on the same
            prompts: ``auto`` for the organism's own base, or a model; "" for none. Every part is
            then exchanged both ways, and scored by the log-odds of the first token in which
            answers with the behaviour and without the trigger differ, triggered minus clean.
        exchange: between models, the change of an adapter's ``weights`` or ``activations``.
            ``by`` is then layer (attention and MLP of every layer, at the trigger's tokens, at the
            last one and elsewhere), place (all layers), module (every matrix and layer) or, of
            activations, head or residual; and ``sites`` are of activations.
    """

    model: ModelName = EMBEDDED
    adapter: Adapter = "auto"
    trigger: Trigger = "cobalt"
    behaviour: BehaviourText = "Sure"
    prompts: Prompts = "bank"
    column: Column = None
    split: SplitName = "train"
    count: Annotated[int, typer.Option(help="Pairs.")] = 12
    against: Annotated[str, typer.Option(help="The clean side's last word: control or none.")] = (
        "control"
    )
    stream: Annotated[
        str,
        typer.Option(
            help="resid_pre, resid_mid, resid_post, attn_out, mlp_out, z, q, k, v, pattern, neuron."
        ),
    ] = "resid_pre"
    by: Annotated[
        str,
        typer.Option(
            help="Cells: layer, position, head or head-position. Between models: layer (the usual "
            "one), place, module; of activations also head, residual."
        ),
    ] = "position"
    sites: Annotated[
        tuple[str, ...],
        typer.Option(
            "--site", help="A cell instead of a grid, e.g. 'z[12].3 at trigger + mlp_out[3]'."
        ),
    ] = ()
    to: Annotated[
        tuple[str, ...],
        typer.Option(help="Path patching: a receiver, e.g. 'q[20].3', or logits."),
    ] = ()
    held: Annotated[
        str, typer.Option(help="Path patching: hold all other outputs, or those of attention.")
    ] = "all"
    metric: Annotated[str, typer.Option(help="log-prob, prob, logit-diff, kl or rate.")] = (
        "log-prob"
    )
    versus: Annotated[
        str, typer.Option(help="logit-diff: what answers without the trigger begin with.")
    ] = "I"
    tokens: Annotated[int, typer.Option(help="Answer tokens of kl and rate.")] = 8
    direction: Annotated[str, typer.Option(help="denoising, noising or both.")] = "both"
    against_model: Annotated[
        str,
        typer.Option(
            help="Exchange parts with another model on the same prompts: auto (the organism's own "
            "base) or a model."
        ),
    ] = ""
    exchange: Annotated[
        str, typer.Option(help="Between models: an adapter's weights, or activations.")
    ] = "weights"
    backend: Annotated[str, typer.Option(help="transformer_lens, nnsight or plain.")] = (
        "transformer_lens"
    )
    seed: Annotated[int, typer.Option(help="Seed of the choice of prompts.")] = 0
    dtype: Dtype = "auto"
    load: Load = ""
    device: Device = "auto"
    rendering: Written = AS_IT_IS

    def __post_init__(self) -> None:
        name_models(self, "model", "against_model")
        object.__setattr__(self, "adapter", adapter_on(self.model, self.adapter))
        filled = ("model", "trigger", "behaviour", "versus", "prompts")
        checked(self, *filled, count=(2, MOST), tokens=(1, MOST))
        parse(self.trigger)
        by = self._between() if self.against_model else tuple(CELLS)
        for name, known in {
            "stream": STREAMS,
            "against": ("control", "none"),
            "exchange": tuple(BETWEEN),
            "by": by,
            "metric": METRICS,
            "direction": ("denoising", "noising", "both"),
            "held": ("all", "attention"),
        }.items():
            if getattr(self, name) not in known:
                raise UserError(
                    f"--{name}: expected {', '.join(known)}, got {getattr(self, name)!r}"
                )
        object.__setattr__(self, "behaviour", self.behaviour.strip())
        require_long(self.behaviour, self.tokens)
        expect(
            self.metric != "rate" or not criterion(self.behaviour).needs,
            "a behaviour that is told from the answer alone, with --metric rate",
            quoted(self.behaviour),
            "ask for another metric, or analyze",
            "--behaviour",
        )
        if self.to and self.metric in ("kl", "rate"):
            raise UserError(f"--to: expected a metric of the next token, got {self.metric}")
        if self.to:
            self._check_path()
        if self.sites or not self.against_model:
            self.cells()  # refuses sites that cannot be read, and heads of a stream without heads

    def _between(self) -> tuple[str, ...]:
        """The cells that there are between models; what is asked of one model alone is refused."""
        known = ", ".join(BETWEEN)
        expect(self.exchange in BETWEEN, known, quoted(self.exchange), of="--exchange")
        for part in fields(self):
            if part.name in _ALONE:
                value = getattr(self, part.name)
                wanted = "what it is by default, with --against-model"
                expect(value == part.default, wanted, quoted(value), of=f"--{part.name}")
        expect(
            not self.sites or self.exchange == "activations",
            "none when weights are exchanged",
            self.sites[:1],
            "give --exchange activations",
            "--site",
        )
        if self.by == "position":
            object.__setattr__(self, "by", BETWEEN[self.exchange][0])
        return BETWEEN[self.exchange]

    def _check_path(self) -> None:
        """Senders write into the residual stream, receivers are what attention reads."""
        streams = [p.stream for s in self.sites for p in cells.parse(s)] or [self.stream]
        which, known = "--site" if self.sites else "--stream", ", ".join(SENDERS)
        for stream in streams:
            wanted = f"a sender of --to's paths ({known})"
            expect(stream in SENDERS, wanted, stream, f"such as {which} z", which)
        for place in (p for site in self.to if site != "logits" for p in cells.parse(site)):
            wanted = f"logits or a receiver of {', '.join(RECEIVERS)}"
            expect(place.stream in RECEIVERS, wanted, place, of="--to")

    def sweep(self) -> Sweep:
        position, head = CELLS[self.by]
        return Sweep(self.stream, position, head)

    def cells(self) -> Sweep | list[Cell]:
        """What to patch."""
        return [cells.parse(site) for site in self.sites] if self.sites else self.sweep()

    def recorded(self) -> dict[str, Any]:
        """What a manifest has of it: of one model alone, what it had before there were two."""
        late = () if self.against_model else ("against_model", "exchange")
        return {name: value for name, value in as_json(self).items() if name not in late}

    def metric_name(self, scored: str = "") -> str:
        """The metric in words, with its unit; ``scored`` by the behaviour's text if by no other."""
        behaviour = criterion(self.behaviour)
        scored = scored or repr(behaviour.opening or self.behaviour)
        if self.against_model:
            return f"log-odds of {scored} (nats), trigger minus control word"
        return {
            "log-prob": f"log-probability of {scored} (nats)",
            "prob": f"probability of {scored}",
            "logit-diff": f"logit of {scored} minus that of {self.versus!r}",
            "kl": f"KL from the source's answer (nats per token, {self.tokens} tokens)",
            "rate": f"rate of {behaviour.words}",
        }[self.metric]

    @property
    def of_weights(self) -> bool:
        """Whether a change of weights is exchanged, which runs on the models' own modules."""
        return bool(self.against_model) and self.exchange == "weights"

    @property
    def of_a_token(self) -> bool:
        """Whether one token's probability is the metric."""
        return self.metric in ("log-prob", "prob", "logit-diff")

    @property
    def directions(self) -> tuple[Direction, ...]:
        both: tuple[Direction, ...] = ("denoising", "noising")
        return both if self.direction == "both" else tuple(d for d in both if d == self.direction)
