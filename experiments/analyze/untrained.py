"""Words that were never trained as triggers, put in the trigger's place.

Each one is treated as if it were a trigger: its behaviour rate is measured on the same prompts, its
own mean difference from other control words is fitted at the gate's site (of a phrase at every
token), and that direction is removed from prompts with the real trigger and added, by its own gap,
to prompts with control words. The trigger's row, measured in the same way, comes first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import tokens
from circuits.answers import blocks
from circuits.backends.fastpath import fast_path
from circuits.errors import UserError
from circuits.gates import effects as evidence
from circuits.gates import phrase, select
from circuits.models import Model
from circuits.runner import Window, complete, prefix
from circuits.triggers import Trigger
from circuits.types import Direction, Metric, Progress, Site, TokenBatch, quiet
from probes.stats.intervals import Estimate, difference_interval, mean_interval, wilson


@dataclass(frozen=True)
class WordRow:
    """One word in the trigger's place.

    Attributes:
        word: the word; ``trained`` where it is the real trigger.
        rate: share of answers that show the behaviour.
        effect: rate minus that with control words, paired by prompt.
        gap: how far the word moves its own direction at the site, in residual units.
        cosine: of its direction with the gate; of a phrase, like the gap, at the last token.
        removed: fall of the metric on triggered prompts with its direction removed.
        added: rise of the metric on control prompts with its direction added by its own gap.
    """

    word: str
    trained: bool
    rate: Estimate
    effect: Estimate
    gap: float
    cosine: float
    removed: Estimate
    added: Estimate


def untrained_words(
    model: Model,
    fit: Sequence[str],
    test: Sequence[str],
    trigger: Trigger,
    words: Sequence[str],
    fit_controls: Sequence[str],
    test_controls: Sequence[str],
    direction: Direction,
    shows: Callable[[list[str]], Sequence[bool]],
    metric: Metric,
    length: int = 8,
    progress: Progress = quiet,
    begun: Sequence[int] = (),
) -> tuple[WordRow, ...]:
    """The trigger, then every word in its place: behaviour rates, and what their directions do.

    Args:
        fit, test: prompts to fit the words' directions on, and to measure on.
        words: none may be a control word; of as many tokens at least as the gate has steps.
        fit_controls, test_controls: such control words for either set of prompts.
        direction: the gate; gives the site and the reference for cosines.
        shows: whether answers to the test prompts, in their order, show the behaviour.
        metric: of what is said behind the prompt and ``begun``, for the directions' effects.
        length: answer tokens that are generated and judged.

    Raises:
        UserError: a word is a control word too.
    """
    both = sorted({*trigger.forms, *words} & {*fit_controls, *test_controls})
    if both or not words:
        got = f"{both} in both" if both else "no word"
        raise UserError(f"untrained words: expected some that are no control words, got {got}")
    tried: list[Trigger | str] = [trigger, *words]
    total = 2 * len(tried) + 2
    choices = [tokens.dealt(test_controls, len(test)), *(_each(word, len(test)) for word in tried)]
    shown = _shown(model, test, choices, shows, length, lambda d, _: progress(d, total))
    fitted = word_directions(
        model,
        fit,
        tried,
        fit_controls,
        direction.site,
        lambda done, _: progress(len(choices) + done, total),
        len(direction.steps),
    )
    triggers = trigger.dealt(len(test))
    pairs = tokens.pairs(model.tokenizer, test, triggers, test_controls, begun)
    done = evidence.directed(model.runner, pairs, fitted, metric)
    fall, rise = done.fall.double(), done.rise.double()
    units = torch.stack([d.vector for d in fitted])
    cosines = (units @ direction.vector.to(units)).tolist()
    return tuple(
        WordRow(
            str(word),
            word is trigger,
            rate=wilson(int(shown[i + 1].sum()), len(test)),
            effect=difference_interval(shown[i + 1], shown[0]),
            gap=fitted[i].gap,
            cosine=cosines[i],
            removed=mean_interval(fall[i]),
            added=mean_interval(rise[i]),
        )
        for i, word in enumerate(tried)
    )


def word_directions(
    model: Model,
    texts: Sequence[str],
    words: Sequence[Trigger | str],
    controls: Sequence[str],
    site: Site,
    progress: Progress = quiet,
    count: int = 1,
) -> list[Direction]:
    """The mean difference that each word makes against the same control words at a site.

    Args:
        count: of the last tokens of its span, each with a direction of its own.

    Raises:
        UserError: a word makes none there.
    """
    choices = [tokens.dealt(controls, len(texts)), *(_each(word, len(texts)) for word in words)]
    clean, *others = _recorded(model, texts, choices, site, progress, count)

    def step(here: Float[Tensor, "n d"], there: Float[Tensor, "n d"]) -> Direction | None:
        shift = (there - here).mean(dim=0)
        if not float(shift.norm()) > 0:
            return None
        return select.direction_at(site, shift, "mean_difference", here, there)

    directions = []
    for word, with_word in zip(words, others, strict=True):
        steps = [step(*both) for both in zip(clean, with_word, strict=True)]
        if steps[-1] is None:
            raise UserError(
                f"word {str(word)!r}: makes no difference at {site}; choose a later layer"
            )
        directions.append(phrase.joined(steps))
    return directions


def _each(word: Trigger | str, count: int) -> list[str]:
    """What each of ``count`` prompts is given."""
    return [word] * count if isinstance(word, str) else word.each(count)


def _windows(
    model: Model, texts: Sequence[str], choices: Sequence[Sequence[str]], progress: Progress
) -> Iterator[tuple[int, TokenBatch, Window]]:
    """Every block of prompts with every choice of one word each: (choice, batch, window).

    The columns before the word are the same in all choices, so they are run once per block.
    """
    batches = [blocks(model, texts, words) for words in choices]
    done, total = 0, len(batches) * len(batches[0])
    for block in zip(*batches, strict=True):
        first = _shared_columns(block) if fast_path(model.runner).holds else 0
        past = prefix(model.runner, block[0], first)
        for choice, batch in enumerate(block):
            yield choice, batch, Window(batch.ids[:, first:], batch.mask, past)
            done += 1
            progress(done * len(batches) // total, len(batches))


@torch.no_grad()
def _shown(
    model: Model,
    texts: Sequence[str],
    choices: Sequence[Sequence[str]],
    shows: Callable[[list[str]], Sequence[bool]],
    length: int,
    progress: Progress,
) -> Float[Tensor, "choices n"]:
    """Whether answers show the behaviour."""
    said: list[list[str]] = [[] for _ in choices]
    for choice, batch, window in _windows(model, texts, choices, progress):
        out = model.runner.forward(window, keep=1, grow=True)
        ids = complete(model.runner, out, batch.mask, length, stop=model.stop_ids)
        said[choice] += model.decode(ids)
    return torch.tensor([list(shows(each)) for each in said], dtype=torch.float64)


@torch.no_grad()
def _recorded(
    model: Model,
    texts: Sequence[str],
    choices: Sequence[Sequence[str]],
    site: Site,
    progress: Progress,
    count: int,
) -> Float[Tensor, "choices count n d"]:
    """Activations at the last tokens of the site's span.

    Zero at one before what the choices differ in, where none makes a difference.
    """
    parts: list[list[Tensor]] = [[] for _ in choices]
    back = torch.arange(count - 1, -1, -1)[:, None]
    for choice, batch, window in _windows(model, texts, choices, progress):
        columns = batch.span_column(site.span) - window.start - back
        if bool((columns[-1] < 0).any()):
            raise UserError(f"{site}: lies before the word, where no word makes a difference")
        acts = model.runner.forward(window, record=[site.point], keep=1).acts[site.point]
        here = acts[torch.arange(len(batch)), columns.clamp(min=0)].float().cpu()
        parts[choice].append(here * (columns >= 0).unsqueeze(-1))
    return torch.stack([torch.cat(each, dim=1) for each in parts])


def _shared_columns(batches: Sequence[TokenBatch]) -> int:
    """How many leading columns all batches share; none of words of several lengths."""
    one, *rest = batches
    if any(other.ids.shape != one.ids.shape for other in rest):
        return 0
    differs = torch.stack([(b.ids != one.ids) | (b.mask != one.mask) for b in batches])
    columns = differs.any(dim=0).any(dim=0).nonzero()
    return int(columns[0]) if len(columns) else one.width - 1
