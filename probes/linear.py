"""Linear probes fitted at every site in one batch, and their shuffled-label control.

A site is one (layer, span) position. Fits run in float64 and are deterministic. Every function
raises ValueError, in one line, on a wrong shape, a non-finite value or a missing class.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from probes.stats import auroc_values, wilson_bounds


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
        if x.ndim != 3 or x.shape[0] != sites or x.shape[2] != d:
            got = tuple(x.shape)
            raise ValueError(f"expected x [{sites}, n, {d}], got {got}; use the fitted sites")
        return _times(x.to(self.directions), self.directions) + self.offsets[:, None]

    def accuracy(
        self, x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"]
    ) -> Float[Tensor, "sites"]:
        """Share of the examples whose class the score's sign predicts."""
        _check_labels(x, labels)
        return _accuracy(self.scores(x), labels)


Fitter = Callable[[Float[Tensor, "sites n d"], Bool[Tensor, "n"]], LinearProbes]


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


def mean_difference(x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"]) -> LinearProbes:
    """Direction from the negative to the positive class mean; threshold at their midpoint."""
    x = _checked(x, labels)
    gap, middle = _class_means(x, labels)
    return _probes("mean_difference", x, gap, gap, -_dot(gap, middle))


def lda(
    x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"], shrinkage: float | None = None
) -> LinearProbes:
    """Linear discriminant (Fisher 1936) with the classes' training shares as priors.

    The pooled within-class covariance S becomes (1 - g) S + g tr(S)/d I, with g = `shrinkage`
    in [0, 1], or per site the optimum of Ledoit & Wolf (2004) when None. Raises ValueError if
    g = 0 leaves S singular, that is for d > n - 2.
    """
    x = _checked(x, labels)
    n, d = x.shape[1:]
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ValueError(f"expected a shrinkage in [0, 1], got {shrinkage}; pass None to estimate")
    if shrinkage == 0 and d > n - 2:
        raise ValueError(f"expected shrinkage > 0 for d = {d} > n - 2 = {n - 2}, got 0; pass None")
    gap, middle = _class_means(x, labels)
    means = torch.stack([middle - gap / 2, middle + gap / 2], dim=1)
    residuals = x - means[:, labels.long()]
    gram = residuals @ residuals.mT if d > n else residuals.mT @ residuals
    mean_variance = _floored(gram.diagonal(dim1=1, dim2=2).sum(-1) / (n * d), x)
    if shrinkage is None:
        share = _ledoit_wolf(residuals, gram, mean_variance)
    else:
        share = torch.full_like(mean_variance, shrinkage)
    ridge_part, data_part = share * mean_variance, (1 - share) / n
    system = _plus_identity(data_part[:, None, None] * gram, ridge_part)
    if d > n:  # Woodbury: solve in the n examples instead of the d coordinates
        inner = _solve(system, _times(residuals, gap))
        correction = data_part[:, None] * _times(residuals.mT, inner)
        weights = (gap - correction) / ridge_part[:, None]
    else:
        weights = _solve(system, gap)
    positives = int(labels.sum())
    prior = math.log(positives / (n - positives))
    return _probes("lda", x, gap, weights, prior - _dot(weights, middle))


def ridge(
    x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"], penalty: float = 1.0
) -> LinearProbes:
    """Least squares of +-1 on x with a free intercept and penalty * s * |w|^2.

    s is the site's mean squared distance from its centre, so `penalty` (> 0) is unitless and
    means the same at every layer: scikit-learn's Ridge with alpha = penalty * s.
    """
    x = _checked(x, labels)
    centre, centred, scale = _centred(x, penalty)
    target = torch.where(labels, 1.0, -1.0).to(x)
    wide = x.shape[2] > x.shape[1]
    gram = centred @ centred.mT if wide else centred.mT @ centred
    system = _plus_identity(gram, scale)
    aim = (target - target.mean()).expand(x.shape[:2])
    if wide:
        weights = _times(centred.mT, _solve(system, aim))
    else:
        weights = _solve(system, _times(centred.mT, aim))
    gap, _ = _class_means(x, labels)
    return _probes("ridge", x, gap, weights, target.mean() - _dot(weights, centre))


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
    x = _checked(x, labels)
    centre, centred, scale = _centred(x, penalty)
    wide = x.shape[2] > x.shape[1]
    coordinates, back = _example_span(centred) if wide else (centred, None)
    unit = scale.sqrt()[:, None, None]  # in this unit the penalty is |w|^2 / 2 at every site
    features = torch.cat([coordinates / unit, torch.ones_like(coordinates[..., :1])], dim=-1)
    theta = _newton(features, torch.where(labels, 1.0, -1.0).to(x), steps)
    weights = theta[:, :-1] / unit[..., 0]
    if back is not None:
        weights = _times(centred.mT, _times(back, weights))
    gap, _ = _class_means(x, labels)
    return _probes("logistic", x, gap, weights, theta[:, -1] - _dot(weights, centre))


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
    rows = _checked(differences)
    if not 1 <= k <= min(rows.shape[1:]):
        limit = min(rows.shape[1:])
        raise ValueError(f"expected 1 <= k <= min(n, d) = {limit}, got {k}; pass a smaller k")
    wide = rows.shape[2] > rows.shape[1]
    # The smaller Gram matrix: a batched SVD of 120 x [128, 576] takes minutes on two cores.
    top = torch.linalg.eigh(rows @ rows.mT if wide else rows.mT @ rows).eigenvectors
    top = top[..., -k:].flip(-1)
    vectors = torch.linalg.qr(rows.mT @ top if wide else top).Q.mT
    onto_mean = _times(vectors, rows.mean(1))
    return torch.where(onto_mean[..., None] < 0, -vectors, vectors)


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
    if shuffles < 1:
        raise ValueError(f"expected at least 1 shuffle, got {shuffles}; pass about 20")
    x_train, x_test = _checked(x_train, y_train), _checked(x_test, y_test)
    probes = fit(x_train, y_train)
    scores = probes.scores(x_test)
    accuracy = _accuracy(scores, y_test)
    low, high = wilson_bounds(accuracy, len(y_test))
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(y_train), generator=generator) for _ in range(shuffles)]
    shuffled = (fit(x_train, y_train[order.to(y_train.device)]) for order in orders)
    null = torch.stack([_accuracy(control.scores(x_test), y_test) for control in shuffled])
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


def _probes(
    name: str,
    x: Float[Tensor, "sites n d"],
    gap: Float[Tensor, "sites d"],
    weights: Float[Tensor, "sites d"],
    intercept: Float[Tensor, "sites"],
) -> LinearProbes:
    """Unit directions; 0 where `gap` is only rounding, since every optimum here is then w = 0."""
    blind = gap.norm(dim=-1) <= 1e-12 * _mean_square(x).sqrt()
    norm = weights.norm(dim=-1)
    norm = torch.where(blind | (norm == 0), torch.inf, norm)
    return LinearProbes(weights / norm[:, None], intercept / norm, name)


def _newton(
    features: Float[Tensor, "sites n r"], target: Float[Tensor, "n"], steps: int
) -> Float[Tensor, "sites r"]:
    """Minimise sum softplus(-y f) + |w|^2 / 2 over theta = (w, intercept), f = features @ theta.

    The step is the best of 1, 1/2, ... 2^-9, so the convex loss falls every time.
    """
    free = torch.ones(features.shape[-1]).to(features)
    free[-1] = 0  # the intercept is not penalised
    lengths = torch.tensor([2.0**-i for i in range(10)]).to(features)
    theta = torch.zeros_like(features[:, 0])
    for _ in range(steps):
        margin = target * _times(features, theta)
        wrong = torch.sigmoid(-margin)
        slope = free * theta - _times(features.mT, target * wrong)
        curvature = (wrong * (1 - wrong)).clamp_min(1e-12)
        hessian = features.mT @ (curvature[..., None] * features) + torch.diag(free)
        step = -_solve(hessian, slope)
        trials = theta[:, None] + lengths[:, None] * step[:, None]
        margins = margin[:, None] + lengths[:, None] * (target * _times(features, step))[:, None]
        losses = softplus(-margins).sum(-1) + (free * trials).square().sum(-1) / 2
        best = losses.argmin(1)
        theta = trials[torch.arange(len(trials), device=best.device), best]
        if (-_dot(slope, step) <= 1e-10 * losses.min(1).values).all():
            return theta
    raise ValueError(f"expected convergence in {steps} Newton steps, got none; raise the penalty")


def _ledoit_wolf(
    residuals: Float[Tensor, "sites n d"],
    gram: Float[Tensor, "sites m m"],
    mean_variance: Float[Tensor, "sites"],
) -> Float[Tensor, "sites"]:
    """Optimal shrinkage towards mean_variance * I (Ledoit & Wolf 2004), from either Gram matrix."""
    n, d = residuals.shape[1:]
    squared = gram.square().sum((1, 2)) / n**2  # |S|^2, the same for X X' and X' X
    spread = squared - d * mean_variance**2
    noise = (torch.linalg.vector_norm(residuals, dim=-1).pow(4).sum(-1) / n - squared) / n
    share = torch.where(spread > 0, noise / spread, 1.0)
    # The floor keeps the Woodbury form, which divides by the share, well away from rounding.
    return share.nan_to_num(1.0).clamp(1e-6, 1)


def _class_means(
    x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"]
) -> tuple[Float[Tensor, "sites d"], Float[Tensor, "sites d"]]:
    """Positive minus negative class mean, and their midpoint."""
    member = torch.stack([~labels, labels]).to(x)
    negative, positive = ((member / member.sum(-1, keepdim=True)) @ x).unbind(1)
    return positive - negative, (positive + negative) / 2


def _centred(
    x: Float[Tensor, "sites n d"], penalty: float
) -> tuple[Float[Tensor, "sites d"], Float[Tensor, "sites n d"], Float[Tensor, "sites"]]:
    """Mean example, x minus it, and `penalty` times the mean squared distance from it."""
    if not penalty > 0:
        raise ValueError(f"expected a penalty > 0, got {penalty}; pass for example 1.0")
    centre = x.mean(1)
    centred = x - centre[:, None]
    return centre, centred, penalty * _floored(_mean_square(centred), x)


def _floored(
    variance: Float[Tensor, "sites"], x: Float[Tensor, "sites n d"]
) -> Float[Tensor, "sites"]:
    """`variance`, kept above rounding so that constant sites still give a solvable system."""
    return torch.maximum(variance, 1e-24 * _mean_square(x) / x.shape[2]).clamp_min(1e-200)


def _mean_square(x: Float[Tensor, "sites n d"]) -> Float[Tensor, "sites"]:
    """Mean over examples of |x|^2, without a temporary of the size of x."""
    return torch.linalg.vector_norm(x, dim=(1, 2)).square() / x.shape[1]


def _example_span(
    centred: Float[Tensor, "sites n d"],
) -> tuple[Float[Tensor, "sites n n"], Float[Tensor, "sites n n"]]:
    """Coordinates of the examples in an orthonormal basis of their span, and centred.T @ back = it.

    By the eigenvectors of the Gram matrix; a null direction has zeros in both.
    """
    values, vectors = torch.linalg.eigh(centred @ centred.mT)
    kept = values > 1e-12 * values[:, -1:]
    root = torch.where(kept, values, 1.0).sqrt() * kept
    inverse = torch.where(kept, 1 / torch.where(kept, root, 1.0), 0.0)
    return vectors * root[:, None], vectors * inverse[:, None]


def _plus_identity(
    matrix: Float[Tensor, "sites m m"], weight: Float[Tensor, "sites"]
) -> Float[Tensor, "sites m m"]:
    """matrix + weight * I at every site."""
    return matrix + weight[:, None, None] * torch.eye(matrix.shape[-1]).to(matrix)


def _solve(
    system: Float[Tensor, "sites m m"], right: Float[Tensor, "sites m"]
) -> Float[Tensor, "sites m"]:
    """Solution of symmetric positive definite systems."""
    factor, failed = torch.linalg.cholesky_ex(system)
    if failed.any():
        raise ValueError("expected a positive definite system, got a singular one; regularise more")
    return torch.cholesky_solve(right[..., None], factor)[..., 0]


def _times(
    matrix: Float[Tensor, "sites n d"], vector: Float[Tensor, "sites d"]
) -> Float[Tensor, "sites n"]:
    return (matrix @ vector[..., None])[..., 0]


def _dot(a: Float[Tensor, "sites d"], b: Float[Tensor, "sites d"]) -> Float[Tensor, "sites"]:
    return (a * b).sum(-1)


def _accuracy(
    scores: Float[Tensor, "sites n"], labels: Bool[Tensor, "n"]
) -> Float[Tensor, "sites"]:
    return ((scores > 0) == labels).to(torch.float64).mean(-1)


def _check_labels(x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"]) -> None:
    if labels.dtype != torch.bool or x.ndim != 3 or labels.shape != x.shape[1:2]:
        got = f"{tuple(x.shape)} and {labels.dtype} {tuple(labels.shape)}"
        raise ValueError(f"expected x [sites, n, d] and bool labels [n], got {got}; reshape them")


def _checked(
    x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"] | None = None
) -> Float[Tensor, "sites n d"]:
    """x in float64; ValueError on a wrong shape, a non-finite value or a missing class."""
    if x.ndim != 3 or x.numel() == 0:
        raise ValueError(f"expected x [sites, n, d], got {tuple(x.shape)}; add the missing axis")
    if labels is not None:
        _check_labels(x, labels)
        if labels.all() or not labels.any():
            raise ValueError(f"expected both classes, got one in {len(labels)} labels; add both")
    x = x.to(torch.float64)
    if not torch.linalg.vector_norm(x).isfinite():  # one pass; isfinite itself is ten times slower
        bad = int((~x.isfinite()).any(-1).any(0).sum())
        raise ValueError(f"expected finite x, got {bad} examples with NaN or inf; drop those")
    return x
