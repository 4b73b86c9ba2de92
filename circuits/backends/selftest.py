"""The self-test of every loaded model: nothing is measured on hooks that have not been checked.

1. Logits through the back-end equal the plain Hugging Face model's.
2. An identity edit at every tested point changes nothing, bit for bit.
3. A full patch (every column of a layer's residuals from another run) reproduces that run.
4. Named spans cover the tokens that they name.

Resuming at a layer, a shared prefix and joining rows make patching fast but are not needed for it:
where they do not hold, the engine takes the plain path (``circuits.backends.fastpath``). The report
says so.
"""

from dataclasses import dataclass
from math import nan
from typing import Any

import torch
from torch import Tensor

from circuits.backends.fastpath import TOLERANCE, FastPath, difference, fast_path
from circuits.edits import operators
from circuits.errors import SelfTestError
from circuits.runner import Runner, Window, whole
from circuits.tokens import prompts_batch
from circuits.types import Edit, Point, TokenBatch

_TEXTS = ("Name three rivers.", "Why is the sky blue at noon but red in the evening?")
_WORD = "tree"


@dataclass(frozen=True)
class SelfTest:
    """Largest differences found, in nats of log-probability; ``tolerance`` is what was allowed."""

    plain: float
    identity: float
    full_patch: float
    tolerance: float
    fast_path: FastPath


UNTESTED = SelfTest(nan, nan, nan, nan, FastPath(nan, nan, "not tested"))


def plain_logits(hf_model: Any, tokenizer: Any) -> Tensor:
    """Last-position logits of the untouched Hugging Face model on the self-test's prompts."""
    tokens = prompts_batch(tokenizer, _TEXTS, _WORD)
    mask = tokens.mask.to(hf_model.device).long()
    with torch.no_grad():
        out = hf_model(
            input_ids=tokens.ids.to(hf_model.device),
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
        )
    return out.logits[:, -1:].float().cpu()


def self_test(runner: Runner, tokenizer: Any, expected: Tensor) -> SelfTest:
    """Run every check.

    Raises:
        SelfTestError: says which check failed, and by how much.
    """
    tokens = prompts_batch(tokenizer, _TEXTS, _WORD)
    _check_spans(tokenizer, tokens)
    _check_finite(expected, runner.shape.dtype)
    layer = runner.shape.n_layers // 2
    base = runner.forward(whole(tokens), record=[Point(layer)])
    other = runner.forward(whole(tokens.rows([1, 0])), record=[Point(layer)])
    report = SelfTest(
        plain=difference(base.logits.cpu(), expected),
        identity=_identity(runner, tokens, base.logits, layer),
        full_patch=_full_patch(runner, tokens, other.acts[Point(layer)], other.logits, layer),
        tolerance=TOLERANCE.get(runner.shape.dtype, 2e-2),
        fast_path=fast_path(runner),
    )
    for name in ("plain", "identity", "full_patch"):
        value = getattr(report, name)
        allowed = 0.0 if name == "identity" else report.tolerance
        if not value <= allowed:
            raise SelfTestError(
                f"self-test {name!r}: expected log-probabilities within {allowed:g} nats, got "
                f"{value:.3g}; hooks on this model cannot be trusted"
            )
    return report


def _identity(runner: Runner, tokens: TokenBatch, logits: Tensor, layer: int) -> float:
    points = [Point(layer, s) for s in ("resid_pre", "resid_post", "attn_out", "mlp_out", "z")]
    edited = runner.forward(whole(tokens), [Edit(point, lambda x: x.clone()) for point in points])
    return float((edited.logits - logits).abs().max())


def _full_patch(
    runner: Runner, tokens: TokenBatch, source: Tensor, logits: Tensor, layer: int
) -> float:
    """Swap the two rows' residuals where both are real: each row must answer as the other.

    The rows have different lengths, so the mask and positions are swapped along with the content.
    """
    swapped = tokens.rows([1, 0])
    window = Window(tokens.ids, swapped.mask)
    patch = Edit(Point(layer), lambda x: operators.replace(x, source.to(x)))
    return difference(runner.forward(window, [patch]).logits, logits)


def _check_finite(logits: Tensor, dtype: torch.dtype) -> None:
    if not bool(logits.isfinite().all()):
        precision = str(dtype).removeprefix("torch.")
        raise SelfTestError(
            f"self-test: expected finite logits, got NaN or inf in {precision} from the model "
            "itself: its activations leave that range; use --dtype fp32 or bf16"
        )


def _check_spans(tokenizer: Any, tokens: TokenBatch) -> None:
    for row, columns in enumerate(tokens.spans["trigger"]):
        spelled = tokenizer.decode(tokens.ids[row][columns]).strip()
        if spelled != _WORD:
            raise SelfTestError(
                f"self-test 'spans': expected the trigger span to spell {_WORD!r}, got {spelled!r}"
            )
