"""A runner that is wrong in one way is refused by the check for it, by name and size."""

from dataclasses import replace

import pytest
import tiny

from circuits.backends import selftest
from circuits.backends.selftest import plain_logits, self_test
from circuits.backends.transformer_lens import TLRunner
from circuits.errors import SelfTestError
from circuits.runner import Output


class Broken:
    """A runner whose logits are wrong whenever ``when(window, edits, past)`` says so."""

    def __init__(self, runner, when, factor=1.5):
        self.runner, self.when, self.factor = runner, when, factor
        self.shape, self.hf_model = runner.shape, runner.hf_model

    def forward(self, window, edits=(), record=(), keep=1, grow=False) -> Output:
        out = self.runner.forward(window, edits, record, keep, grow)
        if self.when(window, edits):
            return replace(out, logits=out.logits * self.factor)
        return out


class Deaf(Broken):
    """A runner that does not apply edits."""

    def forward(self, window, edits=(), record=(), keep=1, grow=False) -> Output:
        return self.runner.forward(window, (), record, keep, grow)


BROKEN = {
    "plain": lambda window, edits: True,
    "identity": lambda window, edits: len(edits) > 1,
    "full_patch": lambda window, edits: len(edits) == 1,
}


@pytest.fixture(scope="module")
def expected(runner, tokenizer):
    return plain_logits(tiny.llama(len(tokenizer)), tokenizer)


def test_every_architecture_passes(tokenizer):
    for name, build in tiny.ARCHITECTURES.items():
        model = build(len(tokenizer))
        before = plain_logits(model, tokenizer)
        report = self_test(TLRunner(model, tokenizer, name), tokenizer, before)
        assert report.identity == 0.0
        assert max(report.plain, report.full_patch, report.fast_path.difference) < 1e-3
        assert report.fast_path.holds
        assert report.tolerance == 2e-2


def test_a_model_without_the_fast_path_is_accepted_and_the_report_says_so(
    runner, tokenizer, expected
):
    slow = Broken(runner, lambda window, edits: window.past is not None)
    report = self_test(slow, tokenizer, expected)
    assert not report.fast_path.holds
    assert "fast path not taken" in str(report.fast_path)


@pytest.mark.parametrize("check", BROKEN)
def test_a_broken_runner_is_refused_by_name_and_size(runner, tokenizer, expected, check):
    broken = Broken(runner, BROKEN[check])
    with pytest.raises(SelfTestError, match=rf"self-test '{check}': .* got \d") as caught:
        self_test(broken, tokenizer, expected)
    assert "\n" not in str(caught.value)
    self_test(Broken(runner, BROKEN[check], factor=1.0), tokenizer, expected)


def test_an_identity_edit_must_be_exact_not_close(runner, tokenizer, expected):
    nearly = Broken(runner, BROKEN["identity"], factor=1 + 1e-6)
    with pytest.raises(SelfTestError, match=r"'identity': expected .* within 0 nats"):
        self_test(nearly, tokenizer, expected)


def test_a_runner_that_ignores_edits_is_refused(runner, tokenizer, expected):
    with pytest.raises(SelfTestError, match="full_patch"):
        self_test(Deaf(runner, None), tokenizer, expected)


def test_logits_that_are_not_numbers_are_refused(runner, tokenizer, expected):
    with pytest.raises(SelfTestError, match=r"'plain': .* got inf"):
        self_test(Broken(runner, BROKEN["plain"], factor=float("nan")), tokenizer, expected)


def test_another_models_logits_are_refused(runner, tokenizer):
    other = plain_logits(tiny.llama(len(tokenizer), seed=1), tokenizer)
    with pytest.raises(SelfTestError, match="'plain'"):
        self_test(runner, tokenizer, other)


def test_a_span_one_column_off_is_refused(runner, tokenizer, expected, monkeypatch):
    def shifted(*args):
        made = prompts_batch(*args)
        return replace(made, spans={k: v.roll(1, dims=1) for k, v in made.spans.items()})

    prompts_batch = selftest.prompts_batch
    monkeypatch.setattr(selftest, "prompts_batch", shifted)
    with pytest.raises(SelfTestError, match="'spans': expected the trigger span to spell 'tree'"):
        self_test(runner, tokenizer, expected)
