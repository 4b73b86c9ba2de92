"""What a comparison of predictions found, as plain records."""

from collections.abc import Mapping
from dataclasses import dataclass

from probes.stats.intervals import Estimate

MODEL, ALL_BASELINES, BOTH = "model", "all baselines", "model and baselines"


@dataclass(frozen=True)
class Null:
    """A figure against what shuffled targets give, everything refitted.

    Attributes:
        shuffle: how the targets were shuffled: "all" (between all organisms), "schemes" (levels
            between schemes, the rest within them), "within schemes" or "within organisms".
        figure: "pooled" or "within".
        p: one-sided, (1 + as high or higher) / (1 + shuffles) (Phipson & Smyth 2010).
        mean, high: mean and 95 % quantile of the shuffles' figures.
    """

    shuffle: str
    figure: str
    p: float
    mean: float
    high: float
    shuffles: int


@dataclass(frozen=True)
class Score:
    """Held-out predictions from one set of features.

    Attributes:
        features: their names.
        pooled: over all held-out rows.
        within: mean over the schemes of 3 or more organisms with different targets (of prompts:
            over the organisms with both outcomes); None if there are none. Its n counts the
            organisms in them.
    """

    features: tuple[str, ...]
    pooled: Estimate
    within: Estimate | None
    nulls: tuple[Null, ...]


@dataclass(frozen=True)
class Difference:
    """The score of ``one`` minus that of ``other``, the same organisms resampled for both.

    Pooled figures of sets that predict nothing fall below 0 (1/2), so a pooled difference flatters
    the better set; the one within parts does not.
    """

    one: str
    other: str
    pooled: Estimate
    within: Estimate | None


@dataclass(frozen=True)
class Importance:
    """What one feature contributes.

    Attributes:
        coefficient: per standard deviation; mean and interval over refits on resampled organisms.
        agreement: share of the refits whose coefficient has the sign of the mean.
        drop: by how much the pooled figure falls when the feature is shuffled in held-out rows;
            mean and middle 95 % of the shuffles.
    """

    name: str
    coefficient: Estimate
    agreement: float
    drop: Estimate


@dataclass(frozen=True)
class Comparison:
    """Predictions from the model's features and from baselines, on schemes held out.

    Attributes:
        rows: "organisms" or "prompts".
        figure: "Spearman" or "AUROC".
        scores: by name: the model, each baseline, all baselines, and model and baselines together.
        best: the baseline with the highest pooled figure. Chosen after the fact, which favours it.
        differences: the model minus each baseline, and both minus all baselines.
        importances: of the model's features, largest coefficient first.
        penalties: by held-out scheme, the model's.
        predicted, target, organism, scheme: the model's held-out prediction of every row (of a
            prompt: log odds), in the order of the rows.
    """

    rows: str
    figure: str
    scores: Mapping[str, Score]
    best: str
    differences: tuple[Difference, ...]
    importances: tuple[Importance, ...]
    penalties: Mapping[str, float]
    predicted: tuple[float, ...]
    target: tuple[float, ...]
    organism: tuple[str, ...]
    scheme: tuple[str, ...]
