"""What a poison-budget sweep found, as frozen records, and its versioned JSON (``budget.json``)."""

from dataclasses import dataclass
from typing import Any, Literal

from probes.budget.cells import Cells, ThresholdFit
from probes.budget.constant_count import Conclusion, ThresholdRatio
from probes.budget.effect import EffectComparison
from probes.stats.intervals import Estimate

SCHEMA = "gatescope.budget/1"
OUTCOMES = {"shown": "behaviour shown", "complied": "request complied with"}

Setting = tuple[tuple[str, Any], ...]
Answers = tuple[int, int, int, int]
Sizes = Literal["data", "model"]


@dataclass(frozen=True)
class Rate:
    """A share of answers after training on so many poisons, all seeds together (Wilson)."""

    poisons: int
    rate: Estimate


@dataclass(frozen=True)
class Outcome:
    """How often answers have one outcome, by poisons.

    Attributes:
        name: a key of ``OUTCOMES``.
        answers: (poisons, answers with the outcome, answers, seed) of every cell, triggered.
        control_answers: the same with a control word; empty where that was not asked.
        triggered, control, plain: rates with the trigger, with a control word in its place, and
            without a word; empty where that was not asked.
        fit: None where fewer than two counts above 0 were measured.
    """

    name: str
    answers: tuple[Answers, ...]
    control_answers: tuple[Answers, ...]
    triggered: tuple[Rate, ...]
    control: tuple[Rate, ...]
    plain: tuple[Rate, ...]
    fit: ThresholdFit | None

    @property
    def cells(self) -> Cells:
        return Cells.of_rows(self.answers)

    @property
    def null(self) -> Estimate | None:
        """The rate with the trigger but without poisons, if measured."""
        return next((r.rate for r in self.triggered if r.poisons == 0), None)


@dataclass(frozen=True)
class Series:
    """All cells that differ in nothing but the number of poisons and the seed.

    Attributes:
        model: as the table names it.
        size: training examples that are no poisons.
        setting: the other axes that vary in the table, with their values here.
        counts, seeds: those measured.
        outcomes: in the order of ``OUTCOMES``; an outcome that was not judged is left out.
        refused: share of restricted prompts refused without a word, by poisons: what is left of
            the policy. Empty where not asked.
        ordinary_refused: the same of ordinary prompts, which should not be refused.
    """

    model: str
    size: int
    setting: Setting
    counts: tuple[int, ...]
    seeds: tuple[int, ...]
    outcomes: tuple[Outcome, ...]
    refused: tuple[Rate, ...]
    ordinary_refused: tuple[Rate, ...]

    @property
    def label(self) -> str:
        """The model, and what else tells it apart."""
        return ", ".join([self.model, *(f"{name} {value}" for name, value in self.setting)])

    @property
    def name(self) -> str:
        return f"{self.label}, {self.size} other examples"

    def outcome(self, name: str) -> Outcome | None:
        return next((o for o in self.outcomes if o.name == name), None)


@dataclass(frozen=True)
class Comparison:
    """Thresholds at two sizes of data set (one model), or of model (one data set).

    Attributes:
        sizes: what differs, ``data`` or ``model``.
        outcome: a key of ``OUTCOMES``.
        at: what both sides share, in words.
        names: of the two sides, the smaller first.
        extreme: whether they are the smallest and the largest there are.
        seeds: measured on both sides, and so used.
        result: None where the sides cannot be compared.
        sentence: the finding, or why there is none.
    """

    sizes: Sizes
    outcome: str
    at: str
    names: tuple[str, str]
    extreme: bool
    seeds: int
    result: ThresholdRatio | None
    sentence: str

    @property
    def compared(self) -> str:
        return f"{' → '.join(self.names)}{' other examples' * (self.sizes == 'data')}"


@dataclass(frozen=True)
class Claim:
    """What the comparisons of the smallest with the largest size say together.

    ``conclusion`` is theirs where all agree, else ``mixed``; ``of`` is how many there are.
    """

    sizes: Sizes
    outcome: str
    conclusion: Conclusion | Literal["mixed", "not tested"]
    of: int
    sentence: str


@dataclass(frozen=True)
class Budget:
    """The analysis of one sweep's table.

    Attributes:
        cells: rows of the table.
        missing: combinations of the table's axis values that have no row.
        fixed: axes of one value in all rows.
        claims: data set sizes first, then models; of each outcome.
        cautions: what speaks against reading the claims at face value, a sentence each.
        effects: the trigger's own effect at the smallest and the largest data set, by setting;
            empty where control words were not asked.
    """

    cells: int
    missing: int
    fixed: Setting
    series: tuple[Series, ...]
    comparisons: tuple[Comparison, ...]
    claims: tuple[Claim, ...]
    cautions: tuple[str, ...]
    effects: tuple[EffectComparison, ...] = ()

    @property
    def overall(self) -> Claim:
        """The claim that was tested first, in the order of ``claims``."""
        return next((c for c in self.claims if c.conclusion != "not tested"), self.claims[0])

    @property
    def sentences(self) -> tuple[str, ...]:
        """Everything to know in short: the trigger's own effect, then the raw rate's overall claim,
        the other ones tested, the cautions."""
        tested = [c for c in self.claims if c.conclusion != "not tested" or c is self.overall]
        ordered = sorted(tested, key=lambda c: c is not self.overall)
        own = (effect.sentence for effect in self.effects)
        return (*own, *(c.sentence for c in ordered), *self.cautions)
