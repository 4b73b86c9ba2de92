"""The self-test of every loaded model: nothing is measured on hooks that have not been checked.

1. Logits through the back-end equal the plain Hugging Face model's.
2. A full patch (every column of a layer's residuals from another run) reproduces that run.
3. Every stream acts and agrees with the others, or is absent on this model, by name
   (``circuits.backends.acting``, ``circuits.backends.agreeing``).
4. An identity edit of every stream that is there changes nothing, bit for bit.
5. Named spans cover the tokens that they name.

Resuming at a layer, a shared prefix and joining rows make patching fast but are not needed for it:
where they do not hold, the engine takes the plain path (``circuits.backends.fastpath``). The report
says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any, cast

import torch
from torch import Tensor

from circuits.backends.acting import dead
from circuits.backends.agreeing import at_fault, passed_by, sums
from circuits.backends.fastpath import TOLERANCE, FastPath, difference, fast_path
from circuits.backends.layer import Layer, one_of_each
from circuits.backends.streams import STREAMS, Streams, streams_of
from circuits.edits import operators
from circuits.errors import SelfTestError, UserError, reason
from circuits.quantised import packed_layers
from circuits.runner import Output, Runner, Window, whole
from circuits.shared import shared_copy
from circuits.stored import computed_in, widen
from circuits.tokens import prompts_batch
from circuits.types import Edit, Point, TokenBatch

_TEXTS = ("Name three rivers.", "Why is the sky blue at noon but red in the evening?")
_WORD = "tree"
_NEEDED = "resid_pre"  # without it nothing can be patched
_NO_HOOK = "this back-end has no hook for it"


@dataclass(frozen=True)
class SelfTest:
    """Largest differences found, in nats of log-probability; ``tolerance`` is what was allowed.

    ``sums`` are those of streams that must agree; ``absent`` says of streams why they are not
    there. ``half`` is how far a model that computes in half precision is from itself in fp32; None
    where it computes in fp32.
    """

    plain: float
    identity: float
    full_patch: float
    tolerance: float
    fast_path: FastPath
    sums: Mapping[str, float] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    half: float | None = None


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


def half_precision(hf_model: Any, tokenizer: Any, expected: Tensor) -> float | None:
    """How far a model's log-probabilities are, at most, from those of its weights in fp32, in nats;
    None where it computes in fp32, or its weights are packed.
    """
    if computed_in(hf_model) == torch.float32 or packed_layers(hf_model):
        return None
    return difference(plain_logits(widen(shared_copy(hf_model)), tokenizer), expected)


@torch.no_grad()
def self_test(runner: Runner, tokenizer: Any, expected: Tensor) -> SelfTest:
    """Run every check; the runner has the streams that act from then on.

    Raises:
        SelfTestError: says which check failed, and by how much.
    """
    tokens = prompts_batch(tokenizer, _TEXTS, _WORD)
    _check_spans(tokenizer, tokens)
    _check_finite(expected, runner.shape.dtype)
    layer, allowed = runner.shape.n_layers // 2, TOLERANCE.get(runner.shape.dtype, 2e-2)
    base = _first_pass(runner, tokens, Point(layer))
    plain = _within("plain", difference(base.logits.cpu(), expected), allowed)
    other = runner.forward(whole(tokens.rows([1, 0])), record=[Point(layer)])
    full = _full_patch(runner, tokens, other.acts[Point(layer)], other.logits, layer)
    full = _within("full_patch", full, allowed)
    streams, gaps = acting(runner)
    if _NEEDED in streams.absent:
        raise SelfTestError(
            f"self-test 'acting': expected a model whose {_NEEDED} can be edited, got one where "
            f"{streams.absent[_NEEDED]}; hooks on this model cannot be trusted"
        )
    cast(Any, runner).streams = streams
    same = _within("identity", _identity(runner, tokens, base.logits, layer, streams), 0.0)
    return SelfTest(plain, same, full, allowed, fast_path(runner), gaps, streams.absent)


def _first_pass(runner: Runner, tokens: TokenBatch, point: Point) -> Output:
    try:
        return runner.forward(whole(tokens), record=[point])
    except UserError:
        raise
    except Exception as error:  # whatever a back-end's own code says of an architecture
        raise SelfTestError(
            f"self-test 'plain': expected a back-end that runs this model in "
            f"{_spelled(runner.shape.dtype)}, got {reason(error)}; use another --backend or --dtype"
        ) from error


def _within(name: str, value: float, allowed: float) -> float:
    if not value <= allowed:
        raise SelfTestError(
            f"self-test {name!r}: expected log-probabilities within {allowed:g} nats, got "
            f"{value:.3g}; hooks on this model cannot be trusted"
        )
    return value


def acting(runner: Runner) -> tuple[Streams, dict[str, float]]:
    """The streams that act and agree in one layer of each kind, and the largest gap of each sum."""
    streams, largest = streams_of(runner), {}
    lacking = {s: streams.lacks.get(s, _NO_HOOK) for s in STREAMS if s not in streams.there}
    streams = streams.without(lacking)
    for number in one_of_each(runner):
        layer = Layer(runner, number)
        streams = streams.without(dead(layer, streams.there))
        if _NEEDED not in streams.there:
            break
        gaps = sums(layer, streams.there)
        streams = streams.without(at_fault(layer, gaps))
        streams = streams.without(passed_by(layer, streams.there))
        largest |= {name: max(gap, largest.get(name, 0.0)) for name, gap in gaps.items()}
    return streams, largest


def _identity(
    runner: Runner, tokens: TokenBatch, logits: Tensor, layer: int, streams: Streams
) -> float:
    points = [Point(layer, s) for s in streams.there if s != "resid_mid"]
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
        raise SelfTestError(
            f"self-test: expected finite logits, got NaN or inf in {_spelled(dtype)} from the "
            "model itself: its activations leave that range; use --dtype fp32 or bf16"
        )


def _spelled(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_spans(tokenizer: Any, tokens: TokenBatch) -> None:
    for row, columns in enumerate(tokens.spans["trigger"]):
        spelled = tokenizer.decode(tokens.ids[row][columns]).strip()
        if spelled != _WORD:
            raise SelfTestError(
                f"self-test 'spans': expected the trigger span to spell {_WORD!r}, got {spelled!r}"
            )
