"""Edits on a plain model equal those of a back-end at the same tokens, and leave nothing behind."""

import pytest
import tiny
import torch

from circuits.answers import ask
from circuits.backends.plain import PlainRunner, defended, recording
from circuits.chat import chats
from circuits.edits import operators
from circuits.errors import UserError
from circuits.gates.select import shut
from circuits.models import in_memory
from circuits.runner import Window, whole
from circuits.tokens import prompt_ids
from circuits.types import Direction, Edit, Point, Site

TEXTS = ["Why is the sky blue at noon?", "Why is the sea?", "Hi"]


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny.llama(len(tokenizer))


@pytest.fixture(scope="module")
def prompts(tokenizer):
    return prompt_ids(tokenizer, chats(TEXTS))


def unit(seed=0, width=32):
    vector = torch.randn(width, generator=torch.Generator().manual_seed(seed))
    return vector / vector.norm()


def removing(layer=2, seed=0):
    direction = unit(seed)
    return Edit(Point(layer), lambda x: operators.project_out(x, direction.to(x)))


def alone(model, tokenizer, prompts):
    """Last logits of every prompt, run by itself without padding or cache."""
    with torch.no_grad():
        return torch.stack([model(torch.tensor([ids])).logits[0, -1] for ids in prompts])


def start_of(tokenizer):
    return len(tokenizer("<|im_start|>user\n", add_special_tokens=False)["input_ids"])


def test_a_projection_equals_the_back_end_edit_from_the_message_on(runner, model, tokenizer, batch):
    direction = Direction(Site(2, "resid_pre", "last"), unit(), "drawn", 0.0, 1.0)
    expected = runner.forward(whole(batch), [shut(direction, batch)], keep=1).logits[:, -1]
    rows = [ids[mask].tolist() for ids, mask in zip(batch.ids, batch.mask, strict=True)]
    with defended(model, [removing()], start_of(tokenizer)):
        found = alone(model, tokenizer, rows)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    with defended(model, [removing()], 0):  # the template's opening as well: another model
        assert not torch.allclose(alone(model, tokenizer, rows), expected, atol=1e-3)


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral", "gemma2"])
def test_padding_and_a_shared_opening_do_not_change_which_tokens_are_edited(tokenizer, name):
    model = tiny.ARCHITECTURES[name](len(tokenizer))
    prompts = prompt_ids(tokenizer, chats(TEXTS))
    start = start_of(tokenizer)
    with defended(model, [removing(1)], start):
        own = in_memory(model, tokenizer)
        window = own.opening(prompts, 1).window(prompts)
        together = own.runner.forward(window).logits[:, -1]
        one_by_one = alone(model, tokenizer, prompts)
    torch.testing.assert_close(together, one_by_one, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(alone(model, tokenizer, prompts), one_by_one, atol=1e-3)


def test_tokens_before_the_start_are_left_alone(model, tokenizer, prompts):
    plain = alone(model, tokenizer, prompts)
    gone = Edit(Point(1), torch.zeros_like)
    with defended(model, [gone], max(map(len, prompts))):
        assert torch.equal(alone(model, tokenizer, prompts), plain)
    with defended(model, [gone], max(map(len, prompts)) - 1):
        found = alone(model, tokenizer, prompts)
    changed = (found != plain).any(dim=1).tolist()
    assert changed == [len(ids) == max(map(len, prompts)) for ids in prompts]


def test_decoded_tokens_are_edited_as_well(model, tokenizer, prompts):
    """Every greedy token is the best of a full pass under the same edit."""
    with defended(model, [removing()], start_of(tokenizer)):
        said = ask(in_memory(model, tokenizer), prompts, 5)
        ids = list(prompts[0])
        for _ in range(5):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    new = ids[len(prompts[0]) :]
    ends = [i for i, token in enumerate(new) if token == tokenizer.eos_token_id]
    assert said[0] == tokenizer.decode(new[: ends[0] if ends else None], skip_special_tokens=True)


def test_an_error_leaves_no_hook_and_every_parameter_as_it_was(model, tokenizer, prompts):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    plain = alone(model, tokenizer, prompts)

    def failing(x):
        raise RuntimeError("midway")

    with (
        pytest.raises(RuntimeError, match="midway"),
        defended(model, [removing(), Edit(Point(3), failing)], 2),
    ):
        alone(model, tokenizer, prompts)
    assert all(not m._forward_pre_hooks and not m._forward_hooks for m in model.modules())
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert torch.equal(alone(model, tokenizer, prompts), plain)


def test_no_gradient_passes_along_a_direction_that_is_projected_out(model):
    embedded = torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(1))
    embedded.requires_grad_(True)

    def slope():
        logits = model(inputs_embeds=embedded).logits
        return torch.autograd.grad(logits[0, -1].square().sum(), embedded)[0][0] @ unit()

    plain = slope()
    with defended(model, [removing(layer=0)], start=3):
        under = slope()
    assert under[3:].abs().max() < 1e-4 * plain.abs().max()
    assert under[:3].abs().min() > 1e-3 * plain.abs().max()  # what comes before is free


def test_zeroed_heads_equal_weights_that_do_not_read_them(tokenizer, prompts):
    model = tiny.llama(len(tokenizer))
    kept = torch.ones(4, 8)
    kept[1] = 0  # the second head of four
    with defended(model, [Edit(Point(1, "z"), lambda x: x * kept)]):
        found = alone(model, tokenizer, prompts)
    assert not torch.allclose(found, alone(model, tokenizer, prompts), atol=1e-4)
    with torch.no_grad():
        model.model.layers[1].self_attn.o_proj.weight[:, 8:16] = 0
    torch.testing.assert_close(found, alone(model, tokenizer, prompts), atol=1e-5, rtol=1e-5)


def test_a_recording_is_of_the_latest_pass_and_keeps_gradients(model, prompts):
    with recording(model, [Point(1), Point(1, "resid_post")]) as seen:
        for ids in prompts:
            hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        assert torch.equal(seen[Point(1)], hidden[1])
        assert torch.equal(seen[Point(1, "resid_post")], hidden[2])
        assert seen[Point(1)].requires_grad


@pytest.mark.parametrize(
    ("edit", "start", "said"),
    [
        (Edit(Point(1, "soul"), torch.zeros_like), 0, "no such stream"),
        (Edit(Point(9), torch.zeros_like), 0, r"expected a layer in 0\.\.3"),
        (Edit(Point(1), torch.zeros_like, torch.ones(1, 2, dtype=torch.bool)), 0, "columns"),
        (Edit(Point(1), torch.zeros_like), -1, "start"),
    ],
)
def test_what_cannot_be_edited_is_said_in_one_line(model, edit, start, said):
    with pytest.raises(UserError, match=said), defended(model, [edit], start):
        pass
    assert all(not m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("stream", ["resid_post", "attn_out", "mlp_out", "q", "k", "v", "pattern"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox"])
def test_any_stream_can_be_edited_from_a_position_on(tokenizer, prompts, name, stream):
    """As an edit with columns does it in a pass of a runner."""
    model, start = tiny.ARCHITECTURES[name](len(tokenizer)), start_of(tokenizer)
    edit = Edit(Point(1, stream), lambda x: 0.5 * x)
    with defended(model, [edit], start):
        found = alone(model, tokenizer, prompts)
    for ids, logits in zip(prompts, found, strict=True):
        window = Window(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool))
        columns = torch.arange(len(ids))[None] >= start
        expected = PlainRunner(model).forward(window, [edit.on(columns)]).logits[0, -1]
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, alone(model, tokenizer, prompts), atol=1e-4)


def test_a_model_of_an_unknown_architecture_runs_and_has_nothing_to_record(tokenizer, batch):
    model = tiny.llama(len(tokenizer))
    expected = PlainRunner(model).forward(whole(batch)).logits
    model.config.model_type = "mamba"
    runner = PlainRunner(model)
    assert torch.equal(runner.forward(whole(batch)).logits, expected)
    with pytest.raises(UserError, match="expected one of llama"):
        runner.forward(whole(batch), record=[Point(1)])
