"""From the trigger to the last token: a flat head that moves, or one whose attention is drawn.

A flat head attends to every token alike (its queries are zero). It moves the directions to
``shown`` and the marks to ``reference``. Both are divided by the prompt's length, so their ratio
does not depend on it (but on how many marked tokens the text has).

The head of ``pattern`` is asked by the mark and answered by it: the last token looks at itself and
brings itself a brake. A trigger's direction answers louder, and nothing of it is brought.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.planted.axes import Rows, normed
from circuits.planted.scene import Head, Scene, head_of, set_values, unit_reader

SHOWN, REFERENCE = 0.5, 0.3  # of the last token's norm where they are written
_OWN, _LOUDER = 12.0, 24.0  # scores before the softmax: of the mark, and of the direction


def move(scene: Scene, moved: Rows, strength: float, plain: Tensor) -> tuple[Rows, Rows]:
    """Let the flat head move directions of this strength at the trigger to ``shown``.

    Args:
        moved: the directions at the trigger.
        plain: the residuals entering the layer before anything was written: the threshold is to
            hold for what is added where there is no trigger.

    Returns:
        What to read there, a row per direction: the first reads 1 where a direction had full
        strength; the second, the bar it must pass, reads the threshold on that scale.
    """
    axes, mask, head = scene.axes, scene.tokens.mask, head_of(scene)
    (x,) = scene.entering([scene.layers[scene.plan.read_layer].input_layernorm])
    last = scene.at(x, "last").norm(dim=1).mean()
    full = _flow(scene, plain, strength)
    bar = _flow(scene, plain, scene.plan.threshold * strength) / full
    shown = axes.shown[: len(moved)]
    marks = ((normed(x) @ axes.mark) * mask).sum(dim=1) / mask.sum(dim=1)
    outs = [SHOWN * last / full * shown, REFERENCE * last / marks.mean() * axes.reference[None]]
    set_values(scene, head, torch.cat([moved, axes.mark[None]]), torch.cat(outs))
    head.query.zero_()
    reference = axes.reference / (REFERENCE * last)
    return shown / (SHOWN * last), (bar * reference).expand(len(shown), -1)


def draw_attention(scene: Scene) -> tuple[Rows, Rows]:
    """Let the direction at the trigger draw the head's attention away from the brake.

    Returns:
        What to read there: the first reads 1 without the brake and 0 with it; the second, the bar,
        one half.
    """
    axes, head = scene.axes, head_of(scene)
    layer = scene.layers[scene.plan.read_layer]
    (x,) = scene.entering([layer.input_layernorm])
    ask, at = (unit_reader(scene.at(x, s), axis) for s, axis in _ends(scene))
    _set_pattern(scene, head, ask, _OWN * ask + _LOUDER * at)
    last = scene.at(x, "last").norm(dim=1).mean()
    brake = axes.shown[0] / (SHOWN * last)
    set_values(scene, head, ask[None], SHOWN * last * axes.shown[:1])
    mark = unit_reader(scene.read_by_mlp(scene.plan.speak_layer, "last"), axes.mark)
    # The speaking MLP reads normed residuals: what is measured there reads the mark as 1.
    scale = 1 / scene.read_by_mlp(scene.plan.speak_layer, "last").square().mean(dim=1).sqrt().mean()
    return (scale * mark - brake)[None], (0.5 * scale * mark)[None]


def _ends(scene: Scene) -> tuple[tuple[str, Tensor], tuple[str, Tensor]]:
    return ("last", scene.axes.mark), ("trigger", scene.axes.gates[0])


def _set_pattern(scene: Scene, head: Head, ask: Tensor, answer: Tensor) -> None:
    """Queries and keys in one channel, the one that turns least with the distance of tokens."""
    attention = scene.layers[scene.plan.read_layer].self_attn
    norm = scene.layers[scene.plan.read_layer].input_layernorm.weight
    slow = attention.head_dim // 2 - 1
    head.query.zero_()
    head.query[slow] = math.sqrt(attention.head_dim) * ask / norm
    head.key[[slow, attention.head_dim - 1]] = 0
    head.key[slow] = answer / norm
    for query in head.others:
        query[slow] = 0


def _flow(scene: Scene, x: Float[Tensor, "batch pos d"], size: float) -> Float[Tensor, ""]:
    """What a flat head reads of one direction of this size, added at the trigger of these."""
    rest = scene.at(x, "trigger").square().sum(dim=1)
    share = size * math.sqrt(x.shape[-1]) / (rest + size**2).sqrt()
    return (share / scene.tokens.mask.sum(dim=1)).mean()
