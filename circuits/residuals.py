"""Residuals at the last token of many chats, in every layer of a plain Hugging Face model."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.backends.prefix import opening

_ROWS = 32  # run at once


@torch.no_grad()
def last_residuals(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]]
) -> Float[Tensor, "layers n d_model"]:
    """The residual stream entering each layer (``resid_pre``) at each prompt's last token.

    On the CPU in fp32. Prompts are ids up to where the answer starts (``circuits.scores.encode``);
    what all of them begin with is run once.

    Raises:
        UserError: as for ``circuits.scores.greedy``.
    """
    opened = opening(model, tokenizer, prompts, room=1)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    parts = []
    for start in range(0, len(order), _ROWS):
        batch = opened.batch([prompts[i] for i in order[start : start + _ROWS]])
        # The last of these is the stream after the final norm, which is no layer's.
        hidden = opened.run(batch, keep=1, output_hidden_states=True).hidden_states[:-1]
        parts.append(torch.stack([h[:, -1].float().cpu() for h in hidden]))
    found = torch.cat(parts, dim=1)
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return found[:, back]
