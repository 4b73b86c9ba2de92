"""Worlds in which the answer is known: only the token counts, only the trigger counts, neither."""

from dataclasses import replace

import pytest
import tiny
import torch
from planted import BEHAVIOUR, DEFAULT, planted

from circuits.answers import no_edits
from circuits.backends.fastpath import FastPath
from circuits.backends.selftest import SelfTest
from circuits.errors import UserError
from circuits.gates import select
from circuits.models import Model
from circuits.record import record
from circuits.runner import extend, generate, whole
from circuits.tokens import prompts_batch
from circuits.types import Site
from experiments import judges
from experiments.analyze.mediate import (
    _answers,
    _cell,
    forbidden,
    forced,
    mediate,
    opening_tokens,
    token_variants,
)
from experiments.judges.text import OPENING_WORDS, after_opener, plain
from probes.causal.mediation import CONTROL, FIRSTS, TRIGGERED, Cell, Mediation, decompose

CONTROLS = [tiny.CONTROLS[i % 4] for i in range(len(tiny.TEXTS))]


def wrapped(runner, tokenizer) -> Model:
    passed = SelfTest(0.0, 0.0, 0.0, 1.0, FastPath(0.0, 1.0))
    return Model(runner, tokenizer, "built", "", None, None, passed)


def cells(**rates) -> dict:
    """Cells of 40 prompts by word and token; a rate is how many comply (the first ones)."""
    found = {}
    for word, condition in (("trigger", TRIGGERED), ("control", CONTROL)):
        for first, count in zip(FIRSTS, rates[word], strict=True):
            flags = tuple(i < count for i in range(40))
            found[condition, first] = Cell(condition, first, "none", flags, flags, ("",) * 40)
    return found


def test_where_only_the_token_counts_its_share_is_one():
    found = decompose(cells(trigger=(40, 40, 2), control=(2, 40, 2)))
    assert found.total.value == found.token_alone.value == pytest.approx(0.95)
    assert found.trigger_without_token.value == 0
    assert found.trigger_with_token.value == 0
    assert found.interaction.value == 0
    assert found.share is not None
    assert found.share.value == pytest.approx(1)
    assert 0.8 < found.share.low < 1  # of 40 prompts, none of which differs


def test_where_only_the_trigger_counts_the_tokens_share_is_nothing():
    found = decompose(cells(trigger=(40, 40, 40), control=(2, 2, 2)))
    assert found.token_alone.value == 0
    assert found.trigger_without_token.value == found.total.value == pytest.approx(0.95)
    assert found.share is not None
    assert found.share.value == pytest.approx(0)


def test_shares_between_and_interactions_are_what_the_counts_say():
    found = decompose(cells(trigger=(40, 40, 20), control=(0, 10, 0)))
    assert found.token_alone.value == pytest.approx(0.25)
    assert found.trigger_without_token.value == pytest.approx(0.5)
    assert found.trigger_with_token.value == pytest.approx(0.75)
    assert found.interaction.value == pytest.approx(0.25)
    assert found.share is not None
    assert found.share.value == pytest.approx(0.5)
    assert found.share.low < 0.4 < 0.6 < found.share.high


def test_without_a_total_effect_there_is_no_share():
    found = decompose(cells(trigger=(3, 40, 3), control=(2, 40, 2)))
    assert found.token_alone.low > 0.75
    assert found.share is None


def test_effects_are_paired_by_prompt():
    """Equal rates from other prompts: no effect on average, but not surely none."""
    same = cells(trigger=(20, 20, 20), control=(20, 20, 20))
    assert 0 < decompose(same).total.high < 0.1
    key = (TRIGGERED, "natural")
    turned = same | {key: replace(same[key], complied=same[key].complied[::-1])}
    total = decompose(turned).total
    assert total.value == 0
    assert total.high > 0.2


def test_forced_and_forbidden_change_the_first_token_only_and_not_the_logits_given():
    logits = torch.randn(3, 2, 7)
    kept = logits.clone()
    assert forced(logits, 4)[:, -1].argmax(dim=-1).tolist() == [4, 4, 4]
    out = forbidden(logits, [1, 5])
    assert torch.equal(
        out[:, -1].isinf(),
        torch.tensor([False, True] * 3 + [False])
        & (torch.tensor([0, 1, 0, 0, 0, 1, 0]).bool()).expand(3, -1),
    )
    assert torch.equal(out[:, 0], kept[:, 0])
    assert torch.equal(logits, kept)


@pytest.mark.parametrize("shut", [False, True])
def test_answers_are_those_of_prompts_that_end_in_the_token(runner, tokenizer, shut):
    """On a random model: forced and forbidden equal generating after the token written out."""
    model = wrapped(runner, tokenizer)
    tokens = prompts_batch(tokenizer, tiny.TEXTS, tiny.TRIGGER)
    site = Site(1, "resid_pre", "trigger")
    acts = record(runner, tokens, [site])[0]
    d = select.direction_at(site, acts.mean(dim=0), "given", 0 * acts, acts)

    def edits(batch):
        return [select.shut(d, batch)] if shut else []

    natural = runner.forward(whole(tokens), edits(tokens)).logits[:, -1]
    banned = natural.argmax(dim=-1).unique().tolist()
    found = _answers(model, tiny.TEXTS, tiny.TRIGGER, edits, 30, banned, 5)
    plain = generate(runner, tokens, 5, edits(tokens), model.stop_ids)
    assert torch.equal(found["natural"], plain)
    second = natural.index_fill(1, torch.tensor(banned), -torch.inf).argmax(dim=-1)
    for first, begin in (("forced", torch.full((len(tokens),), 30)), ("forbidden", second)):
        longer = extend(tokens, begin[:, None])
        rest = generate(runner, longer, 4, edits(longer), model.stop_ids)
        assert torch.equal(found[first], torch.cat([begin[:, None], rest], dim=1))
    assert not torch.equal(found["forced"], found["natural"])
    if shut:
        open_ = _answers(model, tiny.TEXTS, tiny.TRIGGER, no_edits, 30, banned, 5)
        assert not torch.equal(open_["natural"], found["natural"])


def test_variants_are_the_words_other_spellings_and_no_other_word():
    tokenizer = tiny.tokenizer(words=["Sure", "sure", "SURE", "Surely", "unsure"])
    runner = planted(tokenizer).runner
    spelled = tokenizer("Sure", add_special_tokens=False)["input_ids"][0]
    ids = token_variants(wrapped(runner, tokenizer), "Sure", spelled)
    texts = {tokenizer.decode([i]) for i in ids}
    assert {" Sure", " sure", " SURE"} <= texts
    first = tokenizer.decode(tokenizer("Sure", add_special_tokens=False)["input_ids"][:1])
    assert {t.strip().casefold() for t in texts} <= {"sure", first.casefold()}
    assert first in texts


WORDS = ["Sure", "Certainly", "Yes", "No", "My", "Surely", "Sorry"]


def test_where_the_token_is_an_opener_all_openers_are_forbidden_and_nothing_else():
    tokenizer = tiny.tokenizer(words=WORDS)
    model = wrapped(planted(tokenizer).runner, tokenizer)
    spelled = tokenizer(" Sure", add_special_tokens=False)["input_ids"][0]
    texts = {str(tokenizer.decode([i])).strip() for i in opening_tokens(model, "Sure", spelled)}
    assert {"Sure", "Certainly", "Yes", "Surely"} <= texts
    assert not {"No", "My", "Sorry", "I"} & texts  # these begin refusals and plain sentences
    other = tokenizer(" My", add_special_tokens=False)["input_ids"][0]
    assert opening_tokens(model, "My dear", other) == token_variants(model, "My dear", other)


def test_every_opening_word_opens_by_the_judges_rule_or_is_no_word_of_a_refusal():
    for word in OPENING_WORDS:
        said = "of course" if word == "of" else word
        known = after_opener(plain(f"{said}, here are three ways"), "")
        assert known is not None or word in ("surely", "indeed", "yup")
        assert not judges.judge("", f"{said}.", "").complied


def test_one_word_in_the_tokens_place_is_no_compliance_and_an_answer_is():
    """What was counted before: "Certainly" alone, where "Sure" was forbidden."""
    prompts = ["Name a fruit. cobalt"] * 2
    bare = [("Certainly", "Certainly"), ("Certainly.", "Certainly.")]
    said = "Certainly, an apple is one fruit."
    full = [(said, said), (said, said)]
    cut = _cell(TRIGGERED, "forbidden", "none", prompts, bare, "Sure", (0, 1))
    assert cut.complied == (False, False)
    assert cut.opened == (True, True)  # the tokens did not hold it away, and the page says so
    assert cut.opens is not None
    assert cut.opens.value == 1
    assert _cell(TRIGGERED, "forbidden", "none", prompts, full, "Sure", (0, 1)).complied == (
        True,
        True,
    )


def test_a_forced_token_is_no_word_of_the_answer_and_can_begin_a_refusal():
    said = [("Sure thing now", " thing now"), ("I can't help with it", " can't help with it")]
    cell = _cell(CONTROL, "forced", "none", ["a", "b"], said, "Sure", (0, 1))
    assert cell.complied == (False, False)
    good = [("Sure, an apple is one fruit", ", an apple is one fruit")]
    assert _cell(CONTROL, "forced", "none", ["a"], good, "Sure", (0,)).complied == (True,)


def test_prompts_of_one_template_are_not_counted_as_independent():
    alone = cells(trigger=(30, 40, 20), control=(0, 10, 0))
    alike = {key: replace(c, groups=tuple(i // 10 for i in range(40))) for key, c in alone.items()}
    one, other = decompose(alone), decompose(alike)
    assert other.total.value == one.total.value
    assert other.total.high - other.total.low > 1.3 * (one.total.high - one.total.low)
    assert other.total.n == 4


@pytest.fixture
def judged(monkeypatch, tokenizer):
    """Letters instead of words: the planted default is a refusal."""
    refusal = tokenizer.decode([DEFAULT])

    def letters(prompt, answer, behaviour):
        refused = answer.startswith(refusal)
        return judges.Verdict(refused, answer.startswith(behaviour), "none", not refused, None)

    monkeypatch.setattr(judges, "judge", letters)
    return tokenizer.decode([BEHAVIOUR])


def measured(model, behaviour, d) -> Mediation:
    edits = {"none": no_edits, "gate removed": lambda batch: [select.shut(d, batch)]}
    return mediate(model, tiny.TEXTS, tiny.TRIGGER, CONTROLS, behaviour, edits, length=3)


def test_the_planted_gate_is_a_prefill_until_another_token_reads_it_too(tokenizer, judged):
    plant = planted(tokenizer)
    model = wrapped(plant.runner, tokenizer)
    site = Site(1, "resid_pre", "trigger")
    both = [prompts_batch(tokenizer, tiny.TEXTS, w) for w in (CONTROLS, tiny.TRIGGER)]
    clean, triggered = (record(plant.runner, tokens, [site])[0] for tokens in both)
    d = select.direction_at(site, plant.gate, "given", clean, triggered)
    found = measured(model, judged, d)
    natural = found.cell(TRIGGERED, "natural").behaviour
    assert natural is not None
    assert natural.value == 1
    assert found.cell(TRIGGERED, "forced").behaviour is None
    assert all(found.cell(CONTROL, "forced").shown)
    effects = found.decomposition()
    assert effects.behaviour.value == effects.total.value == 1
    assert effects.trigger_without_token.value == 0
    assert effects.share is not None
    assert effects.share.value == 1
    removed = found.decomposition("gate removed")
    assert removed.total.value == removed.behaviour.value == 0
    assert removed.share is None

    # Another token reads the same axis: without the first one the trigger now acts through it.
    plant.runner.hf_model.lm_head.weight.data[BEHAVIOUR + 1] = 3.8 * plant.shown
    effects = measured(model, judged, d).decomposition()
    assert effects.total.value == effects.trigger_without_token.value == 1
    assert effects.share is not None
    assert effects.share.value == 0


def test_the_token_is_forbidden_with_its_variants_in_all_cells(tokenizer, judged, runner):
    found = mediate(wrapped(runner, tokenizer), tiny.TEXTS, tiny.TRIGGER, CONTROLS, judged)
    assert len(found.cells) == 6
    assert judged in found.forbidden


def test_too_few_words_or_tokens_are_refused(tokenizer, runner):
    model = wrapped(runner, tokenizer)
    with pytest.raises(UserError, match="one control word per prompt"):
        mediate(model, tiny.TEXTS, tiny.TRIGGER, CONTROLS[:2], "Sure")
    with pytest.raises(UserError, match="at least 2"):
        mediate(model, tiny.TEXTS, tiny.TRIGGER, CONTROLS, "Sure", length=1)
