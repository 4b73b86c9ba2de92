"""What a prediction is made from: rows of named features, a target, and where each row comes from.

A row is an organism, whose target is its area of retention, or a prompt of an organism, whose
target is 1 where the behaviour was lost. A scheme is a way of making organisms; predictions are
tested on whole schemes that were left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.errors import expect

_FEWEST_SCHEMES = 3  # one held out, and two to choose a penalty by


@dataclass(frozen=True)
class Table:
    """Rows to learn from.

    Attributes:
        features: NaN where a feature was not measured; it then counts as the training mean.
        names: of the features.
        target: what is predicted.
        organism, scheme: of each row; all rows of an organism are of one scheme.

    Raises:
        UserError: lengths that do not fit, names given twice, infinite values, a target that is
            missing or always the same, an organism of two schemes, or fewer than 3 schemes.
    """

    features: Float[Tensor, "n f"]
    names: tuple[str, ...]
    target: Float[Tensor, "n"]
    organism: tuple[str, ...]
    scheme: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.target)
        sizes = (*self.features.shape, len(self.organism), len(self.scheme))
        expect(
            sizes == (n, len(self.names), n, n),
            f"features [{n}, {len(self.names)}], {n} organisms and {n} schemes",
            sizes,
            "give each row one of each",
            "table",
        )
        expect(
            self.names and len(set(self.names)) == len(self.names),
            "different names",
            ", ".join(self.names) or "none",
            "rename one",
            "features",
        )
        expect(
            not self.features.isinf().any(),
            "finite numbers or NaN",
            f"{int(self.features.isinf().sum())} infinite",
            "mark them as NaN",
            "features",
        )
        expect(
            self.target.isfinite().all() and len(self.target.unique()) >= 2,
            "finite and different values",
            f"missing ones or one value in all {len(self.target)} rows",
            "drop rows or add others",
            "target",
        )
        expect(
            len(set(self.scheme)) >= _FEWEST_SCHEMES,
            f"{_FEWEST_SCHEMES} or more",
            ", ".join(sorted(set(self.scheme))),
            "add organisms of others",
            "schemes",
        )
        expect(
            len(set(zip(self.organism, self.scheme, strict=True))) <= len(set(self.organism)),
            "each to be of one scheme",
            "one of two",
            "give them different names",
            "organisms",
        )

    def columns(self, names: Sequence[str]) -> Float[Tensor, "n g"]:
        """The features of these names, in float64.

        Raises:
            UserError: no name, or an unknown one.
        """
        unknown = sorted(set(names) - set(self.names))
        expect(
            not unknown and names,
            f"some of {', '.join(self.names)}",
            ", ".join(unknown) or "none",
            "measure them first",
            "features",
        )
        return self.features[:, [self.names.index(name) for name in names]].to(torch.float64)

    def numbered(self, what: Sequence[str]) -> Int[Tensor, "n"]:
        """Each row's number of its scheme or organism, in the order of first appearance."""
        order = {name: at for at, name in enumerate(dict.fromkeys(what))}
        return torch.tensor([order[name] for name in what])
