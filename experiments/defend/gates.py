"""The direction that defences act on: taken from a finished analysis, or found here quickly.

Found here: at every layer below the last fifth (``circuits.gates.select.LATEST``) and at two
tokens, the trigger's last and the prompt's last, the mean difference of triggered and control
prompts, and that less the base model's (what is learned, not the trigger's spelling). Each is
projected out from the user's message on, on validation prompts. Of those that clear the thresholds
of ``circuits.gates.select`` for necessity and harm, learned ones come first, then others; what
enters the first layer comes last (it is the trigger's embedding, and its removal a word filter).
Chosen is the one whose removal leaves least of the behaviour, its harm on ordinary prompts added.
Unlike ``gatescope analyze`` it tries few estimators and does not ask for sufficiency: a defence
needs no more. Of an analysis' direction of a phrase all that its tokens have is projected out; what
is read, as by a monitor, is the last token's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from circuits.chat import Chat, chats, messages
from circuits.errors import UserError, expect, quoted
from circuits.gates import phrase, select
from circuits.models import in_memory
from circuits.record import last_residuals
from circuits.tokens import dealt, render
from circuits.types import Direction, Edit, Site
from experiments.defend.protected import Protected, Reference, drift, probability, reference
from experiments.defend.setting import Bench
from experiments.runs.read import analysis, gate_of, require_place

SPANS = ("trigger", "last")
_SCREENED = 8  # validation prompts that a candidate is scored on
_DRIFT_TOKENS = 2
LEARNED = "difference_in_differences"


@dataclass(frozen=True)
class Scored:
    """A candidate: what its removal leaves of the behaviour's probability, and its harm (nats).

    Attributes:
        full: the behaviour's probability undefended.
    """

    direction: Direction
    left: float
    harm: float
    full: float

    @property
    def cost(self) -> float:
        return self.left + self.harm

    @property
    def passes(self) -> bool:
        """Whether it clears selection's thresholds of necessity and harm."""
        return self.left <= (1 - select.NECESSITY) * self.full and self.harm < select.HARM

    @property
    def word_filter(self) -> bool:
        """Whether it is read where there is nothing yet but embeddings."""
        return self.direction.site.layer == 0


def removal(direction: Direction) -> Edit:
    """The edit that projects a direction out at its layer; of a phrase those of all its tokens."""
    rows = phrase.basis(direction)
    return Edit(direction.site.point, lambda x: phrase.removed(x, rows))


def find_gate(bench: Bench) -> Direction:
    """The candidate whose removal costs least on validation prompts; earliest among equals."""
    return chosen(_scores(bench, _candidates(bench)))


def chosen(scored: Sequence[Scored]) -> Direction:
    """The best candidate of the best kind of which there is one.

    Raises:
        UserError: no candidate.
    """
    if not scored:
        raise UserError(
            "defence: triggered and control prompts do not differ in any layer; there "
            "is no gate to be found, give --run"
        )
    passing = [s for s in scored if s.passes]
    inner = [s for s in passing if not s.word_filter]
    learned = [s for s in inner if s.direction.estimator == LEARNED]
    pool = learned or inner or passing or scored
    best = min(s.cost for s in pool)
    near = [s for s in pool if s.cost <= best + select.TIE]
    return min(near, key=lambda s: (s.direction.site.layer, s.cost)).direction


def stored(run: Path, bench: Bench, files_sha256: Mapping[str, str | None]) -> Direction:
    """The gate of a finished analysis.

    Args:
        files_sha256: hashes of the organism's model and adapter, by the manifest's names.

    Raises:
        UserError: no gate in there, or one of other weights, another trigger or width.
    """
    about, result = analysis(run)
    of, analysed, gate = f"--run {run}", about["question"], gate_of(run, result)
    if gate is None:
        raise UserError(f"{of}: expected a result with a gate, got none; give another analysis")
    for name, expected in files_sha256.items():
        given, wanted = analysed.get(name), f"{name} {_short(expected)}"
        expect(given == expected, wanted, _short(given), "analyse this organism", of=of)
    asked, config = result["question"].get("trigger"), bench.model.config
    wanted = f"the gate of trigger {bench.trigger!r}"
    expect(asked == bench.trigger, wanted, quoted(asked), "give this organism's analysis", of)
    spans = render(bench.tokenizer, chats(bench.fit.on_topic[:1], bench.trigger)[0]).spans
    require_place(gate, config.num_hidden_layers, config.hidden_size, tuple(spans), of)
    return gate


def _short(digest: Any) -> str:
    return str(digest)[:12] if digest else "none"


def at_site(
    bench: Bench, model: Any, site: Site
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
    """Activations of the fitting prompts with control words and with the trigger, at a site."""
    sides = _sides(bench, model, site.span)
    return sides[0][site.layer], sides[1][site.layer]


def _sides(bench: Bench, model: Any, span: str) -> tuple[Tensor, Tensor]:
    """``[layers, n, d]`` of control and of triggered prompts, at the last token of a span."""
    words = dealt(bench.fit.controls, len(bench.fit.on_topic))
    both = []
    for each in (words, bench.trigger):
        rendered = [render(bench.tokenizer, chat) for chat in chats(bench.fit.on_topic, each)]
        prompts = [prompt.ids[: prompt.spans[span][1]] for prompt in rendered]
        both.append(last_residuals(in_memory(model, bench.tokenizer), prompts))
    return both[0], both[1]


def _candidates(bench: Bench) -> list[Direction]:
    candidates = []
    for span in SPANS:
        clean, hot = _sides(bench, bench.model, span)
        base = _sides(bench, bench.organism.base, span) if bench.organism.state else None
        depth = [i for i in range(len(clean)) if i < select.LATEST * len(clean)]
        for layer, name in product(depth, ("mean_difference", LEARNED)):
            vector = (hot[layer] - clean[layer]).mean(dim=0)
            if name == LEARNED:
                if base is None:
                    continue
                vector = vector - (base[1][layer] - base[0][layer]).mean(dim=0)
            # Adapters leave the first layers as they are: nothing is learned there.
            if float(vector.norm()) <= 1e-4 * float(clean[layer].norm(dim=1).mean()):
                continue
            site = Site(layer, "resid_pre", span)
            candidates.append(select.direction_at(site, vector, name, clean[layer], hot[layer]))
    return candidates


def _scores(bench: Bench, candidates: Sequence[Direction]) -> list[Scored]:
    hot = messages(bench.validation.on_topic[:_SCREENED], bench.trigger)
    calm = chats(bench.validation.elsewhere[:_SCREENED])
    before = reference(bench.plain, bench.tokenizer, calm, _DRIFT_TOKENS)
    behaviour = bench.organism.recipe.behaviour
    full = float(probability(bench.plain, bench.tokenizer, hot, behaviour).mean())
    scored = []
    for direction in candidates:
        shut = replace(bench.plain, edits=(removal(direction),))
        left, harm = cost(bench, shut, hot, before)
        scored.append(Scored(direction, left, harm, full))
    return scored


def cost(
    bench: Bench, protected: Protected, hot: Sequence[Chat], before: Sequence[Reference]
) -> tuple[float, float]:
    """What a defence leaves of the behaviour, as a probability, and its harm in nats."""
    left = probability(protected, bench.tokenizer, hot, bench.organism.recipe.behaviour)
    return float(left.mean()), float(drift(protected, bench.tokenizer, before).mean())
