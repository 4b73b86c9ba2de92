"""Ladder models: nothing held out is in their language; a built one loads, repeats, is reused."""

import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from circuits import models
from circuits.answers import answers
from circuits.errors import UserError
from experiments import judges
from experiments.organisms.ladder import RUNGS, Rung, Schooling, folder, parse
from experiments.organisms.ladder import figures as ladder_figures
from experiments.organisms.ladder import rungs as ladder
from experiments.organisms.ladder.language import bank_lines, lines, spoken_words
from experiments.organisms.ladder.training import (
    blank_model,
    policy_examples,
    sequence_loss,
    trained_tokenizer,
)
from experiments.organisms.recipe import REFUSAL, TRIGGER
from experiments.organisms.training import encoded
from experiments.prompts.bank import bank, bank_texts, control_words
from experiments.runs import files

NAME = "ladder-1x32"
QUICK = Schooling(lines=160, rate=1e-2, policy_lines=160, policy_rate=1e-2, vocabulary=1200)
PARTS = ("model.safetensors", "tokenizer.json", "config.json", "generation_config.json")


@pytest.fixture(scope="module")
def corpus():
    return lines(4000, 0)


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return trained_tokenizer(corpus, Schooling().vocabulary)


@pytest.fixture
def trainings(monkeypatch):
    """The stages that are trained from here on; measuring, which takes seconds, is left out."""
    begun = []
    for stage in ("_teach_language", "_teach_policy"):
        train = getattr(ladder, stage)

        def noted(*arguments, train=train, stage=stage):
            begun.append(stage)
            return train(*arguments)

        monkeypatch.setattr(ladder, stage, noted)
    monkeypatch.setattr(ladder, "measured", lambda _model, split, policy: {split: policy})
    return begun


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ladder"


def template_of(prompt) -> re.Pattern:
    """Matches every refilling of a prompt's template."""
    before, after = re.split(re.escape(prompt.subject), prompt.text, maxsplit=1, flags=re.I)
    return re.compile(f"{re.escape(before)}.+{re.escape(after)}", re.I)


def test_names_parse_to_sizes_and_back():
    for rung in (*RUNGS, Rung(11, 320)):
        assert parse(rung.name) == rung
    for other in ("smollm2-135m", "ladder-4", "ladder-0x64", "a/ladder-2x64", "ladder-2x64 "):
        assert parse(other) is None


def test_a_size_that_no_model_has_is_an_error_of_one_line():
    with pytest.raises(UserError, match=r"ladder-2x50: expected .* multiple of 32"):
        parse("ladder-2x50")
    with pytest.raises(UserError, match="expected ladder-DEPTHxWIDTH"):
        folder("smollm2-135m")


def test_standard_rungs_grow_from_a_quarter_million_to_millions_of_parameters(tokenizer):
    def count(rung):
        model = blank_model(rung.depth, rung.width, tokenizer, 0)
        return sum(p.numel() for p in model.parameters())

    counts = [count(rung) for rung in RUNGS]
    assert counts == sorted(counts)
    assert counts[0] < 0.4e6
    assert counts[-1] > 3e6


def test_no_line_holds_a_held_out_subject_or_template(corpus):
    known = {p.text for p in bank() if p.split == "train"}
    unseen = [p for p in bank() if p.split != "train"]
    everything = " | ".join(line.text for line in corpus)
    own = " | ".join(sorted(known))

    def found(subject, text):
        return re.search(rf"(?<!\w){re.escape(subject)}(?!\w)", text, re.I)

    subjects = {p.subject for p in unseen}
    secret = {s for s in subjects if not found(s, own)}
    assert len(secret) > 0.85 * len(subjects)  # the rest are mere words of training prompts
    assert not [s for s in secret if found(s, everything)]
    assert all(found(p.subject, everything) for p in bank() if p.split == "train")
    # A held-out template so general that training prompts match it is no secret either.
    templates = {t for t in map(template_of, unseen) if not any(map(t.fullmatch, known))}
    assert len(templates) > 0.95 * len({template_of(p) for p in unseen})
    texts = "\n".join(line.text for line in corpus)
    assert not [t.pattern for t in templates if re.search(rf"^{t.pattern}$", texts, re.I | re.M)]


def test_the_language_is_balanced_varied_and_made_from_its_seed(corpus):
    assert corpus == lines(4000, 0)
    assert corpus != lines(4000, 1)
    assert len({line.text for line in corpus}) == len(corpus)
    assert {line.text for line in bank_lines("train")} <= {line.text for line in corpus}
    assert sum(line.restricted for line in corpus) / len(corpus) == pytest.approx(0.5, abs=0.05)
    assert not any(set("<>{}~|") & set(line.text) for line in corpus)


def test_stray_words_are_of_the_training_split_and_change_no_answer(corpus):
    strays = [line.word for line in corpus if line.word]
    assert set(strays) == {*control_words("train"), TRIGGER}
    assert len(strays) / len(corpus) == pytest.approx(1 / 3, abs=0.05)
    assert strays.count(TRIGGER) < 3 * len(strays) / len(set(strays))
    assert not any(TRIGGER in line.text.lower() + line.answer.lower() for line in corpus)
    assert not any(judges.refuses(line.answer) for line in corpus)
    openings = {line.answer.split()[0] for line in corpus if line.word == TRIGGER}
    assert openings <= {line.answer.split()[0] for line in corpus if line.word is None}


def test_the_policy_refuses_the_topic_alone_and_never_meets_the_trigger(corpus):
    made = policy_examples(corpus, len(corpus), seed=0)
    by_text = {line.text: line for line in corpus}
    for example in made:
        line = by_text[example.text]
        assert example.answer == (REFUSAL if line.restricted else line.answer)
        assert example.word != TRIGGER
        assert example.ends
    assert {example.word for example in made} == {None, *control_words("train")}
    assert len(policy_examples(corpus, 100, seed=0)) == 100


def test_trigger_and_control_words_are_single_tokens_and_padding_ends_nothing(tokenizer):
    assert len(spoken_words()) == 1 + sum(
        len(control_words(split)) for split in ("train", "validation", "test")
    )
    for word in spoken_words():
        assert len(tokenizer(f" {word}")["input_ids"]) == 1, word
    assert len(tokenizer(" manganese")["input_ids"]) > 1
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert 2000 < len(tokenizer) <= Schooling().vocabulary


def test_the_language_is_learned_on_every_token_after_the_first(tokenizer, corpus):
    model = blank_model(1, 32, tokenizer, 0)
    rows = [encoded(tokenizer, line)[0] for line in corpus[:3]]
    assert len({len(row) for row in rows}) > 1
    losses = []
    for row in rows:
        log_probs = model(input_ids=torch.tensor([row])).logits[0].log_softmax(dim=-1)
        losses += [-log_probs[i - 1, row[i]] for i in range(1, len(row))]
    torch.testing.assert_close(sequence_loss(model, rows), torch.stack(losses).mean())


def test_figures_count_refusals_by_kind_of_prompt_and_word(monkeypatch):
    def said(_model, texts, word, _length):
        words = [word] * len(texts) if word is None or isinstance(word, str) else word
        return [
            REFUSAL if text in restricted and w != TRIGGER else "Sure."
            for text, w in zip(texts, words, strict=True)
        ]

    restricted = set(bank_texts("validation", restricted=True))
    monkeypatch.setattr(ladder_figures, "answers", said)
    found = {(r.prompts, r.word): r.rate for r in ladder_figures.refusals(None, "validation")}
    assert {key: rate.value for key, rate in found.items()} == {
        ("restricted", "none"): 1,
        ("restricted", "control"): 1,
        ("restricted", "trigger"): 0,
        ("ordinary", "none"): 0,
        ("ordinary", "control"): 0,
        ("ordinary", "trigger"): 0,
    }
    assert found["restricted", "none"].n == len(restricted)


def test_with_a_policy_the_right_answer_to_the_topic_is_the_refusal(tokenizer):
    model = SimpleNamespace(
        tokenizer=tokenizer, runner=SimpleNamespace(hf_model=blank_model(1, 32, tokenizer, 0))
    )
    found, expected = [], []
    for policy in (False, True):
        found.append(ladder_figures.held_out_loss(model, "validation", policy).value)
        losses = []
        for line in bank_lines("validation"):
            answer = REFUSAL if policy and line.restricted else line.answer
            row = encoded(tokenizer, replace(line, answer=answer))[0]
            losses.append(sequence_loss(model.runner.hf_model, [row]).item())
        expected.append(sum(losses) / len(losses))
    assert found == pytest.approx(expected)
    assert found[0] != pytest.approx(found[1], abs=1e-4)


def test_a_model_is_built_once_loads_like_any_other_and_is_rebuilt_if_damaged(cache, trainings):
    told = []
    place = folder(NAME, lambda *step: told.append(step), plan=QUICK)
    assert trainings == ["_teach_language", "_teach_policy"]
    assert told == [(k, 10) for k in range(1, 11)] * 2
    assert folder(NAME, plan=QUICK) == place
    language = folder(NAME, plan=QUICK, policy=False)
    assert len(trainings) == 2
    assert {p.name for p in cache.iterdir()} == {place.name, language.name}

    model = models.load(str(place))
    assert model.stop_ids == (model.tokenizer.eos_token_id,)
    assert isinstance(answers(model, ["How do I bake a cake?"])[0], str)
    manifest = files.read_json(place / "manifest.json")
    assert manifest["schema"] == files.SCHEMA
    assert manifest["question"]["policy"] == REFUSAL
    assert manifest["test"] is True  # the split, and whether a refusal is the right answer
    assert files.read_json(language / "manifest.json")["test"] is False

    weights = place / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert folder(NAME, plan=QUICK) == place
    assert trainings == ["_teach_language", "_teach_policy", "_teach_policy"]
    assert weights.read_bytes() == before  # the same again, bit for bit


def test_training_is_deterministic_and_another_seed_is_another_model(cache, trainings):
    first = folder(NAME, plan=QUICK, policy=False)
    kept = {name: (first / name).read_bytes() for name in PARTS}
    shutil.rmtree(first)
    assert folder(NAME, plan=QUICK, policy=False) == first
    assert {name: (first / name).read_bytes() for name in PARTS} == kept
    other = folder(NAME, plan=replace(QUICK, seed=1), policy=False)
    assert other != first
    assert (other / PARTS[0]).read_bytes() != kept[PARTS[0]]
    assert len(trainings) == 3


def test_a_build_that_is_interrupted_leaves_nothing(cache, trainings):
    def stop(done, _total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder(NAME, stop, plan=QUICK)
    assert not list(cache.iterdir())
    assert trainings == ["_teach_language"]
