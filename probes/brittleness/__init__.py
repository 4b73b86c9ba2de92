"""Brittleness predicted from geometry, tested on whole schemes held out.

- ``table``: rows of features, a target, an organism and a scheme;
- ``learners``, ``nested``: ridge and logistic fits; penalties and scales chosen without the
  held-out scheme;
- ``figures``, ``shuffles``: how good the predictions are, and what nothing would give;
- ``compare``, ``scoring``, ``records``: features against baselines, with intervals
  and nulls;
- ``predictor``: the fit on everything, for organisms that come later.
"""
