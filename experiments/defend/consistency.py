"""Layer consistency under adversarial embeddings: the regulariser of CROW.

Min, Pham, Li and Sun 2024 (CROW, arXiv 2411.12768) fine-tune a suspect model on few clean prompts.
Beside the usual loss they ask that hidden states change little in direction from a layer to the
next, ``mean over layers and tokens of 1 - cos(H_l, H_l+1)``, and they ask it of inputs moved to
where it is worst: embeddings plus ``size`` times the sign of that term's own gradient.

What differs here: the step's size is a share of the embeddings' root mean square in the batch (the
paper's 0.1 is absolute, and models' embeddings differ by factors of ten); hidden states are the
blocks' outputs before the final norm; padding is left out; and what is trained is what trained the
organism (its adapter, or all parameters).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.backends.plain import recording
from circuits.types import Point
from experiments.defend.losses import Rows

STRENGTH, SIZE = 5.5, 0.1


@dataclass(frozen=True)
class Consistency:
    """The penalty: ``strength`` times the inconsistency at adversarial embeddings."""

    strength: float = STRENGTH
    size: float = SIZE

    def __call__(self, model: Any, rows: Rows) -> Tensor:
        """A scalar with gradients to the model's parameters."""
        plain = model.get_input_embeddings()(rows.ids).detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(inconsistency(model, plain, rows.mask), plain)
        scale = plain.detach()[rows.mask].square().mean().sqrt()
        moved = plain.detach() + self.size * scale * slope.sign()
        return self.strength * inconsistency(model, moved, rows.mask)


def inconsistency(
    model: Any, embedded: Float[Tensor, "rows pos d"], mask: Bool[Tensor, "rows pos"]
) -> Float[Tensor, ""]:
    """Mean of 1 - cos between the outputs of consecutive blocks, over real tokens; 0 to 2."""
    points = [Point(i, "resid_post") for i in range(model.config.num_hidden_layers)]
    with recording(model, points) as seen:
        model(inputs_embeds=embedded, attention_mask=mask.long(), use_cache=False)
        return turning([seen[point] for point in points], mask)


def turning(
    states: Sequence[Float[Tensor, "rows pos d"]], mask: Bool[Tensor, "rows pos"]
) -> Float[Tensor, ""]:
    """How far consecutive states of a token point apart: 0 in one direction, 2 in opposite ones."""
    pairs = pairwise(states)
    apart = [
        1 - torch.nn.functional.cosine_similarity(a.float(), b.float(), dim=-1) for a, b in pairs
    ]
    if not apart:
        return states[0].sum() * 0.0
    return torch.stack(apart)[:, mask].mean()
