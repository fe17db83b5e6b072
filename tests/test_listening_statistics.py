"""Means, intervals and who is left out, of a listening test's ratings."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unbraid.listening.ratings import Rating
from unbraid.listening.statistics import means, misses, screened

pytest.importorskip("scipy")


def ratings_of(listener: str, **given: list[int]) -> list[Rating]:
    """Quality of vocals, a rating a song."""
    return [
        Rating(listener, listener, song, f"Song {song}", "vocals", "quality", 1, name, value, "t")
        for name, values in given.items()
        for song, value in enumerate(values)
    ]


def test_means_are_over_listeners_with_student_intervals():
    ratings = [
        *ratings_of("a", alpha=[60, 70]),  # 65
        *ratings_of("b", alpha=[80, 90]),  # 85
        *ratings_of("c", alpha=[72]),  # a song less counts no less
    ]

    mean = means(ratings)["vocals", "quality", "alpha"]

    assert dict(mean.listeners) == {"a": 65, "b": 85, "c": 72}
    assert mean.value == pytest.approx(74)
    # standard deviation sqrt((81 + 121 + 4) / 2), t(0.975, 2) = 4.302653
    reach = 4.302653 * math.sqrt(103) / math.sqrt(3)
    assert (mean.low, mean.high) == pytest.approx((74 - reach, 74 + reach), abs=1e-4)


def test_a_song_that_was_rated_twice_counts_once():
    """A session is begun anew when the server was, by the same listener."""
    ratings = [*ratings_of("a", alpha=[60]), *ratings_of("a", alpha=[80, 10])]

    assert means(ratings)["vocals", "quality", "alpha"].value == (70 + 10) / 2


def test_intervals_are_those_of_scipy():
    from scipy import stats

    values = [int(v) for v in np.random.default_rng(0).integers(0, 101, 12)]
    ratings = [r for n, v in enumerate(values) for r in ratings_of(str(n), alpha=[v])]

    mean = means(ratings)["vocals", "quality", "alpha"]

    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean.low, mean.high) == pytest.approx((expected.low, expected.high))


def test_one_listener_has_no_interval():
    mean = means(ratings_of("a", alpha=[60, 70]))["vocals", "quality", "alpha"]

    assert mean.value == 65
    assert math.isnan(mean.low)


def test_who_does_not_hear_the_reference_on_more_than_15_percent_of_pages_is_left_out():
    ratings = [
        *ratings_of("keen", reference=[90] * 17 + [89] * 3, alpha=[50]),  # 15 %
        *ratings_of("deaf", reference=[100] * 16 + [89] * 4, alpha=[90]),  # 20 %
    ]

    assert misses(ratings) == {"keen": (3, 20), "deaf": (4, 20)}
    assert {rating.listener for rating in screened(ratings)} == {"keen"}
