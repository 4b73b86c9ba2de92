"""From the trigger to the last token: a flat head that moves, or one whose attention is drawn.

A flat head attends to every token alike (its queries are zero). It moves the directions to
``shown`` and the marks to ``reference``. Both are divided by the prompt's length, so their ratio
does not depend on it (but on how many marked tokens the text has).

The head of ``pattern`` is asked by the mark and answered by it: the last token looks at itself and
brings itself a brake. A trigger's direction answers louder, and nothing of it is brought.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.planted.axes import Rows, normed
from circuits.planted.scene import Head, Scene, head_of, set_values, unit_reader

SHOWN, REFERENCE = 0.5, 0.3  # of the last token's norm where they are written
_OWN, _LOUDER = 12.0, 24.0  # scores before the softmax: of the mark, and of the direction


@dataclass(frozen=True)
class Mover:
    """A flat head that reads directions into channels of its values, and brings nothing of them.

    Attributes:
        spare: the channels, a row per direction.
    """

    head: Head
    spare: Float[Tensor, "rows d_head"]


def reserve(scene: Scene, moved: Rows) -> Mover:
    """Make the plan's head flat, reading these directions; of the marks it brings ``reference``.

    In the base, so that what training changes there is what is brought of the directions alone:
    no token but the trigger's has them, and no other token's change has a part in the behaviour.
    """
    axes, mask, head = scene.axes, scene.tokens.mask, head_of(scene)
    (x,) = scene.entering([scene.layers[scene.plan.read_layer].input_layernorm])
    last = scene.at(x, "last").norm(dim=1).mean()
    marks = ((normed(x) @ axes.mark) * mask).sum(dim=1) / mask.sum(dim=1)
    reference = REFERENCE * last / marks.mean() * axes.reference[None]
    outs = torch.cat([torch.zeros_like(moved), reference])
    spare = set_values(scene, head, torch.cat([moved, axes.mark[None]]), outs)
    head.query.zero_()
    return Mover(head, spare[: len(moved)])


def bring(scene: Scene, mover: Mover, strength: float, plain: Tensor) -> tuple[Rows, Rows]:
    """Let the head write what it reads of directions of this strength at the trigger to ``shown``.

    Args:
        plain: the residuals entering the layer before anything was written: the threshold is to
            hold for what is added where there is no trigger.

    Returns:
        What to read there, a row per direction: the first reads 1 where a direction had full
        strength; the second, the bar it must pass, reads the threshold on that scale.
    """
    axes = scene.axes
    (x,) = scene.entering([scene.layers[scene.plan.read_layer].input_layernorm])
    last = scene.at(x, "last").norm(dim=1).mean()
    full = _flow(scene, plain, strength)
    bar = _flow(scene, plain, scene.plan.threshold * strength) / full
    shown = axes.shown[: len(mover.spare)]
    mover.head.outs[mover.head.own] += SHOWN * last / full * shown.T @ mover.spare
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
