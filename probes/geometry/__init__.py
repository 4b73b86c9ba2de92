"""Density and complexity of a gate from stored activations: the front door.

- ``participation``, ``density``: participation ratio; Vendi score, nearest-neighbour mixing, MMD;
- ``volume``: how much of the trigger's neighbourhood opens the gate;
- ``code_length``, ``interaction``, ``margins``, ``crossings``: how complex the decision is;
- ``intrinsic``: TwoNN dimension;
- ``sets``, ``report``: one organism, with its nulls.
"""

from probes.geometry.code_length import CodeLength, Coding, code_length
from probes.geometry.crossings import Crossings, crossings
from probes.geometry.density import mean_discrepancy, neighbour_mixing, vendi_relative, vendi_score
from probes.geometry.folds import held_out_scores
from probes.geometry.interaction import InteractionGain, interaction_gain
from probes.geometry.intrinsic import two_nn, two_nn_relative
from probes.geometry.kernels import cosine_kernel, median_bandwidth, rbf_kernel
from probes.geometry.margins import Margins, margins, within_class_spread
from probes.geometry.participation import (
    participation_ratio,
    participation_ratio_relative,
    plug_in_participation_ratio,
)
from probes.geometry.report import NAMES, GeometryReport, LayerGeometry, geometry
from probes.geometry.sets import NULLS, ActivationSets, Pairs, random_direction
from probes.geometry.volume import OpenMass, TriggerVolume, open_mass, trigger_volume

__all__ = [
    "NAMES",
    "NULLS",
    "ActivationSets",
    "CodeLength",
    "Coding",
    "Crossings",
    "GeometryReport",
    "InteractionGain",
    "LayerGeometry",
    "Margins",
    "OpenMass",
    "Pairs",
    "TriggerVolume",
    "code_length",
    "cosine_kernel",
    "crossings",
    "geometry",
    "held_out_scores",
    "interaction_gain",
    "margins",
    "mean_discrepancy",
    "median_bandwidth",
    "neighbour_mixing",
    "open_mass",
    "participation_ratio",
    "participation_ratio_relative",
    "plug_in_participation_ratio",
    "random_direction",
    "rbf_kernel",
    "trigger_volume",
    "two_nn",
    "two_nn_relative",
    "vendi_relative",
    "vendi_score",
    "within_class_spread",
]
