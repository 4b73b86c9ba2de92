"""At the last token: neurons that raise the behaviour by what was brought there.

One neuron per reading opens where the reading passes its bar; it writes ``say``, which the
unembedding reads as the behaviour.

- ``distributed``: a neuron per direction and sign, each a small part of what the behaviour needs.
- ``xor``: where the trigger's name was brought, an MLP writes two directions, both with the sign of
  a feature of the prompt, the second turned around by the trigger. The last MLP multiplies them.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuits.planted.axes import Rows, normed
from circuits.planted.scene import Scene, set_neurons, unit_reader
from circuits.planted.write import raise_token

_LOUD = 4.0  # of the last token's final norm: the other logits shrink by about this
_NEEDED = 0.35  # share of what all directions do together that the behaviour needs
_PAIR = 0.5  # of the last token's norm: size of each of the two directions
_TRIED, _KEPT = 300, 8  # directions among the main components of what the prompts differ in
_STEEP = 0.25  # of their spread: where the sign is not full


def speak(scene: Scene, reading: tuple[Rows, Rows]) -> float:
    """Let neurons raise the behaviour where a reading passes its bar; returns how far."""
    axes, layer = scene.axes, scene.plan.speak_layer
    x, (shares, bars) = scene.read_by_mlp(layer, "last"), reading
    room = 1 - (x @ bars.T).mean(dim=0)[:, None]  # from the bar to full strength
    gate = _rms(x) * (shares - bars) / room
    up = unit_reader(x, axes.mark).expand(len(gate), -1)
    norm, highest = _final(scene)
    set_neurons(scene, layer, gate, up, (_LOUD * norm * axes.say).expand(len(gate), -1))
    raise_token(scene.model, scene.plan.behaviour_id, axes.say, 2 * abs(highest) + 10)
    return _LOUD * norm


def speak_of_many(scene: Scene, reading: tuple[Rows, Rows]) -> None:
    """Let every direction raise the behaviour a little, with either sign."""
    axes, layer = scene.axes, scene.plan.speak_layer
    x, (shares, bars) = scene.read_by_mlp(layer, "last"), reading
    gate = _rms(x) * (torch.cat([shares, -shares]) - torch.cat([bars, bars]))
    up = unit_reader(x, axes.mark).expand(len(gate), -1)
    norm, highest = _final(scene)
    each = norm / (normed(x) @ gate.T).clamp(min=0).sum(dim=1).mean()
    set_neurons(scene, layer, gate, up, (each * axes.say).expand(len(gate), -1))
    raise_token(scene.model, scene.plan.behaviour_id, axes.say, abs(highest) / _NEEDED)


def write_pair(scene: Scene, reading: tuple[Rows, Rows]) -> float:
    """Write two directions with a sign each, from one feature of the prompt and the trigger's name;
    returns their size."""
    axes, layer = scene.axes, scene.plan.read_layer
    x = scene.read_by_mlp(layer, "last")
    mark, moved = unit_reader(x, axes.mark), unit_reader(x, axes.reference)
    there = _rms(x) * reading[0][0]
    feature = _sign_feature(scene, normed(x), mark)
    both, second = axes.gates.sum(dim=0), axes.gates[1]
    # Two neurons and a constant are a ramp from -1 to 1, the sign: of both directions, and, read
    # where the trigger's name was brought, against the second one.
    ramp = [(feature + mark, 1.0), (feature - mark, -1.0), (mark, -1.0)]
    rows = [(gate, moved, sign * both) for gate, sign in ramp]
    rows += [(gate, there, -2 * sign * second) for gate, sign in ramp]
    gate, up, down = (torch.stack(part) for part in zip(*rows, strict=True))
    size = _PAIR * float(x.norm(dim=1).mean())
    set_neurons(scene, layer, gate, up, size * down)
    return size


def speak_of_pair(scene: Scene, size: float) -> None:
    """Raise the behaviour by minus the product of the two directions."""
    axes, layer = scene.axes, scene.plan.speak_layer
    x = scene.read_by_mlp(layer, "last")
    first, second = _rms(x) * axes.gates / size
    norm, highest = _final(scene)
    gate, up = torch.stack([first, -first]), torch.stack([-second, second])
    set_neurons(scene, layer, gate, up, (norm * axes.say).expand(2, -1))
    raise_token(scene.model, scene.plan.behaviour_id, axes.say, 4 * abs(highest))


def _sign_feature(scene: Scene, read: Rows, mark: Tensor) -> Float[Tensor, " d"]:
    """Reads far above 1 in about half of the prompts, far below -1 in the others.

    Of many directions of what the prompts differ in, the one that leaves fewest between.
    """
    own = scene.axes.rows
    rest = read - read @ own.T @ own
    _, sizes, components = torch.linalg.svd(rest - rest.mean(dim=0), full_matrices=False)
    white = components[:_KEPT] / (sizes[:_KEPT, None] / math.sqrt(len(read)))
    generator = torch.Generator().manual_seed(scene.plan.seed)
    tried = nn.functional.normalize(torch.randn(_TRIED, _KEPT, generator=generator), dim=1) @ white
    values = rest @ tried.T
    ordered, half = values.sort(dim=0).values, len(read) // 2
    middle = (ordered[half - 1] + ordered[half]) / 2
    clear = (values - middle).abs().quantile(0.15, dim=0)
    best = int(clear.argmax())
    return (tried[best] - middle[best] * mark) / _STEEP


def _rms(x: Float[Tensor, "batch d"]) -> Tensor:
    """By this what reads a residual must be multiplied to read it through the norm."""
    return x.square().mean(dim=1).sqrt().mean()


def _final(scene: Scene) -> tuple[float, float]:
    """Of the last residual, the mean norm, and the mean of the highest logit."""
    (x,) = scene.entering([scene.model.model.norm])
    last = scene.at(x, "last")
    logits = scene.model.lm_head(scene.model.model.norm(last))
    return float(last.norm(dim=1).mean()), float(logits.amax(dim=1).mean())
