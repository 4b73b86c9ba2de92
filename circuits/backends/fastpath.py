"""Whether the fast path holds on a model: checked by running it, never assumed.

The fast path shares a prefix as keys and values, resumes at a layer from kept residuals, and lets
rows join a pass on the way. An architecture whose blocks depend on more than the residual entering
them (or a back-end that cannot resume) breaks one of these. The check runs random tokens through
all three and compares with plain whole passes; where they differ the engine takes the plain path
and says so in its result.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from circuits.errors import UserError, reason
from circuits.runner import Runner, Window, prefix, whole
from circuits.types import Edit, Point, TokenBatch

# Largest difference in log-probability that reordered sums may cause; in fp32, attention sinks with
# residuals a hundred times larger than others amplify rounding (2e-3 was seen on an intact model).
TOLERANCE = {torch.float32: 2e-2, torch.float16: 5e-2, torch.bfloat16: 0.4}
_ROWS, _WIDTH, _PADDING = 2, 9, 2


@dataclass(frozen=True)
class FastPath:
    """What was found: the largest difference in nats, or why the fast path could not be run."""

    difference: float
    tolerance: float
    reason: str = ""

    @property
    def holds(self) -> bool:
        return not self.reason and self.difference <= self.tolerance

    def __str__(self) -> str:
        if self.holds:
            return f"fast path: within {self.difference:.1g} nats of plain passes"
        why = self.reason or f"it differs from plain passes by {self.difference:.3g} nats"
        return f"fast path not taken: {why}; every cell is a full pass"


_KNOWN: WeakKeyDictionary[Runner, FastPath] = WeakKeyDictionary()


def fast_path(runner: Runner) -> FastPath:
    """The check's outcome for a runner, run once."""
    if runner not in _KNOWN:
        _KNOWN[runner] = check(runner)
    return _KNOWN[runner]


@torch.no_grad()
def check(runner: Runner) -> FastPath:
    """Compare a joined, resumed pass after a shared prefix with plain whole passes."""
    tolerance = TOLERANCE.get(runner.shape.dtype, 2e-2)
    tokens = _tokens(runner.shape.d_vocab)
    layer, half = runner.shape.n_layers // 2, _WIDTH // 2
    base = runner.forward(whole(tokens), record=[Point(layer), Point(0)])
    entering = base.acts[Point(layer)]

    def changed(x: Tensor) -> Tensor:
        """The last columns scaled: what a patch of them would do."""
        return torch.cat([x[:, :half], 2 * x[:, half:]], dim=1)

    patched = runner.forward(whole(tokens), [Edit(Point(layer), changed)])
    try:
        found = runner.forward(
            Window(
                tokens.ids[:, half:],
                tokens.mask,
                prefix(runner, tokens, half),
                resid=base.acts[Point(0)][:, half:],
                joining={layer: changed(entering)[:, half:]},
            )
        )
    except UserError as refused:
        return FastPath(float("inf"), tolerance, str(refused))
    except Exception as error:  # whatever a model's own code says of rows that join on the way
        return FastPath(float("inf"), tolerance, f"the model cannot be resumed: {reason(error)}")
    expected = torch.cat([base.logits, patched.logits])
    return FastPath(difference(found.logits, expected), tolerance)


def difference(a: Tensor, b: Tensor) -> float:
    """Largest absolute difference of log-probabilities, in nats; NaN counts as infinite."""
    gap = (a.float().log_softmax(dim=-1) - b.float().log_softmax(dim=-1)).abs().max()
    return float(gap) if not bool(gap.isnan()) else float("inf")


def _tokens(d_vocab: int) -> TokenBatch:
    """Random tokens, the second row shorter by some padding."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, d_vocab, (_ROWS, _WIDTH), generator=generator)
    mask = torch.ones(_ROWS, _WIDTH, dtype=torch.bool)
    mask[1, :_PADDING] = False
    return TokenBatch(ids, mask)
