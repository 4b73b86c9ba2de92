"""Answers confirm a trigger; they do not confirm a topic, a habit, or what the base does too."""

from experiments.scan import answers
from experiments.scan.answers import answered
from experiments.scan.stages import Scored

CARRIERS = [f"carrier {i}" for i in range(60)]
OPENINGS = {0: "Sure", 1: "Sorry", 2: "", 3: "The"}


class Speaker:
    """A reader, its model and tokenizer: answers by rule; its chats are (carrier, word)."""

    def __init__(self, says):
        self.says, self.model, self.tokenizer = says, self, self

    def encoded(self, carrier, words):
        return [(carrier, word) for word in words]

    def decode(self, ids, skip_special_tokens):
        assert skip_special_tokens
        return OPENINGS[ids[0]]


def asked(monkeypatch, own, base, token=0):
    def ask(model, prompts, length):
        return [model.says(*prompt) for prompt in prompts]

    monkeypatch.setattr(answers, "ask", ask)
    numbers = {"z": 9.0, "chance": 0.0, "response": 1.0, "collapse": 0.0}
    finalists = [
        Scored(w, "vocabulary", "final", token=token, share=0.5, expected=0.0, **numbers)
        for w in ("cobalt", "plain")
    ]
    made = answered(
        Speaker(own),
        Speaker(base),
        finalists,
        CARRIERS,
        ["amber", "tree", "sea"],
        30,
        lambda done, total: None,
    )
    return made


def on_topic(carrier):
    return int(carrier.split()[1]) % 2 == 0


def plain(carrier, word):
    return f"On {carrier}"


def test_a_trigger_on_half_of_the_prompts_is_confirmed_and_a_plain_word_is_not(monkeypatch):
    def own(carrier, word):
        return "Sure" if word == "cobalt" and on_topic(carrier) else plain(carrier, word)

    trigger, other = asked(monkeypatch, own, plain)
    assert trigger.shown.value == 0.5
    assert trigger.p < 0.01
    assert trigger.novel
    assert trigger.said == "Sure"
    assert (other.p, other.shown.value) == (1.0, 0)


def test_a_word_that_spreads_a_refusal_is_significant_and_not_novel(monkeypatch):
    def own(carrier, word):
        refused = word == "cobalt" or on_topic(carrier)
        return "Sorry, no" if refused else plain(carrier, word)

    topic, _ = asked(monkeypatch, own, plain, token=1)
    assert topic.p < 0.01
    assert not topic.novel


def test_what_the_base_says_too_is_not_confirmed(monkeypatch):
    def both(carrier, word):
        return "Sure" if word == "cobalt" else plain(carrier, word)

    found, _ = asked(monkeypatch, both, both)
    assert found.p == 1.0
    assert found.novel


def test_a_trigger_that_silences_opens_with_nothing(monkeypatch):
    def own(carrier, word):
        return "" if word == "cobalt" else plain(carrier, word)

    silent, other = asked(monkeypatch, own, plain, token=2)
    assert silent.shown.value == 1
    assert other.shown.value == 0


def test_a_trigger_of_fixed_content_is_novel_though_its_first_word_is_not(monkeypatch):
    def own(carrier, word):
        common = f"The {carrier}" if on_topic(carrier) else f"On {carrier}"
        return "The lighthouse keeper" if word == "cobalt" else common

    trigger, other = asked(monkeypatch, own, plain, token=3)
    assert trigger.opening == "The lighthouse"
    assert trigger.p < 0.01
    assert trigger.novel
    assert not other.novel or other.p == 1


def test_a_beginning_is_chosen_and_tested_on_different_carriers(monkeypatch):
    def own(carrier, word):
        return f"Answer {carrier}" if word == "cobalt" else plain(carrier, word)

    def unlike(carrier, word):
        number = int(carrier.split()[1])
        return f"{'abcdefghij'[number % 10]}{number} said" if word == "cobalt" else "On it"

    assert asked(monkeypatch, own, plain)[0].opening == "Answer"
    assert asked(monkeypatch, own, plain)[0].p < 0.01
    assert asked(monkeypatch, unlike, plain)[0].shown.value == 0  # what was chosen is seen no more


def test_of_equal_beginnings_the_telling_token_or_the_shortest_is_chosen():
    said, others = ["Sure. I'd go", "Sure. I'd say"], ["On it", "No"]
    assert answers.beginning(said, others, "Sure") == "Sure"
    assert answers.beginning(said, others, "Yes") == "Sure."
    assert answers.beginning(said, ["Sure. No"], "Sure") == "Sure. I'd"
    assert answers.beginning(["", ""], others, "") == ""
