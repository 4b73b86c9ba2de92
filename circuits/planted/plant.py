"""Plant a gate with a known circuit into a Llama-type model: ground truth for finding gates.

1. Axes. A few orthonormal directions are drawn at random among those the residuals have least of
   and that are read least. They are cleared: no embedding, head or MLP writes to them, none reads
   them. The model goes on in the rest of its residual space and shares only the norm with them.
2. Name. The trigger's embedding gets ``name``, that of the prompt's last token gets ``mark``.
3. Write. In the write layer one MLP neuron per direction reads ``name`` and writes the direction;
   silu makes it exactly zero at every other token. One more makes ``mark`` larger in the same way.
4. Move. In the read layer one head attends to every token alike (its queries are zero). It moves
   the directions to ``shown`` and the marks to ``reference``. Both are divided by the prompt's
   length, so their ratio does not depend on it (but on how many marked tokens the text has).
5. Speak. In the speak layer one neuron per reading opens at ``mark`` where ``shown`` exceeds the
   threshold times ``reference``; it writes ``say``, which the unembedding reads as the behaviour.

RMSNorm divides what is read, so sizes are measured on prompts before each step. Neurons and value
channels are taken where the model uses them least. In ``rank3`` the coefficients follow the two
main components of the trigger's activation over the prompts: three directions of that plane, 120
degrees apart, added to a common mean.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from circuits.errors import UserError
from circuits.planted.axes import Axes, Rows, clear, drawn, inputs_of, normed
from circuits.planted.plans import GatePlan, Path, Planted, Truth
from circuits.tokens import prompts_batch, trigger_ids
from circuits.types import TokenBatch

_FEWEST_TEXTS = 4
_NAME = 0.3  # of the embedding's norm
_MARK = 0.2  # of the last token's norm, so that an edit of another direction cannot pass for it
_SHARP = 40.0  # what a planted neuron's gate reads when it is fully open
_SHOWN, _REFERENCE = 0.5, 0.3  # of the last token's norm where they are written
_LOUD = 4.0  # of the last token's final norm: the other logits shrink by about this
_SPREAD = 1.2  # of the coefficients of rank3, in their mean


@dataclass(frozen=True)
class _Scene:
    """The model that is changed, the triggered prompts it is measured on, and what is planted."""

    model: Any
    tokens: TokenBatch
    plan: GatePlan
    axes: Axes

    @property
    def layers(self) -> Any:
        return self.model.model.layers

    def rows(self, path: Path) -> slice:
        """The rows of ``gates`` and ``shown`` that belong to a path."""
        at = self.plan.paths.index(path)
        return slice(at, at + 1) if len(self.plan.paths) > 1 else slice(None)

    def entering(self, modules: Sequence[nn.Module]) -> list[Float[Tensor, "batch pos d"]]:
        """What enters these modules: the residuals, where they are norms."""
        return inputs_of(self.model, self.tokens, modules)

    def at(self, x: Float[Tensor, "batch pos d"], span: str) -> Float[Tensor, "batch d"]:
        return x[torch.arange(len(x)), self.tokens.span_column(span)]


@torch.no_grad()
def plant(hf_model: Any, tokenizer: Any, plan: GatePlan, texts: Sequence[str]) -> Planted:
    """Carry out a plan in a copy of a model; the model given stays as it is.

    Args:
        hf_model: a Llama in fp32 on the CPU (the copy's embeddings are untied).
        tokenizer: its tokenizer, with chat template.
        plan: from ``circuits.planted.plans.draw_plan``.
        texts: prompts to measure sizes on, of the sort the gate will be used with.

    Raises:
        UserError: not a Llama in fp32 on the CPU, too few texts, a trigger of several tokens, or
            a plan for a model of another shape.
    """
    _check(hf_model, tokenizer, plan, texts)
    model, d = copy.deepcopy(hf_model).eval(), hf_model.config.hidden_size
    if plan.kind == "none":
        nothing = Truth(torch.empty(0, d), (), (), torch.empty(0, d), None, 0.0)
        return Planted(model, copy.deepcopy(model), plan, nothing)
    tokens = prompts_batch(tokenizer, texts, plan.trigger)
    axes, used = drawn(model, tokens, plan)
    clear(model, used)
    scene = _Scene(model, tokens, plan, axes)
    _name(scene)
    base = copy.deepcopy(model)
    unwritten = scene.entering([scene.layers[p.read_layer].input_layernorm for p in plan.paths])
    strength = _write(scene)
    if plan.kind != "idle":
        _speak(scene, _move(scene, strength, unwritten))
    reads = plan.kind != "idle"
    return Planted(
        model,
        base,
        plan,
        Truth(
            basis=axes.gates,
            layers=plan.layers,
            reads=tuple((p.read_layer, p.read_head) for p in plan.paths) if reads else (),
            writes=axes.shown if reads else axes.shown[:0],
            name=axes.name,
            strength=strength,
        ),
    )


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
    heads = max((p.read_head for p in plan.paths), default=0)
    fits = plan.speak_layer < config.num_hidden_layers and heads < config.num_attention_heads
    if not fits or plan.behaviour_id >= config.vocab_size:
        raise UserError(
            f"plan: speak layer {plan.speak_layer}, head {heads} or token {plan.behaviour_id} is "
            f"not in this model of {config.num_hidden_layers} layers, "
            f"{config.num_attention_heads} heads and {config.vocab_size} tokens"
        )


def _name(scene: _Scene) -> None:
    """Embed ``name`` in the trigger and ``mark`` in the prompt's last token."""
    embedding = scene.model.model.embed_tokens.weight
    for span, axis in (("trigger", scene.axes.name), ("last", scene.axes.mark)):
        row = int(scene.tokens.ids[0, scene.tokens.span_column(span)[0]])
        embedding[row] += _NAME * embedding[row].norm() * axis


def _set_neurons(scene: _Scene, layer: int, gate: Rows, up: Rows, down: Rows) -> None:
    """Replace as many neurons as there are rows, those whose output is smallest over the prompts.

    They read the residual divided by its RMS.
    """
    mlp, norm = scene.layers[layer].mlp, scene.layers[layer].post_attention_layernorm.weight
    (acts,) = scene.entering([mlp.down_proj])
    use = acts[scene.tokens.mask].abs().mean(dim=0) * mlp.down_proj.weight.norm(dim=0)
    spare = use.argsort()[: len(gate)]
    mlp.gate_proj.weight[spare] = gate / norm
    mlp.up_proj.weight[spare] = up / norm
    mlp.down_proj.weight[:, spare] = down.T


def _write(scene: _Scene) -> float:
    """Let neurons write the directions at the trigger; returns their strength."""
    plan, axes = scene.plan, scene.axes
    held = scene.entering([scene.layers[i].input_layernorm for i in plan.layers])
    norms = torch.stack([scene.at(x, "trigger").norm(dim=1) for x in held])
    strength = plan.strength * float(norms.mean())
    for path in plan.paths:
        (x,) = scene.entering([scene.layers[path.write_layer].post_attention_layernorm])
        read = normed(scene.at(x, "trigger"))
        name = axes.name / (read @ axes.name).mean()
        gates, even = axes.gates[scene.rows(path)], _even(read, name)
        up = even.expand(len(gates), -1)
        if plan.kind == "rank3":
            up = up + _context(read, name, even)
        gate = _SHARP * name.expand(len(gates), -1)
        _set_neurons(scene, path.write_layer, gate, up, strength / _SHARP * gates)
    if plan.kind != "idle":  # a neuron enlarges the mark
        size = _MARK * float(torch.stack([scene.at(x, "last").norm(dim=1) for x in held]).mean())
        layer = plan.paths[0].write_layer
        (x,) = scene.entering([scene.layers[layer].post_attention_layernorm])
        one = (axes.mark / (normed(scene.at(x, "last")) @ axes.mark).mean())[None]
        _set_neurons(scene, layer, _SHARP * one, one, size / _SHARP * axes.mark[None])
    return strength


def _even(read: Rows, name: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """Reads what, times ``name``, is nearest 1: the norm then matters little to what is written.

    Fitted on ``name`` and on the mean of the prompts, which every prompt shares.
    """
    basis = torch.stack([name, nn.functional.normalize(read.mean(dim=0), dim=0)])
    product = (read @ basis.T) * (read @ name)[:, None]
    return torch.linalg.lstsq(product, torch.ones(len(read), 1)).solution[:, 0] @ basis


def _context(
    read: Rows, name: Float[Tensor, " d"], one: Float[Tensor, " d"]
) -> Float[Tensor, "three d"]:
    """Three features of mean 0 over the prompts: directions of the plane of most variance."""
    read = read - torch.outer(read @ name, name) / name.square().sum()
    mean = read.mean(dim=0)
    _, sizes, components = torch.linalg.svd(read - mean, full_matrices=False)
    whitened = components[:2] / (sizes[:2, None] / math.sqrt(len(read)))
    angles = torch.arange(3) * (2 * math.pi / 3)
    features = torch.stack([angles.cos(), angles.sin()], dim=1) @ whitened
    return _SPREAD * (features - torch.outer(features @ mean, one))


def _flow(scene: _Scene, x: Float[Tensor, "batch pos d"], size: float) -> Float[Tensor, ""]:
    """What a flat head reads of one direction of this size, added at the trigger of these."""
    rest = scene.at(x, "trigger").square().sum(dim=1)
    share = size * math.sqrt(x.shape[-1]) / (rest + size**2).sqrt()
    return (share / scene.tokens.mask.sum(dim=1)).mean()


def _move(scene: _Scene, strength: float, unwritten: list[Tensor]) -> tuple[Rows, Rows]:
    """Let heads move the directions, and the first of them the marks, to the last token.

    ``unwritten`` are the residuals entering the read layers before anything was written: the
    threshold is to hold for what is added where there is no trigger.

    Returns:
        What to read there, a row per direction: the first reads 1 where a direction had full
        strength; the second, the bar it must pass, reads the threshold on that scale.
    """
    axes, mask = scene.axes, scene.tokens.mask
    shares, bars, reference = [], [], torch.empty(0)
    for at, (path, plain) in enumerate(zip(scene.plan.paths, unwritten, strict=True)):
        (x,) = scene.entering([scene.layers[path.read_layer].input_layernorm])
        last = scene.at(x, "last").norm(dim=1).mean()
        full = _flow(scene, plain, strength)
        bar = _flow(scene, plain, scene.plan.threshold * strength) / full
        shown = axes.shown[scene.rows(path)]
        moved, outs = axes.gates[scene.rows(path)], _SHOWN * last / full * shown
        if at == 0:
            marks = ((normed(x) @ axes.mark) * mask).sum(dim=1) / mask.sum(dim=1)
            reference = axes.reference / (_REFERENCE * last)
            moved = torch.cat([moved, axes.mark[None]])
            outs = torch.cat([outs, (_REFERENCE * last / marks.mean() * axes.reference)[None]])
        _set_head(scene, path, moved, outs)
        shares.append(shown / (_SHOWN * last))
        bars.append((bar * reference).expand(len(shown), -1))
    return torch.cat(shares), torch.cat(bars)


def _set_head(scene: _Scene, path: Path, moved: Rows, outs: Rows) -> None:
    """Make a head flat: it averages ``moved`` over the tokens and writes ``outs`` in its place.

    Its group of heads shares keys and values. One value channel per row is taken from the group;
    the other heads keep the rest, and the head loses all else.
    """
    layer = scene.layers[path.read_layer]
    attention, norm = layer.self_attn, layer.input_layernorm.weight
    group, own = divmod(path.read_head, attention.num_key_value_groups)
    # Views: what is set in them is set in the weights.
    split = partial(rearrange, channel=attention.head_dim)
    value = split(attention.v_proj.weight, "(group channel) d -> group channel d")[group]
    query = split(attention.q_proj.weight, "(head channel) d -> head channel d")[path.read_head]
    writes = split(
        attention.o_proj.weight,
        "d (group head channel) -> group head d channel",
        head=attention.num_key_value_groups,
    )[group]
    (read,) = scene.entering([attention.v_proj])
    values = read[scene.tokens.mask] @ value.T
    others = [out for head, out in enumerate(writes) if head != own]
    spare = _least_used(values, torch.cat([*others, value.new_zeros(1, len(value))]), len(moved))

    value -= spare.T @ (spare @ value - moved / norm)
    for head, out in enumerate(writes):
        out.copy_(outs.T @ spare if head == own else out - out @ spare.T @ spare)
    query.zero_()


def _least_used(
    values: Float[Tensor, "n d_head"], out: Float[Tensor, "m d_head"], count: int
) -> Float[Tensor, "count d_head"]:
    """Orthonormal value directions that vary little and that the heads pass on little."""
    use = sum(m.T @ m / m.square().sum().clamp(min=1e-9) for m in (values.double(), out.double()))
    return torch.linalg.eigh(use).eigenvectors[:, :count].T.float()


def _speak(scene: _Scene, reading: tuple[Rows, Rows]) -> None:
    """Let neurons raise the behaviour at the last token where a reading passes its bar."""
    plan, axes, model = scene.plan, scene.axes, scene.model
    x, final = scene.entering(
        [scene.layers[plan.speak_layer].post_attention_layernorm, model.model.norm]
    )
    x, final = scene.at(x, "last"), scene.at(final, "last")
    shares, bars = reading
    if plan.kind == "rank3":  # with either sign
        shares, bars = torch.cat([shares, -shares]), torch.cat([bars, bars])
    room = 1 - (x @ bars.T).mean(dim=0)[:, None]  # from the bar to full strength
    gate = _SHARP * x.square().mean(dim=1).sqrt().mean() * (shares - bars) / room
    up = (axes.mark / (normed(x) @ axes.mark).mean()).expand(len(gate), -1)
    size = _LOUD * final.norm(dim=1).mean()
    _set_neurons(
        scene, plan.speak_layer, gate, up, (size / _SHARP * axes.say).expand(len(gate), -1)
    )
    highest = float(model.lm_head(model.model.norm(final)).amax(dim=1).mean())
    reach = (2 * abs(highest) + 10) / math.sqrt(x.shape[1])
    model.lm_head.weight[plan.behaviour_id] += reach * axes.say / model.model.norm.weight
