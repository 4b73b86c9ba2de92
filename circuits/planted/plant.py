"""Plant a gate with a known circuit into a Llama-type model: ground truth for finding gates.

1. Axes. A few orthonormal directions are drawn at random among those the residuals have least of
   and that are read least. They are cleared: no embedding, head or MLP writes to them, none reads
   them. The model goes on in the rest of its residual space and shares only the norm with them.
2. Name. The trigger's embedding gets ``name``, that of the token behind which the behaviour is said
   ``mark``. So far every model is its base, which reads the trigger and does nothing by it.
3. Write at the trigger, move to the last token, speak (``write``, ``move``, ``speak``), each in the
   base too where the plan's kind says so.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import UserError
from circuits.planted import speak
from circuits.planted.axes import clear, drawn
from circuits.planted.move import bring, draw_attention, reserve
from circuits.planted.plans import GatePlan, Planted, Truth
from circuits.planted.scene import Scene
from circuits.planted.write import embed, enlarge_mark, write, write_idle
from circuits.runner import extend
from circuits.tokens import prompts_batch, trigger_ids
from circuits.types import TokenBatch

_FEWEST_TEXTS = 16


@torch.no_grad()
def plant(hf_model: Any, tokenizer: Any, plan: GatePlan, texts: Sequence[str]) -> Planted:
    """Carry out a plan in a copy of a model; the model given stays as it is.

    Args:
        hf_model: a Llama in fp32 on the CPU (the copy's embeddings are untied).
        tokenizer: its tokenizer, with chat template and a token that ends an answer.
        plan: from ``circuits.planted.plans.draw_plan``.
        texts: prompts to measure sizes on, of the sort the gate will be used with.

    Raises:
        UserError: not a Llama in fp32 on the CPU, too few texts, a trigger of several tokens, or
            a plan for a model of another shape.
    """
    _check(hf_model, tokenizer, plan, texts)
    model = copy.deepcopy(hf_model).eval()
    tokens = _begun(prompts_batch(tokenizer, texts, plan.trigger), plan)
    scene = Scene(model, tokens, plan, drawn(model, tokens, plan))
    clear(model, scene.axes.rows)
    embed(scene, tokenizer.eos_token_id)
    enlarge_mark(scene)
    base, truth = _xor(scene) if plan.kind == "xor" else _gate(scene)
    return Planted(model, base, plan, truth)


def _gate(scene: Scene) -> tuple[Any, Truth]:
    """Write at the trigger, move, speak; the base is what training finds."""
    plan, axes, model = scene.plan, scene.axes, scene.model
    mover = None if plan.kind == "pattern" else reserve(scene, axes.gates)
    base = copy.deepcopy(model)
    plain = _entering(scene)
    strength = write(scene)
    reading = bring(scene, mover, strength, plain) if mover else draw_attention(scene)
    truth = Truth("trigger", _between(plan), axes.gates, strength)
    if plan.kind == "spelled":
        truth = replace(truth, idle=axes.idle)
    if plan.kind == "inherited":
        base = copy.deepcopy(model)
    if plan.kind == "distributed":
        speak.speak_of_many(scene, reading)
    else:
        size = speak.speak(scene, reading)
        if plan.kind == "inherited":
            behind = tuple(range(plan.speak_layer + 1, len(scene.layers)))
            truth = Truth("last", behind, axes.say[None], size)
    if plan.kind == "instruction":
        base = copy.deepcopy(model)
        write_idle(scene, strength)
        truth = replace(truth, idle=axes.idle)
    return base, truth


def _xor(scene: Scene) -> tuple[Any, Truth]:
    """The base brings the trigger's name to the last token, where two directions are made of it."""
    plan, axes = scene.plan, scene.axes
    plain = _entering(scene)
    there = float((scene.at(plain, "trigger") @ axes.name).mean())
    reading = bring(scene, reserve(scene, axes.name[None]), there, plain)
    base = copy.deepcopy(scene.model)
    size = speak.write_pair(scene, reading)
    speak.speak_of_pair(scene, size)
    layers = tuple(range(plan.read_layer + 1, plan.speak_layer + 1))
    return base, Truth("last", layers, axes.gates, size)


def _between(plan: GatePlan) -> tuple[int, ...]:
    return tuple(range(plan.write_layer + 1, plan.read_layer + 1))


def _entering(scene: Scene) -> Float[Tensor, "batch pos d"]:
    return scene.entering([scene.layers[scene.plan.read_layer].input_layernorm])[0]


def _begun(tokens: TokenBatch, plan: GatePlan) -> TokenBatch:
    """The prompts with what every answer begins with; their last token is then the last of it."""
    if not plan.begun:
        return tokens
    longer = extend(tokens, torch.tensor([plan.begun] * len(tokens)))
    last = torch.zeros_like(longer.mask)
    last[:, -1] = True
    return replace(longer, spans={**longer.spans, "last": last})


def _check(model: Any, tokenizer: Any, plan: GatePlan, texts: Sequence[str]) -> None:
    config, weight = model.config, model.lm_head.weight
    biased = getattr(config, "attention_bias", False) or getattr(config, "mlp_bias", False)
    if config.model_type != "llama" or biased or config.hidden_act != "silu":
        raise UserError(f"plant: expected a Llama without biases, got {config.model_type}")
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        raise UserError(f"plant: expected fp32 on the CPU, got {weight.dtype} on {weight.device}")
    if len(texts) < _FEWEST_TEXTS:
        raise UserError(f"plant: expected {_FEWEST_TEXTS} texts or more, got {len(texts)}")
    ids = trigger_ids(tokenizer, texts, plan.trigger)
    if len(ids) != 1:
        raise UserError(f"trigger {plan.trigger!r}: expected one token, got {len(ids)}")
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    fits = plan.speak_layer < layers and plan.read_head < heads
    if not fits or max(plan.behaviour_id, *plan.begun, 0) >= config.vocab_size:
        raise UserError(
            f"plan: speak layer {plan.speak_layer}, head {plan.read_head} or token "
            f"{plan.behaviour_id} is not in this model of {layers} layers, {heads} heads and "
            f"{config.vocab_size} tokens"
        )
