"""What listeners as a group think, without those who did not hear the reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unbraid.listening.ratings import REFERENCE, Rating

LOW = 90  # a hidden reference rated below this was not recognised
TOLERATED = 0.15  # of the pages


@dataclass(frozen=True)
class Mean:
    """What listeners think of one system.

    Attributes:
        listeners: each one's mean over songs, by name.
        value: mean over listeners.
        low: lower end of its 95 % interval; NaN for a single listener.
        high: upper end.
    """

    listeners: Mapping[str, float]
    value: float
    low: float
    high: float


def misses(ratings: Iterable[Rating]) -> dict[str, tuple[int, int]]:
    """How often each listener rated the hidden reference below 90, and how often at all."""
    found: dict[str, tuple[int, int]] = {}
    for rating in ratings:
        if rating.system == REFERENCE:
            low, pages = found.get(rating.listener, (0, 0))
            found[rating.listener] = (low + (rating.rating < LOW), pages + 1)
    return found


def screened(ratings: Sequence[Rating]) -> list[Rating]:
    """Ratings of those who recognise the hidden reference.

    A listener is left out who rates it below 90 on more than 15 % of the pages: post-screening of
    Recommendation ITU-R BS.1534-3.
    """
    found = misses(ratings)
    return [
        rating
        for rating in ratings
        if (counts := found.get(rating.listener)) and counts[0] <= TOLERATED * counts[1]
    ]


def means(ratings: Iterable[Rating]) -> dict[tuple[str, str, str], Mean]:
    """Means over listeners of each one's mean over songs, with Student t intervals of 95 %.

    A song that a listener rated in several sessions counts once, by the mean.

    Args:
        ratings: screened.

    Returns:
        (stem, scale, system) -> mean.
    """
    given: dict[tuple[str, str, str], dict[str, dict[str, list[int]]]] = {}
    for rating in ratings:
        key = (rating.stem, rating.scale, rating.system)
        songs = given.setdefault(key, {}).setdefault(rating.listener, {})
        songs.setdefault(rating.excerpt, []).append(rating.rating)
    return {
        key: _mean({listener: _over_songs(songs) for listener, songs in listeners.items()})
        for key, listeners in given.items()
    }


def _over_songs(songs: Mapping[str, Sequence[int]]) -> float:
    return float(np.mean([np.mean(values) for values in songs.values()]))


def _mean(listeners: dict[str, float]) -> Mean:
    from scipy.stats import t

    values = np.array([*listeners.values()])
    value, count = float(values.mean()), len(values)
    reach = math.nan
    if count > 1:
        reach = float(t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count))
    return Mean(listeners, value, value - reach, value + reach)
