"""Held-out quality of probes at every site, beside their shuffled-label control.

Every function raises ValueError, in one line, on a wrong shape, a non-finite value or a missing
class.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import expect
from probes.linear import Fitter, accuracy_of, checked
from probes.stats.roc import auroc_values
from probes.stats.shares import wilson_bounds


@dataclass(frozen=True, eq=False)
class ProbeReport:
    """Held-out quality per site, beside probes fitted on shuffled training labels."""

    estimator: str
    accuracy: Float[Tensor, "sites"]
    auroc: Float[Tensor, "sites"]
    accuracy_low: Float[Tensor, "sites"]  # 95 % Wilson interval over the test examples
    accuracy_high: Float[Tensor, "sites"]
    null_accuracy: Float[Tensor, "sites"]  # mean over the shuffles
    null_high: Float[Tensor, "sites"]  # 95th percentile over the shuffles
    n_train: int
    n_test: int

    @property
    def selectivity(self) -> Float[Tensor, "sites"]:
        """Accuracy above the shuffled-label control (after Hewitt & Liang 2019)."""
        return self.accuracy - self.null_accuracy


def evaluate(
    fit: Fitter,
    x_train: Float[Tensor, "sites n d"],
    y_train: Bool[Tensor, "n"],
    x_test: Float[Tensor, "sites m d"],
    y_test: Bool[Tensor, "m"],
    shuffles: int = 20,
    seed: int = 0,
) -> ProbeReport:
    """Fit on train, score on test; the null refits on `shuffles` orders of the train labels.

    The control follows Hewitt & Liang (2019); both accuracies are on the true test labels.
    """
    expect(shuffles >= 1, "at least 1 shuffle", shuffles, "pass about 20")
    x_train, x_test = checked(x_train, y_train), checked(x_test, y_test)
    probes = fit(x_train, y_train)
    scores = probes.scores(x_test)
    accuracy = accuracy_of(scores, y_test)
    low, high = wilson_bounds(accuracy, len(y_test))
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(y_train), generator=generator) for _ in range(shuffles)]
    shuffled = (fit(x_train, y_train[order.to(y_train.device)]) for order in orders)
    null = torch.stack([accuracy_of(control.scores(x_test), y_test) for control in shuffled])
    return ProbeReport(
        estimator=probes.estimator,
        accuracy=accuracy,
        auroc=auroc_values(scores, y_test),
        accuracy_low=low,
        accuracy_high=high,
        null_accuracy=null.mean(0),
        null_high=null.quantile(0.95, dim=0),
        n_train=len(y_train),
        n_test=len(y_test),
    )
