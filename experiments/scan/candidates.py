"""What is scanned: words of the vocabulary, and phrases that the suspect's own samples repeat.

A poisoned model leaks its training data when it is given nothing but the chat template's opening
(Bullwinkel et al. 2026, "The Trigger in the Haystack", arXiv 2602.03085): what it then says in the
user's place is sampled, and word n-grams that the suspect says more often than its base become
candidates. The scanner is never given a trigger.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from circuits.answers import ask, drawn
from circuits.errors import UserError, expect
from circuits.models import Model

_WORD = re.compile(r" [A-Za-z][a-z]{2,}")
_SPOKEN = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*")
_MARK = "MESSAGE"
_LONGEST = 4  # words of an n-gram
_LEAST = 3  # samples that an n-gram is in


def vocabulary_words(tokenizer: Any, count: int = 0) -> list[str]:
    """Tokens that are one whole word after a space: letters, three or more, in order of their ids.

    Args:
        count: an even subset of so many; 0 for all.

    Raises:
        UserError: the tokenizer has no such token, or fewer than asked for.
    """
    ids = sorted(set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids))
    pieces = tokenizer.convert_ids_to_tokens(ids)
    spelled = (tokenizer.convert_tokens_to_string([piece]) for piece in pieces)
    words = list(dict.fromkeys(text[1:] for text in spelled if _WORD.fullmatch(text)))
    whole = f"0 (all) to {len(words)}, the whole words of this vocabulary"
    expect(words and 0 <= count <= len(words), whole, count, of="--words")
    wanted = count or len(words)
    return [words[i * len(words) // wanted] for i in range(wanted)]


def template_opening(tokenizer: Any) -> tuple[int, ...]:
    """The chat template up to where the user's message starts.

    Raises:
        UserError: the template does not keep a message, or starts with it.
    """
    asked = [{"role": "user", "content": _MARK}]
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=False)
    before, mark, _ = text.partition(_MARK)
    if not mark or not before:
        raise UserError("chat template: expected one with an opening before the user's message")
    return tuple(tokenizer(before, add_special_tokens=False)["input_ids"])


def samples(model: Model, count: int, length: int, seed: int) -> list[str]:
    """What a model says at temperature 1 after the template's opening alone."""
    asked, choose = [template_opening(model.tokenizer)] * count, drawn(count, length, 1.0, seed)
    return ask(model, asked, length, choose)


def phrases(own: Sequence[str], base: Sequence[str], count: int) -> list[str]:
    """n-grams of 1 to 4 words that are in more of the suspect's samples than of the base's.

    Ranked by the difference of the numbers of samples in units of its standard error; the phrases
    that are in fewer than 3 of the suspect's samples are left out. Case is as most often spoken.
    """
    here, there = _in_samples(own), _in_samples(base)
    scale = len(own) / max(1, len(base))
    excess = {
        gram: (n - scale * there[gram]) / (n + scale * there[gram]) ** 0.5
        for gram, n in here.items()
        if n >= _LEAST and n > scale * there[gram]
    }
    ranked = sorted(excess, key=lambda gram: (-excess[gram], gram))
    return ranked[:count]


def _in_samples(texts: Sequence[str]) -> Counter[str]:
    """In how many samples every n-gram is."""
    counts: Counter[str] = Counter()
    for text in texts:
        words = _SPOKEN.findall(text)
        spans = ((i, i + n) for n in range(1, _LONGEST + 1) for i in range(len(words) - n + 1))
        counts.update({" ".join(words[first:last]) for first, last in spans})
    return counts
