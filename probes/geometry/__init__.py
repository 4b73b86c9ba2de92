"""Density and complexity of a gate from stored activations.

- ``density``: Vendi score, nearest-neighbour mixing, MMD;
- ``dimension``: participation ratio, TwoNN;
- ``code_length``, ``interaction``, ``margins``, ``crossings``: how complex the decision is;
- ``spread``: how their intervals are made;
- ``sets``, ``report``: one organism, with its nulls.
"""
