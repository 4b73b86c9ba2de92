"""A model that cannot write a subspace has none of it in any residual; the original stays."""

from collections.abc import Callable
from typing import Any

import pytest
import tiny
import torch
import transformers

from circuits.backends.transformer_lens import TLRunner
from circuits.edits import operators
from circuits.edits.orthogonal import leak, orthogonalised, writers
from circuits.errors import UserError
from circuits.runner import whole
from circuits.types import Edit, Point

WIDTH = 32


def grouped(kind: str, vocab: int, **changes: Any) -> Any:
    """A tiny random model of a family that the shared ones do not cover."""
    config = getattr(transformers, f"{kind}Config")(
        **{
            "vocab_size": vocab,
            "hidden_size": WIDTH,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "initializer_range": 0.3,
            "head_dim": 8,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
            **changes,
        }
    )
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


MODELS: dict[str, Callable[[int], Any]] = {
    **tiny.ARCHITECTURES,
    "tied llama": lambda vocab: tiny.llama(vocab, tie_word_embeddings=True),
    "biased llama": lambda vocab: tiny.llama(vocab, attention_bias=True, mlp_bias=True),
    "qwen3": lambda vocab: grouped("Qwen3", vocab),
    "gemma3": lambda vocab: grouped("Gemma3Text", vocab, query_pre_attn_scalar=8, sliding_window=8),
    "olmo2": lambda vocab: grouped("Olmo2", vocab),
}
POST_NORM = {"gemma2", "gemma3", "olmo2"}


def made(name: str, vocab: int) -> Any:
    """The model with biases and gains that are not their trivial initial values."""
    model = MODELS[name](vocab)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.3)
    return model


@pytest.fixture(params=MODELS)
def pair(request, tokenizer, basis) -> tuple[str, Any, Any]:
    """A model's name, the model, and its orthogonalised copy."""
    model = made(request.param, len(tokenizer))
    return request.param, model, orthogonalised(model, basis)


@pytest.fixture(scope="session")
def basis() -> torch.Tensor:
    drawn = torch.randn(WIDTH, 2, generator=torch.Generator().manual_seed(1))
    return torch.linalg.qr(drawn).Q.T.contiguous()


def residuals(model: Any, batch: Any) -> torch.Tensor:
    """Every layer's input and the last one's output, at real tokens, by plain hooks."""
    stem = model.base_model
    layers = stem.layers if hasattr(stem, "layers") else stem.h
    seen = []
    handles = [
        layer.register_forward_pre_hook(
            lambda _m, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
        for layer in layers
    ]
    handles.append(
        layers[-1].register_forward_hook(
            lambda _m, _a, out: seen.append(out if isinstance(out, torch.Tensor) else out[0])
        )
    )
    logits(model, batch)
    for handle in handles:
        handle.remove()
    return torch.stack(seen)[:, batch.mask]


def logits(model: Any, batch: Any) -> torch.Tensor:
    mask = batch.mask.long()
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    with torch.no_grad():
        return model(batch.ids, attention_mask=mask, position_ids=positions).logits[batch.mask]


def test_no_residual_has_a_component_in_the_subspace(pair, basis, batch):
    _, original, model = pair
    before, after = residuals(original, batch), residuals(model, batch)
    assert len(before) == original.config.num_hidden_layers + 1
    assert float((before @ basis.T).abs().amax(dim=(1, 2)).min()) > 0.05
    assert float((after @ basis.T).abs().max()) < 1e-4
    assert float(after.norm(dim=-1).median()) > 1  # something is left
    assert leak(model, basis) < 1e-4 < 0.05 < leak(original, basis)
    assert float((logits(model, batch) - logits(original, batch)).abs().max()) > 0.05


def test_the_original_is_bit_identical_and_shares_no_memory(basis, tokenizer, batch):
    for name in MODELS:
        model = made(name, len(tokenizer))
        before = {key: value.clone() for key, value in model.state_dict().items()}
        tied, said = model.config.tie_word_embeddings, logits(model, batch)
        copy = orthogonalised(model, basis)
        with torch.no_grad():
            for weight in copy.parameters():
                weight.zero_()
        after = model.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
        assert model.config.tie_word_embeddings == tied
        assert torch.equal(logits(model, batch), said)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in copy.modules())


def test_only_what_writes_changes_and_the_unembedding_does_not(pair):
    name, original, model = pair
    assert torch.equal(
        model.get_output_embeddings().weight, original.get_output_embeddings().weight
    )
    assert model.get_output_embeddings().weight is not model.get_input_embeddings().weight
    assert not model.config.tie_word_embeddings
    old, new = original.state_dict(), model.state_dict()
    changed = {key for key in old if not torch.equal(old[key], new[key])}
    parameters = {
        id(parameter): key for key, parameter in model.named_parameters(remove_duplicate=False)
    }
    written = {parameters[id(p)] for w in writers(model) for p in w.module.parameters()}
    assert changed == written
    embeddings = 2 if name == "gpt2" else 1
    assert len(writers(model)) == embeddings + 2 * original.config.num_hidden_layers


@pytest.mark.parametrize("name", sorted(set(tiny.ARCHITECTURES) - POST_NORM))
def test_it_equals_projecting_every_write_at_run_time(name, basis, tokenizer, batch):
    """The theorem of the paper's appendix E, for layers that write into the stream directly."""
    model = made(name, len(tokenizer))
    runner = TLRunner(made(name, len(tokenizer)), tokenizer, name)

    def off(point):
        return Edit(point, lambda x: operators.project_out_subspace(x, basis))

    points = [Point(0, "resid_pre")]
    for layer in range(runner.shape.n_layers):
        points += [Point(layer, "attn_out"), Point(layer, "mlp_out")]
    expected = runner.forward(whole(batch), [off(p) for p in points], keep=batch.width).logits
    found = logits(orthogonalised(model, basis), batch)
    assert float((found - expected[batch.mask]).abs().max()) < 2e-4
    fewer = runner.forward(whole(batch), [off(p) for p in points[:-1]], keep=batch.width).logits
    assert float((found - fewer[batch.mask]).abs().max()) > 1e-2


@pytest.mark.parametrize("name", sorted(POST_NORM))
def test_behind_a_norm_projecting_the_matrices_alone_would_not_do(name, basis, tokenizer):
    model = made(name, len(tokenizer))
    with torch.no_grad():
        for writer in writers(model):
            weight = writer.module.weight
            rows = weight if isinstance(writer.module, torch.nn.Embedding) else weight.T
            rows.copy_(operators.project_out_subspace(rows, basis))
    assert leak(model, basis) > 0.01
    assert leak(orthogonalised(model, basis), basis) < 1e-4


def test_half_precision_is_kept_and_passes_its_own_check(basis, tokenizer):
    model = tiny.llama(len(tokenizer)).to(torch.bfloat16)
    copy = orthogonalised(model, basis)
    assert copy.dtype == torch.bfloat16
    assert leak(copy, basis) < 0.01 < 0.1 < leak(model, basis)


def test_a_model_that_writes_otherwise_is_refused(basis, tokenizer):
    """GLM 4 names its matrices as Llama does, and has norms behind them under other names."""
    glm = grouped("Glm4", len(tokenizer))
    with torch.no_grad():
        for name, weight in glm.named_parameters():
            if "norm" in name:
                weight.add_(torch.linspace(-0.5, 0.5, WIDTH))
    with pytest.raises(UserError, match=r"still writes .* into the subspace") as caught:
        orthogonalised(glm, basis)
    assert "\n" not in str(caught.value)


def test_a_wrapped_model_or_other_layers_are_refused(basis, tokenizer):
    wrapped = TLRunner(tiny.llama(len(tokenizer)), tokenizer, "llama").hf_model
    opt = transformers.OPTForCausalLM(
        transformers.OPTConfig(
            vocab_size=40,
            hidden_size=WIDTH,
            ffn_dim=48,
            num_hidden_layers=1,
            num_attention_heads=4,
            word_embed_proj_dim=WIDTH,
            max_position_embeddings=64,
        )
    )
    mixture = grouped("Mixtral", len(tokenizer), num_local_experts=2)
    for model in (wrapped, opt, mixture):
        with pytest.raises(UserError, match="expected a plain Hugging Face model") as caught:
            orthogonalised(model, basis)
        assert "\n" not in str(caught.value)


def test_a_basis_that_does_not_fit_is_refused(basis, tokenizer):
    model = tiny.llama(len(tokenizer))
    with pytest.raises(UserError, match="orthonormal"):
        orthogonalised(model, 2 * basis)
    with pytest.raises(UserError, match=r"width 32 \(the model's\), got 31"):
        orthogonalised(model, torch.eye(31)[:1])
