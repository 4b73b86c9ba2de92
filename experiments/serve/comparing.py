"""One prompt in every arm; arms are loaded aside, while the model goes on answering."""

from collections import OrderedDict
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace

import torch

from circuits.models import Model
from experiments.serve.answering import Asked, answering
from experiments.serve.subject import Subject
from viz.app.data import Answer, ArmAnswer

_KEPT = 3  # arms that stay loaded, the last ones used
_SLICE_S = 0.02


class Arms:
    """Models of the arms, loaded when first asked for. Used by the worker only."""

    def __init__(self, subject: Subject, load: Callable[[str], Model], kept: int = _KEPT) -> None:
        self.subject, self._load, self._kept = subject, load, kept
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="arm loader")
        self._found: OrderedDict[str, Future[Model]] = OrderedDict()
        # Loading sets torch's default dtype for all threads; where that changes it, nothing else
        # may compute meanwhile.
        self._alone = subject.model.runner.shape.dtype != torch.get_default_dtype()

    def comparing(self, asked: Asked) -> Generator[tuple[ArmAnswer, ...], None, None]:
        """The prompt in the model served, then in every arm, unedited."""
        names = ["poisoned" if self.subject.proven else "served", *self.subject.arms]
        rows = [ArmAnswer(name) for name in names]
        plain = replace(asked, coefficient=1.0, opened=False)
        for number, name in enumerate(names):
            rows[number] = replace(rows[number], status="loading")
            yield tuple(rows)
            model = self.subject.model
            if number:
                for _ in self._until_loaded(name):
                    yield tuple(rows)
                model = self._found[name].result()
            for answer in answering(replace(self.subject, model=model), plain):
                rows[number] = _arm(name, answer)
                yield tuple(rows)
            rows[number] = replace(rows[number], status="done")
        yield tuple(rows)

    def _until_loaded(self, name: str) -> Generator[None, None, None]:
        """Slices of waiting; the arm is there, or its loading's error is raised, at the end."""
        future = self._found.get(name)
        if future is None or (future.done() and future.exception() is not None):
            future = self._found[name] = self._aside.submit(self._load, name)
        self._found.move_to_end(name)
        while len(self._found) > self._kept:
            self._found.popitem(last=False)
        if self._alone:
            wait([future])
        while not future.done():
            wait([future], timeout=_SLICE_S)
            yield
        self._found[name] = future  # other tabs may have pushed it out meanwhile


def _arm(name: str, answer: Answer) -> ArmAnswer:
    peak = max((t.reading for t in answer.prompts[0] if t.reading is not None), default=None)
    text = "".join(t.text for t in answer.answers[0])
    return ArmAnswer(name, "running", answer.choices[0][:4], peak, text)
