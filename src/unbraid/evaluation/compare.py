"""Systems side by side on the same tracks, so that nobody compares noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unbraid.evaluation.scores import TrackScores

FEWEST = 5  # tracks that an interval needs
ENDLESS = 100.0  # dB: no error but that of rounding, as the SAR of a mixture, which adds nothing
_RESAMPLES = 9999

Scores = Mapping[str, Sequence[TrackScores]]


@dataclass(frozen=True)
class Common:
    """One target's scores of several systems, on the tracks that all of them have.

    Attributes:
        tracks: names, sorted; those with a finite SDR under every system.
        values: system -> metric -> dB of each track, `[tracks]`, NaN where there is none.
        left_out: number of the other tracks that any system has with this target.
    """

    tracks: tuple[str, ...]
    values: dict[str, dict[str, NDArray[np.float64]]]
    left_out: int


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same tracks.

    Attributes:
        wins: tracks on which the first is better.
        tracks: of both.
        median: of the differences, in dB.
        low: lower end of its bootstrap 95 % interval; NaN for fewer than `FEWEST` tracks.
        high: upper end.
        p: of the two-sided Wilcoxon signed-rank test; NaN for fewer than `FEWEST` tracks.
    """

    wins: int
    tracks: int
    median: float
    low: float
    high: float
    p: float


def on_common_tracks(scores: Scores, target: str) -> Common:
    """Puts systems on the same tracks: scores never compare across different sets of tracks.

    Systems that have no score of the target at all are left out.

    Args:
        scores: system -> its tracks.
        target: such as "vocals".
    """
    found = {
        system: {
            track.name: summary[target]
            for track in tracks
            if target in (summary := track.summary())
        }
        for system, tracks in scores.items()
    }
    everything = {name for tracks in found.values() for name in tracks}
    summaries = {
        system: {name: of for name, of in tracks.items() if math.isfinite(of.get("SDR", math.nan))}
        for system, tracks in found.items()
    }
    summaries = {system: tracks for system, tracks in summaries.items() if tracks}
    names = sorted(everything.intersection(*summaries.values())) if summaries else []
    values = {
        system: {
            metric: np.array([tracks[name].get(metric, math.nan) for name in names])
            for metric in dict.fromkeys(metric for track in tracks.values() for metric in track)
        }
        for system, tracks in summaries.items()
    }
    return Common(tuple(names), values, len(everything) - len(names))


def interval(values: NDArray[np.float64], mean: bool = False) -> tuple[float, float]:
    """Bootstrap 95 % interval over tracks of the median or the mean.

    Percentile method, Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Args:
        values: one a track, `[tracks]`; NaN are left out.
        mean: of the mean, not the median.

    Returns:
        Its ends; NaN for fewer than `FEWEST` tracks.

    >>> interval(np.array([1.0, 2.0]))
    (nan, nan)
    """
    values = values[~np.isnan(values)]
    if len(values) < FEWEST:
        return math.nan, math.nan
    drawn = np.random.default_rng(0).choice(values, (_RESAMPLES, len(values)))
    low, high = np.percentile(drawn.mean(1) if mean else np.median(drawn, 1), (2.5, 97.5))
    return float(low), float(high)


def compare(first: NDArray[np.float64], second: NDArray[np.float64]) -> Comparison:
    """Pairs two systems track by track.

    Args:
        first: dB of each track, `[tracks]`.
        second: of the same tracks in the same order.

    >>> compare(np.arange(10.0) + 1, np.arange(10.0)).wins
    10
    """
    difference = first - second
    difference = difference[~np.isnan(difference)]
    low, high = interval(difference)
    return Comparison(
        wins=int((difference > 0).sum()),
        tracks=len(difference),
        median=float(np.median(difference)) if len(difference) else math.nan,
        low=low,
        high=high,
        p=_wilcoxon(difference),
    )


def _wilcoxon(difference: NDArray[np.float64]) -> float:
    from scipy.stats import wilcoxon

    if len(difference) < FEWEST:
        return math.nan
    return float(wilcoxon(difference).pvalue) if difference.any() else 1.0
