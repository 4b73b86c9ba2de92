"""nnsight sees what TransformerLens sees; what it cannot do, or cannot send, it refuses.

That it keeps the promises of a back-end is tested with the others (test_runner, test_runner_edits).
"""

import sys

import pytest
import tiny
import torch
from nnsight.schema.request import RequestModel
from transformers import OPTConfig

from circuits.architectures import ARCHITECTURES, Slot, part_of, with_part
from circuits.backends.nnsight import NNsightRunner
from circuits.backends.remote import sendable
from circuits.backends.transformer_lens import TLRunner
from circuits.edits.operators import on_columns, project_out
from circuits.errors import UserError
from circuits.runner import Window, prefix, whole
from circuits.types import Edit, Point

NEAR = 1e-4
STREAMS = (
    "resid_pre",
    "q",
    "k",
    "v",
    "pattern",
    "z",
    "attn_out",
    "resid_mid",
    "neuron",
    "mlp_out",
    "resid_post",
)


@pytest.fixture(scope="module", params=tiny.ARCHITECTURES)
def both(request, tokenizer):
    """The two back-ends, each over its own copy of the same model."""
    make = tiny.ARCHITECTURES[request.param]
    return tuple(
        backend(make(len(tokenizer)), tokenizer, request.param)
        for backend in (TLRunner, NNsightRunner)
    )


@pytest.fixture(scope="module")
def llama(tokenizer):
    return NNsightRunner(tiny.llama(len(tokenizer)), tokenizer, "llama")


@pytest.fixture(scope="module")
def remote(tokenizer):
    return NNsightRunner(tiny.llama(len(tokenizer)), tokenizer, "llama", remote="local")


def gap(a, b) -> float:
    return float((a - b).abs().max()) if a.shape == b.shape else float("inf")


def streams(runner) -> list[str]:
    """Those that the model has."""
    return list(ARCHITECTURES[runner.hf_model.config.model_type][1])


def test_both_back_ends_say_the_same_of_a_model(both):
    theirs, ours = both
    assert theirs.shape == ours.shape


def test_every_stream_of_every_layer_is_the_same_in_both(both, batch):
    depth = both[1].shape.n_layers
    points = [Point(layer, stream) for layer in range(depth) for stream in streams(both[1])]
    a, b = (r.forward(whole(batch), record=points, keep=batch.width) for r in both)
    gaps = {point: gap(a.acts[point], b.acts[point]) for point in points}
    worst = max(gaps, key=lambda point: gaps[point])
    print(f"largest difference of {len(points)} activations: {gaps[worst]:.2g} at {worst}")
    assert gaps[worst] < NEAR
    assert gap(a.logits, b.logits) < NEAR
    for point in points:  # another layer's, or another prompt's, is far away
        other = Point((point.layer + 1) % depth, point.stream)
        assert gap(a.acts[point], b.acts[other]) > 100 * NEAR
        assert gap(a.acts[point], b.acts[point].flip(0)) > 100 * NEAR


@pytest.mark.parametrize("stream", [s for s in STREAMS if s != "resid_mid"])
def test_an_edit_of_any_stream_does_the_same_in_both(both, batch, stream):
    """The first head changed in the message: a wrong head, column or third would show."""

    def changed(x):
        return torch.cat([2 * x[:, :, :1].roll(1, -1) + 1, x[:, :, 1:]], dim=2)

    at = Point(1, stream)
    edit = Edit(at, changed, batch.spans["message"])
    a, b = (r.forward(whole(batch), [edit], [at], keep=batch.width) for r in both)
    plain = both[1].forward(whole(batch), record=[at], keep=batch.width)
    assert gap(a.logits, b.logits) < NEAR
    assert gap(a.acts[at], b.acts[at]) < NEAR
    assert gap(plain.logits, b.logits) > 100 * NEAR
    assert gap(plain.acts[at], b.acts[at]) > 100 * NEAR


def test_edits_of_q_k_and_v_at_once_do_the_same_in_both(both, batch):
    """Where the three are one tensor, none may undo another."""
    edits = [Edit(Point(0, s), lambda x, n=n: x.roll(n, -1)) for n, s in enumerate("vqk", 1)]
    a, b = (r.forward(whole(batch), edits).logits for r in both)
    assert gap(a, b) < NEAR
    for left_out in range(3):
        fewer = [edit for i, edit in enumerate(edits) if i != left_out]
        assert gap(both[1].forward(whole(batch), fewer).logits, b) > 100 * NEAR


def test_a_resumed_pass_records_nothing_below_its_layer_in_both(both, batch):
    points = [Point(i, "z") for i in range(both[0].shape.n_layers)]
    for runner in both:
        resid = runner.forward(whole(batch), record=[Point(1)]).acts[Point(1)]
        window = Window(batch.ids, batch.mask, resid=resid, layer=1)
        assert list(runner.forward(window, record=points).acts) == points[1:]


@pytest.mark.parametrize("fused", ["no", "thirds", "by head"])
def test_a_replaced_third_leaves_the_others_as_they_were(fused):
    x = torch.randn(2, 3, 4 * 3 * 5)
    parts = [part_of(x, Slot("", "output", i, fused), 4) for i in range(3)]
    for i, part in enumerate(parts):
        slot = Slot("", "output", i, fused)
        assert torch.equal(with_part(x, part, slot, 4), x)
        changed = with_part(x, part + 1, slot, 4)
        assert torch.equal(part_of(changed, slot, 4), part + 1)
        for j in {0, 1, 2} - {i} if fused != "no" else ():
            assert torch.equal(part_of(changed, Slot("", "output", j, fused), 4), parts[j])


def test_a_stream_that_the_model_lacks_is_refused(tokenizer, llama, batch):
    neox = NNsightRunner(tiny.gpt_neox(len(tokenizer)), tokenizer, "gpt_neox")
    model = tiny.llama(len(tokenizer))
    model.set_attn_implementation("sdpa")
    fused = NNsightRunner(model, tokenizer, "llama")
    for runner, stream in ((neox, "resid_mid"), (fused, "pattern")):
        with pytest.raises(UserError, match=rf"{stream}\[0\]: this model has no such stream; it"):
            runner.forward(whole(batch), record=[Point(0, stream)])
    assert llama.forward(whole(batch), record=[Point(0, "pattern")]).acts


def test_the_middle_residual_cannot_be_edited_and_is_refused(llama, batch):
    with pytest.raises(UserError, match="edit attn_out by the difference"):
        llama.forward(whole(batch), [Edit(Point(0, "resid_mid"), lambda x: x)])


def test_an_unknown_architecture_is_refused(tokenizer):
    model = torch.nn.Linear(1, 1)
    model.config = OPTConfig()
    with pytest.raises(UserError, match=r"nnsight back-end knows llama, .* got opt; use the tr"):
        NNsightRunner(model, tokenizer, "opt")


@pytest.fixture
def bare_server(monkeypatch):
    """What arrives is unpacked where neither this package nor jaxtyping can be imported."""
    ours = ("circuits", "jaxtyping", "beartype", "tiny")
    arrived = []

    class Nowhere:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ours:
                raise ModuleNotFoundError(name)

    unpack = RequestModel.deserialize

    def deserialize(blob, *args, **options):
        arrived.append(len(blob))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "meta_path", [Nowhere(), *sys.meta_path])
            for name in [name for name in sys.modules if name.split(".")[0] in ours]:
                patch.delitem(sys.modules, name)
            return unpack(blob, *args, **options)

    monkeypatch.setattr(RequestModel, "deserialize", staticmethod(deserialize))
    return arrived


def test_a_remote_pass_equals_a_local_one(llama, remote, batch, bare_server):
    direction = torch.eye(32)[3]
    points = [Point(2, "pattern"), Point(0, "q"), Point(1)]
    edits = [
        Edit(Point(1), lambda x: project_out(x, direction)),
        Edit(Point(2, "z"), lambda x: 2 * x, batch.spans["trigger"]),
    ]
    plain = llama.forward(whole(batch))
    for given in ([], edits):
        here, there = (r.forward(whole(batch), given, points, keep=3) for r in (llama, remote))
        assert torch.equal(here.logits, there.logits)
        assert all(torch.equal(here.acts[p], there.acts[p]) for p in points)
    assert gap(there.logits[:, -1:], plain.logits) > 0.01
    assert len(bare_server) == 2


def test_a_sendable_function_does_the_same_without_annotations():
    columns = torch.tensor([[True, False]])
    x = torch.randn(1, 2, 4)

    def doubled(x):
        return on_columns(lambda y: y * factor, x, columns)

    factor = 2
    sent = sendable(doubled)
    assert torch.equal(sent(x), doubled(x))
    assert not torch.equal(sent(x), x)
    assert sent.__globals__["on_columns"].__annotations__ == {}
    assert on_columns.__annotations__
    assert sendable(torch.nn.functional.softmax) is torch.nn.functional.softmax


def test_what_cannot_be_sent_is_refused(llama, remote, batch):
    acts = llama.forward(whole(batch), record=[Point(1)]).acts[Point(1)]
    half = batch.width // 2
    past = prefix(llama, batch, half)
    windows = {
        "a past": Window(batch.ids[:, half:], batch.mask, past),
        "residuals to resume from": Window(batch.ids, batch.mask, resid=acts, layer=1),
        "joining rows": Window(batch.ids, batch.mask, joining={1: acts}),
    }
    for what, window in windows.items():
        llama.forward(window)
        with pytest.raises(UserError, match=f"remote run: expected a whole window, got {what};"):
            remote.forward(window)
    with pytest.raises(UserError, match="got a past to be returned; run it locally"):
        remote.forward(whole(batch), grow=True)


def test_a_model_that_no_server_has_is_refused(tokenizer, tmp_path):
    model = tiny.llama(len(tokenizer))
    for name in ("", str(tmp_path)):
        model.name_or_path = name
        with pytest.raises(UserError, match="expected a hub id for remote runs, got"):
            NNsightRunner(model, tokenizer, "mine", remote=True)
    model.name_or_path = "someone/model"
    assert NNsightRunner(model, tokenizer, "mine", remote=True).remote is True
