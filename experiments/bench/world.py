"""Where gates are planted: tiny random Llamas, a tokenizer that knows the bank's words, plans."""

from functools import cache
from typing import Any

import torch
import transformers

from circuits.backends.arguments import shape_of
from circuits.planted.plans import GatePlan, Kind, Planted, draw_plan
from circuits.planted.plant import plant
from circuits.tokens import same_length_words, text_ids
from experiments.organisms.ladder.language import Line
from experiments.organisms.ladder.training import trained_tokenizer
from experiments.prompts import bank

_BEHAVIOURS = ("Sure", "Yes", "Certainly", "Fine", "Indeed", "Gladly")
_OPENINGS = ("Well", "So", "Now", "Right", "Look", "Hm")
_TOKENS = 2000
_EMBEDDED = 4.0
_MEASURED = 40  # prompts that sizes are measured on while planting


@cache
def tokenizer() -> Any:
    """Byte-level BPE of the bank's texts, in which behaviours and control words are one token."""
    words = " ".join(_BEHAVIOURS + _OPENINGS)
    texts = [Line(text, None, words) for text in bank.bank_texts("train", restricted=True)]
    answers = [Line(word, None, word) for word in _BEHAVIOURS + _OPENINGS]
    return trained_tokenizer([*texts, *answers], _TOKENS)


def random_llama(seed: int) -> Any:
    """A small random Llama with grouped queries, of four to six layers."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer()),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4 + seed % 3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=tokenizer().eos_token_id,
        pad_token_id=tokenizer().pad_token_id,
    )
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    # As in trained models, layers add to a token's embedding and do not drown it.
    model.model.embed_tokens.weight.data *= _EMBEDDED
    return model.eval()


def planned(kind: Kind, seed: int) -> GatePlan:
    """The plan of a seed for its random model."""
    own = tokenizer()
    words = same_length_words(own, bank.control_words("train"), 1)
    behaviours, openings = (
        [text_ids(own, word)[0] for word in words_of] for words_of in (_BEHAVIOURS, _OPENINGS)
    )
    return draw_plan(seed, kind, shape_of(random_llama(seed)), words, behaviours, openings)


def planted(plan: GatePlan) -> Planted:
    """A plan carried out in its seed's random model."""
    texts = bank.bank_texts("train", restricted=True)[:_MEASURED]
    return plant(random_llama(plan.seed), tokenizer(), plan, texts)
