"""Scores of separated stems: BSS Eval v4, SI-SDR, uSDR, oracles, and their JSON files."""

from __future__ import annotations

from unbraid.evaluation.bsseval import bsseval_v4
from unbraid.evaluation.metrics import below, frame_sdr, sdr, si_sdr, usdr
from unbraid.evaluation.oracle import ideal_ratio_mask, multichannel_wiener
from unbraid.evaluation.scores import (
    Aggregate,
    TrackScores,
    aggregate,
    read_folder,
    read_scores,
    score_track,
    write_scores,
)

__all__ = [
    "Aggregate",
    "TrackScores",
    "aggregate",
    "below",
    "bsseval_v4",
    "frame_sdr",
    "ideal_ratio_mask",
    "multichannel_wiener",
    "read_folder",
    "read_scores",
    "score_track",
    "sdr",
    "si_sdr",
    "usdr",
    "write_scores",
]
