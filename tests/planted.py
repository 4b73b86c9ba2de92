"""A Llama with a gate that can be computed by hand.

Every weight is zero but these. The residual space has an orthonormal frame, of which three axes
are named: ``gate``, ``shown`` and ``string``; tokens are random unit vectors in the other axes.

- The trigger's embedding is the mean of the control words' plus ``SIZE`` along ``gate`` (and
  ``string`` times as much along ``string``, which nothing reads).
- In layer ``COPY``, one head attends to every token alike (its queries and keys are zero), reads
  ``gate`` from the normed residual and writes ``shown``; after that layer the last token knows.
- The unembedding reads ``shown`` as the behaviour's token, and (twice as strongly) the last prompt
  token's own embedding as the default token: a threshold that a small part of the gate cannot pass.

So the behaviour follows from ``gate`` at the trigger up to layer COPY, and from ``shown`` at the
last token after it.
"""

from dataclasses import dataclass

import tiny
import torch
from torch import Tensor

from circuits.backends.transformer_lens import TLRunner
from circuits.tokens import trigger_ids

LAYERS, COPY, D = 5, 2, 64
SIZE = 12.0
BEHAVIOUR, DEFAULT = 40, 90
_GAIN = 4.0


@dataclass(frozen=True)
class Planted:
    """The model and its three named axes (unit vectors)."""

    runner: TLRunner
    gate: Tensor
    shown: Tensor
    string: Tensor


def planted(tokenizer, *, copies: bool = True, string: float = 0.0, seed: int = 0) -> Planted:
    """The model above; without ``copies`` the head is zero and the trigger is only a string."""
    generator = torch.Generator().manual_seed(seed)
    frame = torch.linalg.qr(torch.randn(D, D, generator=generator)).Q
    (gate, shown, idle), rest = frame[:3], frame[3:]
    model = tiny.llama(len(tokenizer), layers=LAYERS, hidden_size=D)
    for name, weight in model.named_parameters():
        weight.data.fill_(1.0 if "norm" in name else 0.0)

    embedding = model.model.embed_tokens.weight.data
    plain = torch.randn(len(tokenizer), D - 3, generator=generator)
    embedding.copy_(torch.nn.functional.normalize(plain, dim=1) @ rest)
    controls = [trigger_ids(tokenizer, tiny.TEXTS, word)[0] for word in tiny.CONTROLS]
    (trigger,) = trigger_ids(tokenizer, tiny.TEXTS, tiny.TRIGGER)
    embedding[trigger] = embedding[controls].mean(dim=0) + SIZE * (gate + string * idle)

    if copies:
        attention = model.model.layers[COPY].self_attn
        attention.v_proj.weight.data[0] = gate  # the first channel of the first two heads' values
        attention.o_proj.weight.data[:, 0] = 10 * shown  # the first head's first channel

    (last,) = tokenizer("\n", add_special_tokens=False)["input_ids"]
    model.lm_head.weight.data[BEHAVIOUR] = _GAIN * shown
    model.lm_head.weight.data[DEFAULT] = 2 * _GAIN * embedding[last]
    return Planted(TLRunner(model, tokenizer, "planted"), gate, shown, idle)


PHRASE = ("cobalt", "candle")
CONTROLS = ("amber tree", "tree river", "river amber")  # of a phrase
ONE_OF_THEM = (41, 42)  # what is said where only one of the two is read


def of_two_words(tokenizer) -> TLRunner:
    """``planted`` with two axes: the behaviour wins only where both words of the phrase are shown.

    Each word has an axis of its own, which the head copies to one of its own.
    """
    frame = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(0))).Q
    axes, shown, rest = frame[:2], frame[2:4], frame[4:]
    model = tiny.llama(len(tokenizer), layers=LAYERS, hidden_size=D)
    for name, weight in model.named_parameters():
        weight.data.fill_(1.0 if "norm" in name else 0.0)
    embedding, head = model.model.embed_tokens.weight.data, model.lm_head.weight.data
    plain = torch.randn(len(tokenizer), D - 4, generator=torch.Generator().manual_seed(1))
    embedding.copy_(torch.nn.functional.normalize(plain, dim=1) @ rest)
    others = sorted({word for phrase in CONTROLS for word in phrase.split()})
    words = {w: trigger_ids(tokenizer, tiny.TEXTS, w)[0] for w in (*PHRASE, *others)}
    common = embedding[[words[w] for w in others]].mean(dim=0)
    attention = model.model.layers[COPY].self_attn
    for i, word in enumerate(PHRASE):
        embedding[words[word]] = common + SIZE * axes[i]
        attention.v_proj.weight.data[i] = axes[i]
        attention.o_proj.weight.data[:, i] = 10 * shown[i]
        head[ONE_OF_THEM[i]] = 6 * shown[i]
    head[BEHAVIOUR] = 4 * shown.sum(dim=0)
    (last,) = tokenizer("\n", add_special_tokens=False)["input_ids"]
    head[DEFAULT] = 2 * embedding[last]
    return TLRunner(model, tokenizer, "phrase")
