"""Density and complexity of a gate from stored activations.

- ``participation``, ``density``: participation ratio; Vendi score, nearest-neighbour mixing, MMD;
- ``code_length``, ``interaction``, ``margins``, ``crossings``: how complex the decision is;
- ``intrinsic``: TwoNN dimension;
- ``spread``: how their intervals are made;
- ``sets``, ``report``: one organism, with its nulls.
"""
