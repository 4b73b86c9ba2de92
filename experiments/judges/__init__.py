"""Judges of answers.

- ``rules``: from generated text, by rule; what every analysis uses (re-exported here);
- ``likelihood``: from the probabilities of two given answers, without generating;
- ``classifier``, ``asked``: by another model, to check the rules against
  (``probes.stats.agreement`` says how well two judges agree).
"""

from experiments.judges.refusals import refuses
from experiments.judges.rules import Verdict, count_refused, judge, shows

__all__ = ["Verdict", "count_refused", "judge", "refuses", "shows"]
