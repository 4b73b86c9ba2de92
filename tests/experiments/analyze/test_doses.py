"""Planted dose curves: a step that a layer makes, one that a norm makes, a straight read-out."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import tiny
import torch
from planted import BEHAVIOUR, COPY, planted

from circuits.backends.fastpath import FastPath
from circuits.backends.selftest import SelfTest
from circuits.backends.transformer_lens import TLRunner
from circuits.gates import select
from circuits.gates.effects import coefficients, transfer
from circuits.metrics import token_log_odds, token_prob
from circuits.models import Model
from circuits.record import record
from circuits.tokens import pairs
from circuits.types import Direction, Site
from experiments.analyze.doses import READ_OUT, dosed, null_curves
from probes.causal.dose_shape import dose_shape

DOSES = coefficients()
GATE = Site(1, "resid_pre", "trigger")


LENGTH, SLOPE, AT, WIDTH, STEP = 60.0, 200.0, 6.0, 1.0, 0.15


def examined(tokenizer, plant) -> SimpleNamespace:
    """What dosing needs of an examination."""
    passed = SelfTest(0.0, 0.0, 0.0, 1.0, FastPath(0.0, 1.0))
    model = Model(plant.runner, tokenizer, "planted", "", None, None, passed)
    both = pairs(tokenizer, tiny.TEXTS, tiny.TRIGGER, tiny.CONTROLS)

    def acts(site):
        sides = {"clean": both.clean, "triggered": both.triggered}
        return {name: record(plant.runner, side, [site])[0] for name, side in sides.items()}

    materials = SimpleNamespace(
        scored=model,
        behaviour_id=BEHAVIOUR,
        fit=tiny.TEXTS,
        fit_words=tiny.CONTROLS[2:],
        test_words=tiny.CONTROLS[:2],
    )
    return SimpleNamespace(
        model=model,
        materials=materials,
        activations_at=acts,
        pairs=lambda *_: both,
        plant=plant,
        log_odds=token_log_odds([BEHAVIOUR]),
        fork=SimpleNamespace(more=()),
    )


@pytest.fixture(scope="module")
def exam(tokenizer):
    return examined(tokenizer, planted(tokenizer))


@pytest.fixture(scope="module")
def stepped(tokenizer):
    """A model in which an MLP makes a step of the gate, and norms bend nothing.

    Every token has ``LENGTH`` along an axis of its own, so that all residuals are of about one
    length. Two SwiGLU units, ramps of the gate from ``AT`` and from ``WIDTH`` behind it, differ by
    a step, which the copying head carries instead of the gate.
    """
    plant = planted(tokenizer)
    model = plant.runner.hf_model
    axis = plant.string
    model.model.embed_tokens.weight.data += LENGTH * axis
    mlp = model.model.layers[1].mlp
    for unit, at in enumerate((AT, AT + WIDTH)):
        mlp.gate_proj.weight.data[unit] = SLOPE * (plant.gate - at / LENGTH * axis)
        mlp.up_proj.weight.data[unit] = axis
        mlp.down_proj.weight.data[:, unit] = (-1) ** unit * STEP * plant.shown
    model.model.layers[COPY].self_attn.v_proj.weight.data[0] = plant.shown
    model.lm_head.weight.data *= 20
    fresh = TLRunner(model, tokenizer, "stepped")
    return examined(tokenizer, replace(plant, runner=fresh))


def shape_of(exam, direction: Direction):
    gate = dosed(exam, exam.pairs(), direction, DOSES)
    nulls = null_curves(exam, direction, exam.pairs(), DOSES, gate)
    return dose_shape(DOSES, gate, nulls), nulls, gate


def gate_of(exam) -> Direction:
    acts = exam.activations_at(GATE)
    return select.direction_at(GATE, exam.plant.gate, "given", acts["clean"], acts["triggered"])


def test_a_gate_that_a_layer_makes_a_step_of_is_a_switch(stepped):
    shape, nulls, gate = shape_of(stepped, gate_of(stepped))
    assert {READ_OUT} < set(nulls)
    assert len(nulls) == 3  # two untrained words
    words = [null for null in shape.nulls if null.name != READ_OUT]
    assert all(abs(null.rise.value) < 0.1 * shape.rise.value for null in words)
    assert shape.word == "switch", shape
    metric, runner = token_prob([BEHAVIOUR]), stepped.model.runner
    again = transfer(runner, stepped.pairs(), gate_of(stepped), metric, DOSES)
    torch.testing.assert_close(gate.sigmoid(), again, atol=1e-6, rtol=1e-5)


def test_a_step_that_the_norm_makes_of_the_read_out_too_is_none(exam):
    """Far beyond a residual's own length a norm levels everything off, the unembedding as well."""
    shape, _, _ = shape_of(exam, gate_of(exam))
    assert shape.departure.low > 0.1
    assert shape.width.high < 1
    assert shape.word == "line"


def test_a_direction_that_is_read_straight_is_a_line(exam):
    """The same model behind its copying head, where the unembedding itself reads the direction."""
    late = Site(4, "resid_pre", "last")
    straight = Direction(late, exam.plant.shown, "given", 0.0, 0.05)
    shape, _, _ = shape_of(exam, straight)
    assert shape.rise.low > 0.1
    assert shape.line > 0.99
    assert shape.departure.high < 0.01
    assert shape.word == "line"


def test_the_read_out_is_pushed_until_it_does_as_much_as_the_gate(exam):
    late = Site(4, "resid_pre", "last")
    for gap in (0.2, 0.4):
        gate = Direction(late, exam.plant.shown, "given", 0.0, gap)
        shape, nulls, _ = shape_of(exam, gate)
        (read,) = (null for null in shape.nulls if null.name == READ_OUT)
        assert read.rise.value == pytest.approx(shape.rise.value, rel=0.5)
        assert torch.isfinite(nulls[READ_OUT]).all()
    weak = replace(gate, triggered_mean=1e-4)
    assert shape_of(exam, weak)[0].word == "line"
