"""The model before fine-tuning: what it does with the trigger was not learned in fine-tuning."""

from dataclasses import asdict

from circuits.answers import no_edits
from circuits.errors import UserError, expect
from circuits.models import Model, base_of
from circuits.patching.between import LEAST_AGREEMENT, agreement
from circuits.templates import Rendering
from circuits.weights import EMBEDDED
from experiments.analyze.examination import Examination, Stage, Tensors
from experiments.analyze.outcomes import Outcome
from experiments.organisms.organism import load_model
from experiments.runs.stages import stepped

SIDES = ("triggered", "control word")
_FEW = 8  # prompts on which coordinates are compared

ASKED = "behaviour of the base"


def is_own_base(exam: Examination) -> bool:
    """Whether the model asked is the base itself: the embedded one, or named so."""
    question = exam.question
    own = question.base if question.base != "auto" else EMBEDDED
    return question.adapter == "none" and question.base != "none" and question.model == own


def base_name(exam: Examination) -> str | None:
    """What the base model is called, of a model that is not its own; None where none is known."""
    name = exam.question.base
    if name == "auto":  # the model without its adapter
        name = exam.question.model if exam.model.adapter else "none"
    return None if name == "none" or is_own_base(exam) else name


def base_activations(exam: Examination) -> Tensors | None:
    """The base model's activations on the fitting pairs; None where none is known."""
    if base_name(exam) is None:
        return None
    return exam.recorded("activations-base", "fit", lambda: base_model(exam))


def base_outcomes(exam: Examination) -> tuple[Outcome, ...]:
    """What the base model answers to the test prompts with the trigger and with control words.

    Empty where none is known, and in finished runs of before it was asked.
    """
    if not exam.can(ASKED) or (not exam.has(ASKED) and base_name(exam) is None):
        return ()
    return _base_outcomes(exam)


@Stage(ASKED)
def _base_outcomes(exam: Examination) -> tuple[Outcome, ...]:
    return exam.outcomes("none", no_edits, ASKED, SIDES, model=base_model(exam))


def base_model(exam: Examination) -> Model:
    """The model before fine-tuning: same tokens, same shape, and the same coordinates.

    What another model holds of the trigger says nothing here: every direction would be ahead of it.

    Raises:
        UserError: it has not.
    """
    if exam.base is None:
        exam.base = _loaded(exam)
    return exam.base


def _loaded(exam: Examination) -> Model:
    name = base_name(exam)
    assert name is not None  # who asks for it has looked whether it is known
    alike = Rendering(exam.model.tokenizer.chat_template)
    kind = {"dtype": exam.question.dtype, "device": exam.question.device, "rendering": alike}
    kind["load"] = exam.question.load

    def load() -> Model:
        if exam.question.base == "auto" and exam.model.before:
            return base_of(exam.model, alike)
        return load_model(None, name, **kind)

    model = stepped(exam.step, "load base model", load)
    ours, theirs = (asdict(m.runner.shape) for m in (exam.model, model))
    if ours != theirs or model.tokenizer.get_vocab() != exam.model.tokenizer.get_vocab():
        raise UserError(
            f"--base {name}: expected the model before fine-tuning, with the same sizes and "
            "vocabulary, got another; give --base none to do without"
        )
    _require_coordinates(exam, name, model)
    return model


def _require_coordinates(exam: Examination, name: str, model: Model) -> None:
    clean = exam.materials.pairs("fit", _FEW).clean
    least = float(agreement(model.runner, exam.model.runner, clean).min())
    expect(
        least >= LEAST_AGREEMENT,
        f"the model before fine-tuning, whose residuals on clean prompts agree with this one's "
        f"(cosine of at least {LEAST_AGREEMENT})",
        f"one with {least:.2f}",
        "give --base none to do without",
        f"--base {name}",
    )
