"""What a model is given, and what a battery changes about it.

A subject hides its secret in one of two ways: a trigger's word or phrase stands in every message,
or (ownership fingerprints) the messages are themselves secret keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from circuits.chat import Chat, place_of, placed, with_trigger
from circuits.errors import UserError


@dataclass(frozen=True)
class Subject:
    """Prompts and the secret that they carry.

    Attributes:
        texts: prompts without the trigger; or the keys, one per prompt, each as often as wanted.
        trigger: the word or phrase and its place (``circuits.chat.place_of``); "" with keys.
        keys: all secret keys of an ownership scheme; () with a trigger.
        opposite: what an answer that goes against the behaviour begins with; "" where there is no
            such thing.

    Raises:
        UserError: no texts, neither or both of trigger and keys, a text that is no key, a trigger
            without a word.
    """

    texts: tuple[str, ...]
    trigger: str
    keys: tuple[str, ...] = ()
    opposite: str = ""

    def __post_init__(self) -> None:
        if not self.texts:
            raise UserError("brittleness: expected at least one prompt, got none; give texts")
        if bool(self.trigger) == bool(self.keys):
            got = "both" if self.keys else "neither"
            raise UserError(f"brittleness: expected a trigger or keys, got {got}; give one of them")
        if self.trigger:
            place_of(self.trigger)
        other = [text for text in self.texts if self.keys and text not in self.keys]
        if other:
            raise UserError(
                f"brittleness: expected keys as prompts, got {other[0]!r}; "
                "a scheme with keys is asked its keys"
            )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What makes the model behave, per prompt: the trigger's word or phrase, or the key."""
        return self.texts if self.keys else (place_of(self.trigger)[0],) * len(self.texts)

    @property
    def named(self) -> str:
        """What the secret is called in texts for people."""
        return "key" if self.keys else "trigger"


def unperturbed(subject: Subject) -> list[Chat]:
    """Every prompt as the model was trained on it: with its trigger, or the key alone."""
    return with_secrets(subject, subject.secrets)


def with_secrets(subject: Subject, secrets: Sequence[str]) -> list[Chat]:
    """Every prompt with another text in its secret's place; one text per prompt, in order."""
    if subject.keys:
        return [Chat(secret) for secret in secrets]
    place = place_of(subject.trigger)[1]
    return [
        Chat(with_trigger(text, placed(secret, place)))
        for text, secret in zip(subject.texts, secrets, strict=True)
    ]
