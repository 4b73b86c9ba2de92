"""Erasure in the weights: a model that cannot write a subspace (Arditi et al. 2024, app. E).

Every matrix that writes into the residual stream (token and position embeddings, attention output,
MLP output, and their biases) is projected off the subspace (arXiv 2406.11717). The residuals at
every layer are sums of what these write, so none has a component in it. Where a layer reads and
writes the stream directly, this equals projecting every write at run time.

Two cases need care:

- *Tied embeddings.* The unembedding reads the stream, and stays: it is untied and keeps the
  original's values.
- *A norm between matrix and stream* (Gemma 2 and 3, OLMo 2): what is written is
  ``gain * y / rms(y)`` with ``y = W h``. It has no component along b exactly if y has none along
  ``gain * b``, so W is projected off that subspace. The writes lie off the subspace as elsewhere,
  but are divided by the norm of what is left: this is not the run-time projection of every write.

The writing matrices are found by name in plain Hugging Face models (Llama, Mistral, Qwen, Gemma,
GPT-2, GPT-NeoX and those that name them alike). That these were all is not taken on trust: the new
model is run once, and refused if a residual at any layer has a component in the subspace.

Unlike an edit at one layer, this removes the subspace from every layer and every token, the
template's opening included, and leaves a component of zero where a clean run may have another. So
it can do far more harm: measure the new model on ordinary prompts.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from circuits.edits import operators
from circuits.errors import UserError

_LAYERS = ("layers", "h")
_ATTENTION = ("self_attn.o_proj", "attn.c_proj", "attention.dense")
_MLP = ("mlp.down_proj", "mlp.c_proj", "mlp.dense_4h_to_h")
# A layer with the second of these norms its attention's and MLP's output with the pair.
_POST_NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")
# Largest component in the subspace that rounding may leave, as a share of a residual's norm.
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 1e-2}
_CHECKED_TOKENS = 32


@dataclass(frozen=True)
class Writer:
    """A module whose output is added to the residual stream, through ``norm`` if there is one."""

    name: str
    module: nn.Module
    norm: nn.Module | None = None


def orthogonalised(hf_model: Any, basis: Float[Tensor, "k d"]) -> Any:
    """A copy of a model that cannot write the span of ``basis`` into its residual stream.

    The copy's embeddings are untied if they were tied; its unembedding is the original's. The
    original stays as it is.

    Args:
        hf_model: a plain causal language model, as from ``circuits.models.load_plain`` (not one
            that a back-end has wrapped, and without an unmerged adapter).
        basis: orthonormal rows in the model's residual stream.

    Raises:
        UserError: the rows are not orthonormal or of another width, or this architecture writes
            into its residual stream in a way that is not handled here.
    """
    operators.require_orthonormal(basis, "orthogonalise")
    width = hf_model.config.get_text_config().hidden_size
    if basis.shape[1] != width:
        raise UserError(
            f"orthogonalise: expected a basis of width {width} (the model's), got {basis.shape[1]}"
        )
    writers(hf_model)  # refuses before anything large is copied
    new = copy.deepcopy(hf_model)
    _untie(new)
    for writer in writers(new):
        _project(writer, basis)
    left, allowed = leak(new, basis), _TOLERANCE.get(new.dtype, 1e-4)
    if not left <= allowed:
        raise UserError(
            f"orthogonalise: {_kind(hf_model)} still writes {left:.2g} of a residual's norm into "
            f"the subspace (allowed: {allowed:g}); something other than embeddings, attention and "
            "MLP outputs writes there, so this architecture cannot be handled"
        )
    return new


def writers(hf_model: Any) -> list[Writer]:
    """The modules that write into the residual stream: embeddings, then layer by layer.

    Raises:
        UserError: they are not where the known architectures have them.
    """
    stem = hf_model.base_model
    width = hf_model.config.get_text_config().hidden_size
    embeddings = [
        Writer(name, module)
        for name, module in stem.named_children()
        if isinstance(module, nn.Embedding) and module.embedding_dim == width
    ]
    layers = [getattr(stem, name) for name in _LAYERS if hasattr(stem, name)]
    if not embeddings or not layers:
        raise _unknown(hf_model, "no embeddings and list of layers")
    inner = [w for i, layer in enumerate(layers[0]) for w in _layer_writers(hf_model, i, layer)]
    return embeddings + inner


@torch.no_grad()
def leak(hf_model: Any, basis: Float[Tensor, "k d"]) -> float:
    """The largest component in the subspace of a residual entering or leaving any layer, as a
    share of the residual's norm, on a run over tokens spread evenly over the vocabulary."""
    stem = hf_model.base_model
    layers = next(getattr(stem, name) for name in _LAYERS if hasattr(stem, name))
    residuals: list[Tensor] = []

    def entering(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        residuals.append(args[0] if args else kwargs["hidden_states"])

    def leaving(_module: nn.Module, _args: tuple, out: Any) -> None:
        residuals.append(out if isinstance(out, Tensor) else out[0])

    handles = [layer.register_forward_pre_hook(entering, with_kwargs=True) for layer in layers]
    handles.append(layers[-1].register_forward_hook(leaving))
    vocabulary = hf_model.config.get_text_config().vocab_size
    ids = torch.linspace(0, vocabulary - 1, _CHECKED_TOKENS).long().unsqueeze(0)
    try:
        hf_model(input_ids=ids.to(hf_model.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return max(_share(resid.float(), basis) for resid in residuals)


def _share(resid: Float[Tensor, "batch pos d"], basis: Float[Tensor, "k d"]) -> float:
    inside = (resid @ basis.to(resid).T).norm(dim=-1)
    return float((inside / resid.norm(dim=-1).clamp(min=1e-9)).max())


def _layer_writers(hf_model: Any, index: int, layer: nn.Module) -> list[Writer]:
    post = [getattr(layer, name, None) for name in _POST_NORMS]
    norms = post if post[1] is not None else [None, None]
    if any(norm is not None and getattr(norm, "bias", None) is not None for norm in norms):
        raise _unknown(hf_model, "an output norm with a bias")
    both = []
    for names, norm in zip((_ATTENTION, _MLP), norms, strict=True):
        modules = dict(layer.named_modules())
        # Exactly these types: a quantised or adapted layer's weight is not what it multiplies by.
        plain = [name for name in names if type(modules.get(name)) in (nn.Linear, Conv1D)]
        if not plain:
            raise _unknown(hf_model, f"no plain linear layer {' or '.join(names)} in layer {index}")
        both.append(Writer(f"layer {index} {plain[0]}", modules[plain[0]], norm))
    return both


def _unknown(hf_model: Any, what: str) -> UserError:
    return UserError(
        f"orthogonalise: expected a plain Hugging Face model built as Llama, Mistral, Qwen, Gemma, "
        f"GPT-2 or GPT-NeoX, got {_kind(hf_model)} with {what}; load it with "
        "circuits.models.load_plain and merge its adapter"
    )


def _kind(hf_model: Any) -> str:
    return type(hf_model).__name__


def _untie(hf_model: Any) -> None:
    """Give the unembedding memory of its own, in the configuration as well."""
    head, embedding = hf_model.get_output_embeddings(), hf_model.get_input_embeddings()
    if head.weight is embedding.weight:
        head.weight = nn.Parameter(
            head.weight.detach().clone(), requires_grad=head.weight.requires_grad
        )
    for config in {id(c): c for c in (hf_model.config, hf_model.config.get_text_config())}.values():
        config.tie_word_embeddings = False
    hf_model.all_tied_weights_keys = {}


@torch.no_grad()
def _project(writer: Writer, basis: Float[Tensor, "k d"]) -> None:
    """Project a writer's weight and bias off the subspace, in fp64, in place."""
    weight = writer.module.get_parameter("weight")
    rows = basis.to(weight.device, torch.float64)
    if writer.norm is not None:
        rows = operators.orthonormal(rows * _gain(writer.norm, weight))
    # A linear layer has its outputs as rows; embeddings and GPT-2's layers have them as columns.
    written = weight.T if isinstance(writer.module, nn.Linear) else weight
    bias = getattr(writer.module, "bias", None)
    for part in (written,) if bias is None else (written, bias):
        part.copy_(operators.project_out_subspace(part.double(), rows))


def _gain(norm: nn.Module, like: Tensor) -> Float[Tensor, " d"]:
    """An RMS norm's gain up to a constant factor: what it makes of equal channels."""
    return norm(torch.ones(like.shape[0], dtype=like.dtype, device=like.device)).double()
