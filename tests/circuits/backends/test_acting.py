"""Every stream is seen to act, and streams that must agree do; what does not is absent, by name."""

import random
from dataclasses import replace

import planted
import pytest
import tiny
import tinygate
import torch

from circuits.backends import selftest
from circuits.backends.acting import dead
from circuits.backends.agreeing import SUMS, passed_by, sums
from circuits.backends.layer import Layer, one_of_each
from circuits.backends.plain import PlainRunner
from circuits.backends.selftest import acting, plain_logits, self_test
from circuits.backends.streams import STREAMS, Streams, require_streams
from circuits.backends.transformer_lens import TLRunner
from circuits.errors import SelfTestError, UserError
from circuits.models import BACKENDS
from circuits.runner import Window, whole
from circuits.tokens import prompts_batch
from circuits.types import Edit, Point
from tests.soak import architectures, load
from tests.soak.architectures import ARCHITECTURES, FAMILY

SAMPLE = random.Random(0).sample(
    [(name, backend) for name in ARCHITECTURES for backend in BACKENDS], 6
)


class Changed:
    """A runner that hears edits and questions of one stream as ``heard`` makes them."""

    def __init__(self, runner, stream, heard):
        self.runner, self.stream, self.heard = runner, stream, heard
        self.shape, self.hf_model, self.streams = runner.shape, runner.hf_model, runner.streams

    def forward(self, window, edits=(), record=(), keep=1, grow=False):
        edits = [self.heard(e) if e.point.stream == self.stream else e for e in edits]
        return self.runner.forward(window, [e for e in edits if e], record, keep, grow)


def nothing(edit):
    return None


def next_layer(edit):
    return replace(edit, point=Point((edit.point.layer + 1) % 4, edit.point.stream))


def first_head(edit):
    return replace(edit, apply=lambda x: torch.cat([edit.apply(x)[:, :, :1], x[:, :, 1:]], dim=2))


def shuffled_heads(edit):
    return replace(edit, apply=lambda x: edit.apply(x.roll(1, 2)).roll(-1, 2))


def failing(edit):
    def apply(x):
        raise IndexError("Dimension out of range")

    return replace(edit, apply=apply)


@pytest.fixture
def own(tokenizer):
    """A runner of its own, as the self-test changes what it has."""
    return TLRunner(tiny.llama(len(tokenizer)), tokenizer, "llama")


@pytest.mark.parametrize(("name", "backend"), SAMPLE)
def test_streams_act_and_agree_on_a_sample_of_architectures(name, backend):
    row = load.loaded(name, backend, "fp32")
    assert row["holds"], row
    if "refused" not in row:
        assert not any(gap for name, gap in row["gaps"].items() if "=" in name)
        assert {"resid_pre", "resid_post"} <= {*row["acting"]}


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_streams_of_a_llama_are_there(backend, tokenizer):
    runner = BACKENDS[backend](tiny.llama(len(tokenizer)), tokenizer, "llama")
    streams, gaps = acting(runner)
    assert streams.there == tuple(runner.streams.there)
    assert set(streams.there) == set(STREAMS)
    assert gaps == dict.fromkeys(SUMS, 0.0)


@pytest.mark.parametrize("stream", ["q", "k", "v", "pattern", "z", "attn_out", "neuron", "mlp_out"])
def test_a_hook_that_never_acts_is_caught(own, stream):
    streams, _ = acting(Changed(own, stream, nothing))
    assert streams.absent == {stream: "its hook changes nothing"}


def test_a_hook_one_layer_off_is_caught(own):
    streams, _ = acting(Changed(own, "z", next_layer))
    assert streams.absent == {"z": "its hook changes another layer"}


@pytest.mark.parametrize(
    ("stream", "heard", "blamed"),
    [
        ("z", first_head, "z"),
        ("pattern", shuffled_heads, "pattern"),
        ("v", first_head, "v"),
    ],
)
def test_a_sum_that_does_not_hold_is_caught(own, stream, heard, blamed):
    streams, _ = acting(Changed(own, stream, heard))
    assert blamed in streams.absent


def test_a_hook_that_raises_is_absent_with_its_reason(own):
    streams, gaps = acting(Changed(own, "mlp_out", failing))
    assert streams.absent["mlp_out"] == ("its hook raises: Dimension out of range (IndexError)")
    assert "neuron = mlp_out" not in gaps


def test_a_stream_that_does_not_act_is_refused_by_name_and_the_others_are_not(own, tokenizer):
    changed = Changed(own, "pattern", nothing)
    batch = prompts_batch(tokenizer, tiny.TEXTS[:2])
    report = self_test(changed, tokenizer, plain_logits(tiny.llama(len(tokenizer)), tokenizer))
    assert report.absent == {"pattern": "its hook changes nothing"}
    own.streams = changed.streams
    with pytest.raises(UserError) as caught:
        own.forward(whole(batch), record=[Point(1, "pattern")])
    assert str(caught.value) == (
        "model llama has no stream 'pattern' that acts (its hook changes nothing); there are "
        + ", ".join(own.streams.there)
    )
    with pytest.raises(UserError, match=r"'pattern' that acts .*; there are .*; use --trace 0"):
        require_streams(own, ["z", "pattern"], "use --trace 0")
    require_streams(own, ["z", "v"])
    assert own.forward(whole(batch), record=[Point(1, "z")]).acts


def test_a_model_whose_residual_cannot_be_edited_is_refused(own, tokenizer, monkeypatch):
    gone = Streams("llama", STREAMS).without({"resid_pre": "its hook changes nothing"})
    expected = plain_logits(tiny.llama(len(tokenizer)), tokenizer)
    monkeypatch.setattr(selftest, "acting", lambda runner: (gone, {}))
    with pytest.raises(SelfTestError, match=r"'acting': expected .* its hook changes nothing"):
        self_test(own, tokenizer, expected)


def test_a_part_that_goes_past_its_hook_is_caught(tokenizer):
    """A second MLP, beside the one that is hooked."""
    layer = Layer(PlainRunner(tiny.llama(len(tokenizer))), 2)
    assert passed_by(layer, STREAMS) == {}
    beside = tiny.llama(50, seed=3).model.layers[0].mlp
    block = layer.runner.hf_model.model.layers[2]
    block.register_forward_hook(lambda _m, args, out: out + beside(args[0]))
    assert passed_by(layer, STREAMS) == {"mlp_out": "a part of the MLP goes past it"}


@pytest.mark.parametrize("make", [tinygate.plain, tinygate.base])
def test_streams_act_on_a_planted_model_whose_weights_are_zero(make):
    model, tok = make()
    runner = PlainRunner(model)
    report = self_test(runner, tok, plain_logits(model, tok))
    assert report.absent == {}
    assert set(report.sums.values()) == {0.0}


def test_streams_act_on_the_gate_computed_by_hand(tokenizer):
    runner = planted.planted(tokenizer).runner
    assert acting(runner)[0].absent == {}
    assert acting(Changed(runner, "neuron", nothing))[0].absent.keys() == {"neuron"}


def test_sums_hold_with_left_padding_and_prompts_of_different_lengths(tokenizer, own):
    layer = Layer(own, 1)
    batch = prompts_batch(tokenizer, (tiny.TEXTS[5], tiny.TEXTS[4]))
    assert not bool(batch.mask.all())
    layer.ids, layer.mask = batch.ids, batch.mask
    assert set(sums(layer, STREAMS).values()) == {0.0}
    assert max(sums(_rolled(layer), STREAMS).values()) > 0.02


def _rolled(layer):
    """The same with another layer's z."""
    wrong = Layer(Changed(layer.runner, "z", next_layer), layer.number)
    wrong.ids, wrong.mask = layer.ids, layer.mask
    return wrong


def test_experts_have_no_stream_of_neurons_and_every_kind_of_layer_is_looked_at():
    tok = architectures.tokenizer(FAMILY["qwen3_moe"])
    model = ARCHITECTURES["qwen3_moe"](len(tok))
    for backend in BACKENDS:
        runner = BACKENDS[backend](
            model if backend != "transformer_lens" else ARCHITECTURES["qwen3_moe"](len(tok)),
            tok,
            "moe",
        )
        assert one_of_each(runner) == [0, 2]  # the first layer has no experts
        streams, _ = acting(runner)
        assert streams.absent == {"neuron": "every expert has neurons of its own"}


def test_a_wrong_number_of_heads_is_no_stream_of_heads(own):
    own.shape = replace(own.shape, d_head=4)
    assert dead(Layer(own, 1), ["z", "mlp_out"]) == {"z": "it comes in 8 heads, the model in 4"}


def test_an_edit_of_one_block_leaves_the_others(own):
    layer = Layer(own, 1)
    gone = Edit(Point(1), lambda x: 0 * x)
    window = Window(layer.ids, layer.mask)
    free, edited = layer.run(window, [[], [gone]]).logits.unflatten(0, (2, -1))
    torch.testing.assert_close(free, own.forward(window).logits)
    assert float((edited - free).abs().max()) > 0.1
