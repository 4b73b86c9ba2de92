"""Defences of an organism, put to the test.

- ``kinds``, ``tuned``: the defences as declarations, fitted on a ``bench`` (what a defender has);
- ``protected``: a model with its defence, to be asked; ``gates``, ``pruning``, ``consistency``,
  ``watching``, ``losses``: what defences are fitted with;
- ``families``, ``measuring``, ``judging``: what is asked, and what the answers say;
- ``attacker``: who knows the defence and trains again;
- ``question``, ``trial``, ``run``, ``page``: what is asked, measured, written, and the report.
"""
