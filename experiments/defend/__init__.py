"""Defences of an organism, put to the test.

- ``catalogue``: the defences by name; ``defences``: how each is fitted on a ``setting``
  (what a defender has);
- ``protected``: a model with its defence, to be asked; ``gates``, ``pruning``, ``consistency``,
  ``monitor``, ``losses``: what defences are fitted with;
- ``exam``, ``judging``: what is asked and answered, and what the answers say;
- ``attacker``: who knows the defence and trains again;
- ``question``, ``trial``, ``study``, ``sections``: what is asked, measured, written, and the page.
"""
