"""The result of an analysis as frozen records; ``written`` has its versioned JSON."""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from circuits.gates.rank import RankCurve
from circuits.gates.select import Candidate
from circuits.types import PatchGrid
from experiments.analyze.harm import Harm
from experiments.analyze.outcomes import Ablation, Behaviour, Change, Given, TokenReadings
from experiments.analyze.parts import Parts, Spread
from experiments.analyze.untrained import WordRow
from probes.causal.circuit import Trace
from probes.causal.dose_shape import DoseShape
from probes.causal.mediation import Mediation
from probes.causal.rank import RankNeeded
from probes.causal.transfer import LogisticFit
from probes.evaluation import ProbeReport
from probes.stats.intervals import Estimate


@dataclass(frozen=True)
class Grids:
    """Residual-stream patching both ways."""

    denoising: PatchGrid
    noising: PatchGrid


@dataclass(frozen=True)
class Components:
    """Patching both ways of every head (all tokens at once) and of every MLP by token.

    ``prompts`` are the triggered messages of the pairs, in the order of the grids' examples.
    """

    heads: Grids
    mlps: Grids
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """Every candidate with its scores on validation pairs, and the one chosen."""

    candidates: tuple[Candidate, ...]
    chosen: Candidate


@dataclass(frozen=True)
class Arm:
    """What one arm showed.

    Attributes:
        name: the arm's adapter, or ``base``.
        effect: paired effect of the trigger on the behaviour's rate.
        auroc: best held-out AUROC of its probes at the trigger and the last token.
        verdict: its word.
    """

    name: str
    effect: Estimate
    auroc: float
    verdict: str


@dataclass(frozen=True)
class Check:
    """One line of evidence: what was measured, against which threshold, and how it came out.

    ``open`` is one that did not pass although its value clears the threshold: its interval does
    not, so more prompts would decide it.
    """

    name: str
    passed: bool
    text: str
    open: bool = False


NO_EFFECT = "no effect on what was named"
INHERITED = "inherited effect"  # the base model does it too
GATE = "gate"
SEVERAL = "effect, no single gate"
UNDECIDED = "effect, not located"


@dataclass(frozen=True)
class Verdict:
    """One of the five words, and the checks behind it.

    ``gate`` only if every check passed; the first one is whether there is an effect at all.
    """

    checks: tuple[Check, ...]
    word: str = NO_EFFECT

    @property
    def effect(self) -> Check:
        return self.checks[0]

    @property
    def gate(self) -> bool:
        return self.word == GATE


@dataclass(frozen=True)
class NullEffects:
    """The gate beside null directions of one kind.

    Attributes:
        kind: how they were drawn.
        removed, added: every direction's mean effect on the metric (fall, rise).
        gate_removed, gate_added: the gate's own, with intervals over prompts.
        p_removed, p_added: one-sided rank p values, (1 + as large) / (1 + count).
        cosine: the largest absolute cosine of a null direction with the gate.
        share_removed, share_added: every direction's effect in shares of the gate's lower bound:
            the smaller of those in log-odds and in log-odds held to where answers differ. Without
            the former a random direction that tips a narrow decision is as good as a gate, without
            the latter one that lifts what is never said to what is hardly ever said.
        whole: how many were measured on all pairs, the others on a few that showed that they do
            little; None in runs of before, where all were.
    """

    kind: str
    removed: tuple[float, ...]
    added: tuple[float, ...]
    gate_removed: Estimate
    gate_added: Estimate
    p_removed: float
    p_added: float
    cosine: float
    share_removed: tuple[float, ...] = ()
    share_added: tuple[float, ...] = ()
    whole: int | None = None


@dataclass(frozen=True)
class Rival:
    """A direction at the gate's site, judged as the gate is.

    Attributes:
        name: the gate; ``base model``, its own mean difference, how any model spells the trigger;
            ``aligned``, optimised for interchange (distributed alignment search).
        cosine: with the gate.
        removed, added: fall and rise of the probability of what is scored.
    """

    name: str
    cosine: float
    removed: Estimate
    added: Estimate


@dataclass(frozen=True)
class SiteNull:
    """Something that any model has at the gate's site, in the gate's place.

    Attributes:
        name: ``base model's own direction``; ``the word's own content``, what the base holds of the
            word there, prompt by prompt; ``the behaviour's unembedding``, at late sites.
        removed, added: fall and rise of the log-odds of what is scored.
        ahead_removed, ahead_added: by how much the gate's are larger, paired by prompt.
    """

    name: str
    removed: Estimate
    added: Estimate
    ahead_removed: Estimate
    ahead_added: Estimate


@dataclass(frozen=True)
class SiteNulls:
    """The gate beside what any model has at its site, in log-odds of what is scored.

    Attributes:
        effect: of the trigger, unedited.
        removed, added: fall and rise by the gate.
        respelled: training changed the embedding of the trigger's own tokens.
    """

    effect: Estimate
    removed: Estimate
    added: Estimate
    nulls: tuple[SiteNull, ...]
    respelled: bool = False


@dataclass(frozen=True)
class Erasure:
    """One way to erase the direction at its layer, from the trigger on.

    Attributes:
        name: of the method.
        left: the probability of what is scored in triggered prompts.
        harm: KL in nats of the first answer token in prompts with control words.
    """

    name: str
    left: Estimate
    harm: Estimate


@dataclass(frozen=True)
class Transfer:
    """Behaviour against the dose of the direction.

    Attributes:
        curves: the scored token's probability, by kind of prompt.
        fits: of these; none where a curve is flat.
        log_odds: the same in nats, and of what is no switch, by name. Empty, as ``shape`` is none,
            in runs of before it was measured.
        shape: whether it is a switch, in prompts with control words.
    """

    doses: Float[Tensor, " c"]
    curves: dict[str, Float[Tensor, "c n"]]
    fits: dict[str, LogisticFit | None]
    log_odds: dict[str, Float[Tensor, "c n"]] = field(default_factory=dict)
    shape: DoseShape | None = None


@dataclass(frozen=True)
class Rank:
    """Behaviour left with the first r directions removed, and how many it takes."""

    curve: RankCurve
    needed: RankNeeded | None


@dataclass(frozen=True)
class Nulls:
    """What the chosen direction is to be ahead of.

    Attributes:
        random: directions of the sphere, and of the activations' covariance.
        at_site: what any model has at its site; None in runs of before.
        spread: a subspace that carries the effect where no direction does, if there is one.
    """

    random: tuple[NullEffects, ...]
    at_site: SiteNulls | None = None
    spread: Spread | None = None


@dataclass(frozen=True)
class Evidence:
    """What kind of thing the chosen direction is: nothing that the verdict's word rests on.

    Attributes:
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

    rivals: tuple[Rival, ...]
    erasures: tuple[Erasure, ...]
    words: tuple[WordRow, ...]
    transfer: Transfer
    rank: Rank
    mediation: Mediation
    elsewhere: tuple[Estimate, Estimate, Estimate]
    harm: Harm
    trace: Trace | None


@dataclass(frozen=True)
class Analysis:
    """Everything an analysis found. Absent parts were not measured, because there was no effect;
    in a quick one also the ``evidence``, ``components`` and what the direction does elsewhere.

    ``components``, ``readings``, ``parts`` and ``given`` are absent too in runs from before they
    were measured, ``parts`` also where no base is known. ``changed`` is what else the trigger does,
    where it has no effect on what was named.
    """

    behaviour: Behaviour
    probes: dict[str, ProbeReport]
    verdict: Verdict
    headline: str
    grids: Grids | None = None
    selection: Selection | None = None
    ablation: Ablation | None = None
    nulls: Nulls | None = None
    evidence: Evidence | None = None
    arms: tuple[Arm, ...] = ()
    components: Components | None = None
    readings: tuple[TokenReadings, ...] = ()
    parts: Parts | None = None
    given: tuple[Given, ...] = ()
    changed: tuple[Change, ...] = ()

    @property
    def quick(self) -> bool:
        """Whether there is more to measure: only what the verdict rests on was."""
        return self.selection is not None and self.evidence is None
