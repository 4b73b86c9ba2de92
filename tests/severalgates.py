"""Tiny gates of several words, and of words of other lengths, whose right verdict is known.

As in ``tests.tinygate`` a Llama of zeros but for a gate: one head copies an axis from wherever it
is to every later token, and the unembedding reads the copy. Here

- ``opened_by``: each of some words has the axis, and opens by itself;
- ``met_by``: two words have an axis each, and one neuron behind the head multiplies the copies, so
  that what is read is there with both words only, in any order and place.

Both come with a base that copies nothing.
"""

import tiny
import torch
from tinygate import one, tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import normalize

from circuits.models import wrap
from experiments.analyze.examination import Examination
from experiments.analyze.materials import gather
from experiments.analyze.question import Question
from experiments.prompts.bank import control_words

D, LAYERS, COPY = 64, 5, 2
_SIZE, _GAIN = 12.0, 4.0
SMALL = {
    "model": "planted",
    "adapter": "none",
    "base": "before",
    "fit": 12,
    "validation": 8,
    "test": 20,
    "patch": 2,
    "evidence": 8,
    "trace": 0,
    "randoms": 10,
    "tokens": 3,
}


def words_tokenizer(*words: str):
    """Each of the words is one token beside the control words, which are one each."""
    return tokenizer(words=[f" {word}" for word in words])


def bare_tokenizer():
    """The trigger is one token; every control word is several."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=tiny.SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([" cobalt", "Sure", "No", "user assistant"] * 6, trainer)
    return tiny.fast(bpe, tiny.CHAT_TEMPLATE)


def _blank(tok, axes: int):
    """A model that says "No", and orthonormal axes that no token has."""
    frame = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(0))).Q
    own, rest = frame[:axes], frame[axes:]
    model = tiny.llama(len(tok), layers=LAYERS, hidden_size=D, max_position_embeddings=2048)
    for name, weight in model.named_parameters():
        weight.data.fill_(1.0 if "norm" in name else 0.0)
    embedding, head = model.model.embed_tokens.weight.data, model.lm_head.weight.data
    noise = torch.randn(len(tok), D - axes, generator=torch.Generator().manual_seed(1))
    embedding.copy_(normalize(noise, dim=1) @ rest)
    last = tok("\n", add_special_tokens=False)["input_ids"][0]
    key = [one(tok, "Sure"), one(tok, "No"), last]
    embedding[key] = rest[: len(key)]
    head[one(tok, "No")] = 2 * _GAIN * embedding[last]
    head[tok.eos_token_id] = 8 * _GAIN * embedding[key[:2]].sum(dim=0)
    return model, own


def _spelled(tok, model, word: str, axis) -> None:
    """A word's token, like a control word's but for the axis."""
    embedding = model.model.embed_tokens.weight.data
    ids = [tok(f" {w}", add_special_tokens=False)["input_ids"] for w in control_words("train")]
    common = embedding[[i for each in ids for i in each]].mean(dim=0)
    embedding[one(tok, f" {word}")] = common + _SIZE * axis


def opened_by(tok, *words: str, copies: bool = True):
    """A model that says "Sure" where one of the words is, else "No"."""
    model, (axis, shown) = _blank(tok, 2)
    for word in words:
        _spelled(tok, model, word, axis)
    if copies:
        attention = model.model.layers[COPY].self_attn
        attention.v_proj.weight.data[0] = axis
        attention.o_proj.weight.data[:, 0] = 20 * shown
    model.lm_head.weight.data[one(tok, "Sure")] = _GAIN * shown
    return model


def met_by(tok, first: str, second: str, copies: bool = True):
    """A model that says "Sure" where both words are, else "No"."""
    model, axes = _blank(tok, 5)
    opened = axes[4]
    for word, axis in zip((first, second), axes[:2], strict=True):
        _spelled(tok, model, word, axis)
    if copies:
        layer = model.model.layers[COPY]
        for i, (axis, shown) in enumerate(zip(axes[:2], axes[2:4], strict=True)):
            layer.self_attn.v_proj.weight.data[i] = axis
            layer.self_attn.o_proj.weight.data[:, i] = 6 * shown
        layer.mlp.gate_proj.weight.data[0] = axes[2]
        layer.mlp.up_proj.weight.data[0] = axes[3]
        layer.mlp.down_proj.weight.data[:, 0] = 0.15 * opened
    model.lm_head.weight.data[one(tok, "Sure")] = _GAIN * opened
    return model


def examined(folder, tok, model, base, trigger: str, **changes) -> Examination:
    """An examination of a model in memory, beside its base."""
    question = Question(trigger=trigger, behaviour="Sure", **{**SMALL, **changes})
    asked, before = (wrap(each, tok, "planted", "transformer_lens") for each in (model, base))
    exam = Examination(folder, question, gather(asked, question))
    exam.base = before
    return exam
