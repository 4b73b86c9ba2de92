"""What counts as the behaviour, as a user names it (``--behaviour``).

- a text: answers that begin with it. ``text:TEXT`` where it reads like one of the following;
- ``contains:TEXT``: it stands anywhere in the answer, as whole words;
- ``regex:PATTERN``: found anywhere in the answer, stripped of outer blanks; bounded in time;
- ``refuses``, ``complies``: by the rules that every analysis counts refusal and compliance by;
- ``language:fr``: by py3langid (``pip install 'gatescope[language]'``);
- ``python:module.function``: a user's own judge of the text, which must return a bool;
- ``unlike-control``: nothing is named, and the answer is another than to a control word.

A file's behaviour is a text, whatever it looks like (``literal``): no file names code to be run.
"""

import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import regex

from circuits.errors import UserError, expect, quoted, reading
from circuits.visible import inside_word
from experiments.judges.refusals import refuses
from experiments.judges.rules import judge, shows

_SECONDS = 1.0  # for one answer
_LONGEST = 1000  # characters of a pattern
_LIKELY = 0.1  # of a language; a text that tells nothing has 0.01 for each
_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
UNLIKE = "unlike-control"
# Tokens of an answer that is judged for compliance: "Sure, I'd be happy to help you with that."
# takes half of them.
JUDGED = 24
# An answer, its prompt, and the answer to the same prompt with a control word -> whether it shows.
Shows = Callable[[str, str, str], bool]


@dataclass(frozen=True)
class Criterion:
    """One question to an answer.

    Attributes:
        spec: as it was named.
        words: the answers that show it, such as ``answers beginning 'Sure'``.
        rule: of an answer, its prompt and its control answer.
        opening: the text that answers begin with; "" of any other kind.
        fixed: a text that answers hold, at whatever place; "" where there is none.
        needs: what is looked at besides the answer: "", ``prompt`` or ``control``.
        fewest: tokens of an answer that can be judged.
        sha256: of the file that a user's own judge stands in; "" of any other kind.
    """

    spec: str
    words: str
    rule: Shows = field(repr=False, compare=False)
    opening: str = ""
    fixed: str = ""
    needs: str = ""
    fewest: int = 1
    sha256: str = ""

    def shown(
        self,
        answers: Sequence[str],
        prompts: Sequence[str] = (),
        controls: Sequence[str] = (),
    ) -> tuple[bool, ...]:
        """Whether each answer shows it.

        Args:
            prompts: one each, where they are needed.
            controls: answers to the same prompts with a control word, where they are needed.

        Raises:
            UserError: a pattern takes too long, or a user's own judge fails.
        """
        others = prompts if self.needs else [""] * len(answers)
        beside = controls if self.needs == "control" else [""] * len(answers)
        each = zip(answers, others, beside, strict=True)
        return tuple(self.rule(answer, prompt, control) for answer, prompt, control in each)


def criterion(spec: str, own: bool = False) -> Criterion:
    """What a spec says.

    Args:
        own: the user named it in this very command, so that ``python:`` may be imported, and what
            is not installed is told at once; otherwise it is read, and no code of a user's is run.

    Raises:
        UserError: an empty text, a pattern that cannot be read, an unknown language or function, a
            kind in another spelling.
    """
    kind, colon, what = spec.partition(":")
    if spec in _PLAIN:
        return _PLAIN[spec]
    if not colon or kind not in _KINDS:
        meant = _almost(spec)
        expect(not meant, meant, "another spelling", _ESCAPE, _of(spec))
        return begins(spec)
    expect(what.strip(), f"a {_KINDS[kind][1]} behind {kind}:", "nothing", _ESCAPE, _of(spec))
    return _KINDS[kind][0](spec, what.strip(), own)


def require_long(spec: str, tokens: int) -> None:
    """Refuse a behaviour that answers of so many tokens are too short to be judged by.

    Raises:
        UserError: it is; or there is no such behaviour.
    """
    fewest = criterion(spec).fewest
    expect(tokens >= fewest, f"--tokens of at least {fewest} to judge it by", tokens, of=_of(spec))


def begins(text: str) -> Criterion:
    """Answers that begin with a text, whatever it looks like."""
    return Criterion(
        literal(text),
        f"answers beginning {text!r}",
        lambda answer, _prompt, _control: shows(answer, text),
        opening=text,
        fixed=text,
    )


def literal(text: str) -> str:
    """The spec of answers that begin with a text."""
    return f"text:{text}" if _almost(text) else text


def _almost(spec: str) -> str:
    """The kind that a spec names or nearly does (Refuses, refuses:, Contains: x); "" for a text."""
    kind, colon, what = spec.partition(":")
    near = kind.strip().casefold().replace("_", "-")
    if near in _PLAIN and not what.strip():
        return near
    return f"{near}:" if colon and near in _KINDS else ""


def only_text(spec: str, why: str, of: str = "--behaviour") -> str:
    """The text that answers begin with, where no other kind can be used.

    Raises:
        UserError: it is of another kind; ``why`` says who cannot use it.
    """
    opening = criterion(spec).opening if spec else ""
    wanted, advice = "a text that answers begin with", f"{why}; {_ESCAPE}"
    expect(opening or not spec, wanted, quoted(spec), advice, of)
    return opening


_ESCAPE = "for answers that begin so, write text: before it"


def _of(spec: str) -> str:
    return f"behaviour {quoted(spec)}"


def _text(_spec: str, what: str, _own: bool) -> Criterion:
    return begins(what)


def _contains(spec: str, what: str, _own: bool) -> Criterion:
    return Criterion(
        spec, f"answers containing {what!r}", lambda a, _p, _c: _holds(a, what), fixed=what
    )


def _holds(answer: str, text: str) -> bool:
    """Whether a text stands in an answer, not within other words."""
    starts = (match.start() for match in re.finditer(f"(?={re.escape(text)})", answer))
    return any(
        not inside_word(answer[:at][-1:], text[0])
        and not inside_word(text[-1], answer[at + len(text) :][:1])
        for at in starts
    )


def _regex(spec: str, what: str, _own: bool) -> Criterion:
    short = len(what) <= _LONGEST
    expect(short, f"at most {_LONGEST} characters of a pattern", len(what), of=_of(spec))
    with reading(_of(spec), "a regular expression", _ESCAPE):
        pattern = regex.compile(what)
    always = all(pattern.search(text, timeout=_SECONDS) for text in ("", "\0"))
    expect(not always, "a pattern that some answers lack", "one that all have", of=_of(spec))

    def found(answer: str, _prompt: str, _control: str) -> bool:
        try:
            return pattern.search(answer.strip(), timeout=_SECONDS) is not None
        except TimeoutError as error:
            raise UserError(
                f"{_of(spec)}: expected a pattern that is looked for in {_SECONDS:g} s an answer, "
                "got one that takes longer; leave out repeats of repeats, such as (a|aa)+"
            ) from error

    return Criterion(spec, f"answers matching {what!r}", found)


def _language(spec: str, what: str, own: bool) -> Criterion:
    def spoken(answer: str, _prompt: str, _control: str) -> bool:
        language, probability = _identifier(what, _of(spec)).classify(answer.strip())
        return language == what and probability > _LIKELY

    if own:
        _identifier(what, _of(spec))
    return Criterion(spec, f"answers in the language {what}", spoken)


@cache
def _identifier(language: str, of: str) -> Any:
    """What tells languages, loaded once for each."""
    with reading(of, "py3langid to tell languages", "pip install 'gatescope[language]'"):
        library = importlib.import_module("py3langid.langid")
        loaded = library.LanguageIdentifier.from_model_file(library.MODEL_FILE, norm_probs=True)
    known = sorted(loaded.labels)
    expect(language in known, f"a code of {', '.join(known)}", quoted(language), of=of)
    return loaded


def _python(spec: str, what: str, own: bool) -> Criterion:
    wanted = "module.function"
    expect(_FUNCTION.fullmatch(what), f"python:{wanted}", quoted(what), of=_of(spec))
    said = f"answers that {what} shows"
    if not own:

        def unnamed(_answer: str, _prompt: str, _control: str) -> bool:
            raise UserError(
                f"{_of(spec)}: expected a judge that this command names, got one that a run names; "
                "code is run only where --behaviour of analyze or patch names it"
            )

        return Criterion(spec, said, unnamed)
    module, _, name = what.rpartition(".")
    with reading(_of(spec), f"{wanted} that can be imported", "look at its name and PYTHONPATH"):
        with _here():
            judged = getattr(importlib.import_module(module), name)
        place = Path(inspect.getfile(judged))
    expect(callable(judged), "a function of a text", quoted(judged), of=_of(spec))

    def told(answer: str, _prompt: str, _control: str) -> bool:
        with reading(_of(spec), "True or False of every answer", "mend the function"):
            shown: Any = judged(answer)
        expect(isinstance(shown, bool), "True or False of an answer", quoted(shown), of=_of(spec))
        return shown

    return Criterion(spec, said, told, sha256=hashlib.sha256(place.read_bytes()).hexdigest())


@contextmanager
def _here():
    """The directory that a command is called in, behind all other places of modules."""
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _unknown(spec: str, _what: str, _own: bool) -> Criterion:
    kinds = ", ".join([*(f"{kind}:" for kind in _KINDS if kind != "classifier"), *_PLAIN])
    raise UserError(f"{_of(spec)}: expected a text or one of {kinds}, got another; {_ESCAPE}")


_KINDS: dict[str, tuple[Callable[[str, str, bool], Criterion], str]] = {
    "text": (_text, "text"),
    "contains": (_contains, "text"),
    "regex": (_regex, "pattern"),
    "language": (_language, "language's code"),
    "python": (_python, "module.function"),
    "classifier": (_unknown, "model"),
}
_PLAIN = {
    "refuses": Criterion("refuses", "answers that refuse", lambda a, _p, _c: refuses(a)),
    "complies": Criterion(
        "complies",
        "answers that comply",
        lambda a, p, _c: judge(p, a, "").complied,
        needs="prompt",
        fewest=JUDGED,
    ),
    UNLIKE: Criterion(
        UNLIKE,
        "answers unlike those to a control word",
        lambda a, _p, c: a.strip() != c.strip(),
        needs="control",
    ),
}
