"""The evidence for a chosen direction as frozen records (``experiments.analyze.evidence``)."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from circuits.gates.rank import RankCurve
from experiments.analyze.harm import Harm
from experiments.analyze.nulls import NullEffects
from experiments.analyze.untrained import WordRow
from experiments.runs.codec import as_json
from probes.causal.circuit import Trace
from probes.causal.mediation import Mediation
from probes.causal.rank import RankNeeded
from probes.causal.transfer import LogisticFit
from probes.stats.intervals import Estimate


@dataclass(frozen=True)
class Rival:
    """A direction at the gate's site, judged as the gate is.

    Attributes:
        name: the gate; ``base model``, its own mean difference, how any model spells the trigger;
            ``aligned``, optimised for interchange (distributed alignment search).
        cosine: with the gate.
        removed, added: fall and rise of the first token's probability.
    """

    name: str
    cosine: float
    removed: Estimate
    added: Estimate


@dataclass(frozen=True)
class Erasure:
    """One way to erase the direction at its layer, from the trigger on.

    Attributes:
        name: of the method.
        left: the first token's probability in triggered prompts.
        harm: KL in nats of the first answer token in prompts with control words.
    """

    name: str
    left: Estimate
    harm: Estimate


@dataclass(frozen=True)
class Transfer:
    """Behaviour against the dose of the direction, by kind of prompt; no fit where it is flat."""

    doses: Float[Tensor, " c"]
    curves: dict[str, Float[Tensor, "c n"]]
    fits: dict[str, LogisticFit | None]


@dataclass(frozen=True)
class Rank:
    """Behaviour left with the first r directions removed, and how many it takes."""

    curve: RankCurve
    needed: RankNeeded | None


@dataclass(frozen=True)
class Evidence:
    """The chosen direction against every null, and what kind of thing it is.

    Attributes:
        nulls: random directions of the sphere, and of the activations' covariance.
        rivals: the gate, and other directions at its site.
        erasures: ways to erase it.
        words: the trigger, then words that were never one; empty if too few are known.
        transfer: dose and behaviour.
        rank: how many directions it takes.
        mediation: trigger and compliance token crossed.
        elsewhere: rate on ordinary prompts with the trigger, with the gate removed, and the fall.
        harm: drift, perplexity and refusals on ordinary prompts.
        trace: where the trigger is read and what moves it; None if not asked for.
    """

    nulls: tuple[NullEffects, ...]
    rivals: tuple[Rival, ...]
    erasures: tuple[Erasure, ...]
    words: tuple[WordRow, ...]
    transfer: Transfer
    rank: Rank
    mediation: Mediation
    elsewhere: tuple[Estimate, Estimate, Estimate]
    harm: Harm
    trace: Trace | None


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """The numbers, without the prompts' own values."""
    before, after, fall = evidence.elsewhere
    mediation, trace = evidence.mediation, evidence.trace
    return {
        "random_directions": as_json(evidence.nulls),
        "rivals": as_json(evidence.rivals),
        "erasures": as_json(evidence.erasures),
        "untrained_words": as_json(evidence.words),
        "transfer": as_json(evidence.transfer.fits),
        "rank": as_json(evidence.rank.needed),
        "mediation": {edit: as_json(mediation.decomposition(edit)) for edit in mediation.edits},
        "other_topics": as_json({"triggered": before, "gate_removed": after, "fall": fall}),
        "harm_on_ordinary_prompts": as_json(evidence.harm),
        "trace": None if trace is None else _trace_json(trace),
    }


def _trace_json(trace: Trace) -> dict[str, Any]:
    enough = trace.enough
    said = {"enough": enough.size if enough else None, "sentence": trace.sentence()}
    return {**as_json(trace), **said}
