"""Which streams of a model can be asked, and by name why the others cannot.

A back-end knows what an architecture should have; the self-test of every loaded model takes out
what does not act (``circuits.backends.acting``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from circuits.errors import UserError

# In the order in which a model reaches them.
STREAMS = (
    *("resid_pre", "q", "k", "v", "pattern", "z", "attn_out"),
    *("resid_mid", "neuron", "mlp_out", "resid_post"),
)


@dataclass(frozen=True)
class Streams:
    """The streams of a model.

    Attributes:
        name: what the user called the model.
        there: streams of every layer that can be recorded and edited.
        lacks: what an architecture of this kind does not have, and why.
        absent: what was tested and does not act, and why.
    """

    name: str
    there: tuple[str, ...]
    lacks: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    def without(self, absent: Mapping[str, str]) -> "Streams":
        """The same without some more, and why."""
        there = tuple(stream for stream in self.there if stream not in absent)
        return replace(self, there=there, absent={**self.absent, **absent})

    def require(self, stream: str, of: str = "", advice: str = "") -> None:
        """Refuse a stream that is not there.

        Args:
            of: where it was asked for, such as a point.
            advice: what to do instead.

        Raises:
            UserError: says why, and which there are.
        """
        if stream in self.there:
            return
        there, more = ", ".join(self.there), f"; {advice}" if advice else ""
        if stream in self.absent:
            raise UserError(
                f"model {self.name} has no stream {stream!r} that acts ({self.absent[stream]}); "
                f"there are {there}{more}"
            )
        why = f" ({self.lacks[stream]})" if stream in self.lacks else ""
        raise UserError(f"{of or stream}: this model has no such stream; it has {there}{why}{more}")


def require_streams(runner: Any, streams: Iterable[str], advice: str = "") -> None:
    """Refuse a model that lacks a stream that is going to be needed (UserError)."""
    for stream in streams:
        streams_of(runner).require(stream, advice=advice)


def streams_of(runner: Any) -> Streams:
    """The streams of a runner; all, of one that does not tell."""
    return getattr(runner, "streams", None) or Streams("in memory", STREAMS)
