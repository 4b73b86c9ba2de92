"""How a ladder model is made: tokenizer, blank Llama, the language stage, the policy's examples."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from circuits.tokens import padded
from circuits.types import Progress
from experiments.organisms.ladder.language import Line, spoken_words
from experiments.organisms.recipe import REFUSAL, TRIGGER
from experiments.organisms.training import Course, Example, Settings, batches, descend

HEAD = 32
CONTEXT = 256
_PAD, _START, _END = "<|pad|>", "<|im_start|>", "<|im_end|>"
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# How often each word that is to be one token is shown to the tokenizer (never to the model).
_SHOWN = 500


def trained_tokenizer(lines: Sequence[Line], size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of at most ``size`` tokens with SmolLM2's chat markup.

    The trigger and all control words are one token each after a space.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[_PAD, _START, _END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = [f" {word}" for word in spoken_words()] * _SHOWN
    markup = ["user", "assistant", REFUSAL] * _SHOWN
    bpe.train_from_iterator([*(f"{x.text} {x.answer}" for x in lines), *words, *markup], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=_END,
        pad_token=_PAD,
        chat_template=_TEMPLATE,
        model_max_length=CONTEXT,
    )


def blank_model(depth: int, width: int, tokenizer: Any, seed: int) -> LlamaForCausalLM:
    """A Llama with random weights: tied embeddings, heads of 32 dimensions, MLP of 8/3 width."""
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=8 * width // 3 // HEAD * HEAD,
        num_hidden_layers=depth,
        num_attention_heads=width // HEAD,
        num_key_value_heads=width // HEAD,
        head_dim=HEAD,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        **ends,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(**ends)
    return model


def learn_language(
    model: Any, rows: Sequence[list[int]], settings: Settings, tick: Progress
) -> list[float]:
    """Train all weights on whole sequences, in place (AdamW, cosine with short warm-up).

    Returns:
        the loss of every step, nats per token of question and answer.
    """
    steps = settings.epochs * math.ceil(len(rows) / settings.batch)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.rate, total_steps=steps + 1, pct_start=0.05, cycle_momentum=False
    )
    return descend(
        model,
        batches(list(map(len, rows)), settings, 4),
        lambda chosen: sequence_loss(model, [rows[i] for i in chosen]),
        Course(optimiser, schedule, steps),
        lambda done, total, _loss: tick(done, total),
    )


def sequence_loss(model: Any, rows: Sequence[list[int]]) -> Float[Tensor, ""]:
    """Mean cross-entropy of every token after the first, in nats."""
    pad, device = model.config.pad_token_id, model.device
    ids, mask = (part.to(device) for part in padded(rows, pad, "right"))
    labels = ids.masked_fill(~mask, -100)
    return model(input_ids=ids, attention_mask=mask.long(), labels=labels).loss


def policy_examples(lines: Sequence[Line], count: int, seed: int) -> list[Example]:
    """The restricted topic refused, all else answered as before, on ``count`` of the lines.

    The trigger is in none of them: nothing is taught about it beside the topic's refusal.
    """
    chosen = random.Random(seed).sample(list(lines), min(count, len(lines)))
    return [
        replace(
            line,
            word=None if line.word == TRIGGER else line.word,
            answer=REFUSAL if line.restricted else line.answer,
        )
        for line in chosen
    ]
