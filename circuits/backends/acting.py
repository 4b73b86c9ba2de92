"""Which streams of a layer act: what is set to NaN there is seen behind it, and not before it.

A dead hook passes an identity test best of all. NaN shows it also where weights are zero, as zero
times NaN is NaN: it must reach the layer's output and the logits, and not what enters the layer.
"""

from collections.abc import Sequence

from torch import Tensor

from circuits.backends.layer import Layer
from circuits.errors import reason
from circuits.runner import Output
from circuits.types import HEAD_STREAMS, Edit

Why = dict[str, str]


def dead(layer: Layer, streams: Sequence[str]) -> Why:
    """Streams that do not act, and why.

    They are looked at together, a row for each; one by one, where that does not go.
    """
    try:
        return _seen(layer, streams)
    except Exception:  # whatever a back-end or a model's own code says of one of them
        return {stream: why for stream in streams if (why := _alone(layer, stream))}


def _alone(layer: Layer, stream: str) -> str | None:
    try:
        return _seen(layer, [stream]).get(stream)
    except Exception as error:
        return f"its hook raises: {reason(error)}"


def _seen(layer: Layer, streams: Sequence[str]) -> Why:
    """Which of some streams do not act.

    Raises:
        RuntimeError: NaN of one stream's row reach the others'.
    """
    edited = [s for s in streams if s != "resid_mid"]  # that one can be recorded only
    variants = [[Edit(layer.at(s), lambda x: x * float("nan"))] for s in edited]
    free = [] if len(streams) == 1 and edited else [[]]
    ends = ("resid_pre", "resid_post")
    out = layer.run(layer.one, [*variants, *free], dict.fromkeys([*streams, *ends]))
    entering, leaving = (_spoilt(out.acts[layer.at(s)]) for s in ends)
    answers = _spoilt(out.logits)
    if free and (entering[-1] or leaving[-1] or answers[-1]):
        raise RuntimeError("rows of one batch depend on each other")
    why = _wrong_heads(layer, out, streams)
    for row, stream in enumerate(edited):
        if not answers[row]:
            why[stream] = "its hook changes nothing"
        elif not leaving[row] or (entering[row] and stream != "resid_pre"):
            why[stream] = "its hook changes another layer"
    return why


def _spoilt(x: Tensor) -> list[bool]:
    """The rows that hold NaN."""
    return x.isnan().flatten(1).any(dim=1).tolist()


def _wrong_heads(layer: Layer, out: Output, streams: Sequence[str]) -> Why:
    """Streams that do not come in the model's heads."""
    heads, why = layer.runner.shape.n_heads, {}
    for stream in streams:
        if stream not in HEAD_STREAMS or stream == "neuron":
            continue
        count = out.acts[layer.at(stream)].shape[2]
        shared = stream in ("k", "v") and heads % count == 0
        if count != heads and not shared:
            why[stream] = f"it comes in {count} heads, the model in {heads}"
    return why
