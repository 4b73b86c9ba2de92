"""Linear probes fitted at every site in one batch.

A site is one (layer, span) position. Fits run in float64 and are deterministic. Every function
raises ValueError, in one line, on a wrong shape, a non-finite value or a missing class.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.edits.erase import ledoit_wolf
from circuits.errors import expect
from probes.stats.algebra import (
    centre_and_scale,
    class_means,
    dot,
    example_span,
    floored,
    mean_square,
    newton,
    plus_identity,
    solve,
    times,
)


@dataclass(frozen=True, eq=False)
class LinearProbes:
    """One affine score per site: score > 0 predicts the positive class.

    Directions have unit norm, so a score is a signed distance in the unit of the activations.
    The positive class has the larger mean training score. Where the class means coincide there
    is no direction: both direction and offset are 0 and the negative class is predicted.
    """

    directions: Float[Tensor, "sites d"]
    offsets: Float[Tensor, "sites"]
    estimator: str

    def scores(self, x: Float[Tensor, "sites n d"]) -> Float[Tensor, "sites n"]:
        """x . direction + offset, per site and example."""
        sites, d = self.directions.shape
        expect(
            x.ndim == 3 and x.shape[0] == sites and x.shape[2] == d,
            f"x [{sites}, n, {d}]",
            tuple(x.shape),
            "use the fitted sites",
        )
        return times(x.to(self.directions), self.directions) + self.offsets[:, None]


Fitter = Callable[[Float[Tensor, "sites n d"], Bool[Tensor, "n"]], LinearProbes]


def mean_difference(x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"]) -> LinearProbes:
    """Direction from the negative to the positive class mean; threshold at their midpoint."""
    x = checked(x, labels)
    gap, middle = class_means(x, labels)
    return _probes("mean_difference", x, gap, gap, -dot(gap, middle))


def lda(
    x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"], shrinkage: float | None = None
) -> LinearProbes:
    """Linear discriminant (Fisher 1936) with the classes' training shares as priors.

    The pooled within-class covariance S becomes (1 - g) S + g tr(S)/d I, with g = `shrinkage`
    in [0, 1], or per site the optimum of Ledoit & Wolf (2004) when None. Raises ValueError if
    g = 0 leaves S singular, that is for d > n - 2.
    """
    x = checked(x, labels)
    n, d = x.shape[1:]
    expect(
        shrinkage is None or 0 <= shrinkage <= 1,
        "a shrinkage in [0, 1]",
        shrinkage,
        "pass None to estimate",
    )
    expect(
        shrinkage != 0 or d <= n - 2,
        f"shrinkage > 0 for d = {d} > n - 2 = {n - 2}",
        "0",
        "pass None",
    )
    gap, middle = class_means(x, labels)
    means = torch.stack([middle - gap / 2, middle + gap / 2], dim=1)
    residuals = x - means[:, labels.long()]
    gram = residuals @ residuals.mT if d > n else residuals.mT @ residuals
    mean_variance = floored(gram.diagonal(dim1=1, dim2=2).sum(-1) / (n * d), x)
    if shrinkage is None:
        # The floor keeps the Woodbury form, which divides by the share, well away from rounding.
        share = ledoit_wolf(residuals, gram, mean_variance).nan_to_num(1.0).clamp_min(1e-6)
    else:
        share = torch.full_like(mean_variance, shrinkage)
    ridge_part, data_part = share * mean_variance, (1 - share) / n
    system = plus_identity(data_part[:, None, None] * gram, ridge_part)
    if d > n:  # Woodbury: solve in the n examples instead of the d coordinates
        inner = solve(system, times(residuals, gap))
        correction = data_part[:, None] * times(residuals.mT, inner)
        weights = (gap - correction) / ridge_part[:, None]
    else:
        weights = solve(system, gap)
    positives = int(labels.sum())
    prior = math.log(positives / (n - positives))
    return _probes("lda", x, gap, weights, prior - dot(weights, middle))


def ridge(
    x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"], penalty: float = 1.0
) -> LinearProbes:
    """Least squares of +-1 on x with a free intercept and penalty * s * |w|^2.

    s is the site's mean squared distance from its centre, so `penalty` (> 0) is unitless and
    means the same at every layer: scikit-learn's Ridge with alpha = penalty * s.
    """
    x = checked(x, labels)
    centre, centred, scale = centre_and_scale(x, penalty)
    target = torch.where(labels, 1.0, -1.0).to(x)
    wide = x.shape[2] > x.shape[1]
    gram = centred @ centred.mT if wide else centred.mT @ centred
    system = plus_identity(gram, scale)
    aim = (target - target.mean()).expand(x.shape[:2])
    if wide:
        weights = times(centred.mT, solve(system, aim))
    else:
        weights = solve(system, times(centred.mT, aim))
    gap, _ = class_means(x, labels)
    return _probes("ridge", x, gap, weights, target.mean() - dot(weights, centre))


def logistic(
    x: Float[Tensor, "sites n d"],
    labels: Bool[Tensor, "n"],
    penalty: float = 0.1,
    steps: int = 50,
) -> LinearProbes:
    """Logistic regression with a free intercept and penalty * s * |w|^2 / 2, by damped Newton.

    s as in `ridge`; scikit-learn's LogisticRegression with C = 1 / (penalty * s). The penalty
    bounds the optimum on separable data. Raises ValueError if `steps` do not converge.
    """
    x = checked(x, labels)
    centre, centred, scale = centre_and_scale(x, penalty)
    wide = x.shape[2] > x.shape[1]
    coordinates, back = example_span(centred) if wide else (centred, None)
    unit = scale.sqrt()[:, None, None]  # in this unit the penalty is |w|^2 / 2 at every site
    features = torch.cat([coordinates / unit, torch.ones_like(coordinates[..., :1])], dim=-1)
    theta = newton(features, torch.where(labels, 1.0, -1.0).to(x), steps)
    weights = theta[:, :-1] / unit[..., 0]
    if back is not None:
        weights = times(centred.mT, times(back, weights))
    gap, _ = class_means(x, labels)
    return _probes("logistic", x, gap, weights, theta[:, -1] - dot(weights, centre))


ESTIMATORS: dict[str, Fitter] = {
    "mean_difference": mean_difference,
    "lda": lda,
    "ridge": ridge,
    "logistic": logistic,
}


def paired_svd(differences: Float[Tensor, "sites n d"], k: int) -> Float[Tensor, "sites k d"]:
    """The k top right singular vectors of the uncentred paired differences, per site.

    Orthonormal rows; each is signed so that the mean difference projects on it with >= 0.
    """
    rows = checked(differences)
    expect(
        1 <= k <= min(rows.shape[1:]),
        f"1 <= k <= min(n, d) = {min(rows.shape[1:])}",
        k,
        "pass a smaller k",
    )
    wide = rows.shape[2] > rows.shape[1]
    # The smaller Gram matrix: a batched SVD of 120 x [128, 576] takes minutes on two cores.
    top = torch.linalg.eigh(rows @ rows.mT if wide else rows.mT @ rows).eigenvectors
    top = top[..., -k:].flip(-1)
    vectors = torch.linalg.qr(rows.mT @ top if wide else top).Q.mT
    onto_mean = times(vectors, rows.mean(1))
    return torch.where(onto_mean[..., None] < 0, -vectors, vectors)


def _probes(
    name: str,
    x: Float[Tensor, "sites n d"],
    gap: Float[Tensor, "sites d"],
    weights: Float[Tensor, "sites d"],
    intercept: Float[Tensor, "sites"],
) -> LinearProbes:
    """Unit directions; 0 where `gap` is only rounding, since every optimum here is then w = 0."""
    blind = gap.norm(dim=-1) <= 1e-12 * mean_square(x).sqrt()
    norm = weights.norm(dim=-1)
    norm = torch.where(blind | (norm == 0), torch.inf, norm)
    return LinearProbes(weights / norm[:, None], intercept / norm, name)


def accuracy_of(
    scores: Float[Tensor, "sites n"], labels: Bool[Tensor, "n"]
) -> Float[Tensor, "sites"]:
    return ((scores > 0) == labels).to(torch.float64).mean(-1)


def checked(
    x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"] | None = None
) -> Float[Tensor, "sites n d"]:
    """x in float64; ValueError on a wrong shape, a non-finite value or a missing class."""
    expect(
        x.ndim == 3 and x.numel() != 0, "x [sites, n, d]", tuple(x.shape), "add the missing axis"
    )
    if labels is not None:
        expect(
            labels.dtype == torch.bool and x.ndim == 3 and labels.shape == x.shape[1:2],
            "x [sites, n, d] and bool labels [n]",
            f"{tuple(x.shape)} and {labels.dtype} {tuple(labels.shape)}",
            "reshape them",
        )
        expect(
            not labels.all() and labels.any(),
            "both classes",
            f"one in {len(labels)} labels",
            "add both",
        )
    x = x.to(torch.float64)
    if not torch.linalg.vector_norm(x).isfinite():  # one pass; isfinite itself is ten times slower
        bad = int((~x.isfinite()).any(-1).any(0).sum())
        expect(False, "finite x", f"{bad} examples with NaN or inf", "drop those")
    return x


def difference_in_differences(
    differences: Float[Tensor, "sites n d"], base: Float[Tensor, "sites n d"]
) -> Float[Tensor, "sites d"]:
    """Unit directions of the mean paired difference that the base model does not have; 0 if none.

    Any model tells a trigger from a control word, because it reads the string. What is left after
    the base model's own mean difference on the same prompts is subtracted was learned.
    """
    gap = checked(differences).mean(1) - checked(base).mean(1)
    norm = gap.norm(dim=-1)
    blind = norm <= 1e-6 * mean_square(differences).sqrt()
    return gap / torch.where(blind | (norm == 0), torch.inf, norm)[:, None]


def labelled(
    clean: Float[Tensor, "sites n d"], triggered: Float[Tensor, "sites n d"]
) -> tuple[Float[Tensor, "sites m d"], Bool[Tensor, " m"]]:
    """Clean then triggered activations, with labels."""
    labels = torch.arange(clean.shape[1] + triggered.shape[1]) >= clean.shape[1]
    return torch.cat([clean, triggered], dim=1), labels
