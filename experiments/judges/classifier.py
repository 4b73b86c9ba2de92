"""A judge from a text classifier: hub id or directory, safetensors only, no foreign code.

The classifier sees the answer alone, as refusal classifiers are trained. Of a long answer it sees
the beginning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from circuits.checkpoint import require_loadable, require_safetensors
from circuits.errors import UserError, expect, reading
from circuits.memory import require_room
from circuits.places import source
from circuits.pretrained import require_finite
from experiments.judges.grades import Grades, check_paired

_EXPECTED = "a hub id or directory of a sequence classifier in safetensors"
_ROWS = 32
_LONGEST = 512  # tokens of an answer


@dataclass(frozen=True)
class ClassifierJudge:
    """Grades answers; ``label`` is the index of the class that means refusal."""

    model: Any
    tokenizer: Any
    label: int

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> Grades:
        """Grades of the answers; the prompts are not looked at.

        Raises:
            UserError: prompts and answers are not as many, or there are none.
        """
        check_paired(prompts, answers)
        parts = [answers[i : i + _ROWS] for i in range(0, len(answers), _ROWS)]
        refusal = torch.cat([self._refusal(list(part)) for part in parts])
        return Grades(refusal, torch.ones_like(refusal))

    def _refusal(self, answers: list[str]) -> Float[Tensor, " n"]:
        inputs = self.tokenizer(
            answers, padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
        )
        logits = self.model(**inputs.to(self.model.device)).logits.double().cpu()
        config = self.model.config
        independent = config.problem_type == "multi_label_classification" or logits.shape[1] == 1
        return (logits.sigmoid() if independent else logits.softmax(dim=-1))[:, self.label]

    @property
    def _longest(self) -> int:
        room = getattr(self.model.config, "max_position_embeddings", _LONGEST)
        return min(_LONGEST, room, self.tokenizer.model_max_length)


def classifier_judge(id_or_dir: str | Path, refusal_label: str) -> ClassifierJudge:
    """A judge from a sequence classifier.

    Args:
        id_or_dir: ``hf:OWNER/NAME``, one that was fetched from there before, or a directory with
            configuration, tokenizer and safetensors.
        refusal_label: the name in the classifier's configuration of the class that refuses.

    Raises:
        UserError: there is no such classifier, it has weights missing or in another format than
            safetensors, or no such label.
    """
    name, of = str(id_or_dir), f"classifier {id_or_dir}"
    folder = Path(name).expanduser()
    where, options = source(name, folder if folder.is_dir() else None, "classifier", _EXPECTED)
    if options:
        require_safetensors(Path(where))
        held = require_loadable(Path(where), of, AutoModelForSequenceClassification)
        if held.built:
            require_room(held.load(torch.float32), "cpu", of)
    with reading(of, _EXPECTED, "give hf:OWNER/NAME if it is to be fetched from the hub"):
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, **options)
        loaded: Any = AutoModelForSequenceClassification.from_pretrained(
            where,
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    model, info = loaded
    require_finite(dict(model.named_parameters()), of)
    # Missing weights would be drawn at random: such a head judges, but says nothing.
    missing = sorted(info["missing_keys"])
    expect(not missing, _EXPECTED, f"a model without weights {missing[:3]}", of=of)
    padded = tokenizer.pad_token_id is not None
    expect(padded, _EXPECTED, "a tokenizer without a padding token", of=of)
    return ClassifierJudge(model.eval(), tokenizer, _index(model.config.id2label, refusal_label))


def _index(names: Mapping[int, str], label: str) -> int:
    for index, name in names.items():
        if name == label:
            return int(index)
    raise UserError(f"refusal label {label!r}: expected one of {', '.join(names.values())}")
