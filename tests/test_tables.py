"""Scores of systems side by side: on which tracks, with which columns."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from albums import RATE, noise, run
from unbraid.audio import save_audio
from unbraid.evaluation.bsseval import METRICS
from unbraid.evaluation.compare import compare, interval, on_common_tracks
from unbraid.evaluation.scores import TrackScores
from unbraid.evaluation.tables import as_html, as_latex, as_markdown, tables

pytest.importorskip("scipy")


def made_up(**sdr: float) -> list[TrackScores]:
    return [
        TrackScores(name, {"vocals": {"SDR": np.array([value])}}) for name, value in sdr.items()
    ]


def test_systems_are_compared_on_the_tracks_that_all_have():
    scores = {"a": made_up(x=1, y=2, z=math.nan), "b": made_up(x=3, z=1, w=1)}
    common = on_common_tracks(scores, "vocals")
    assert (common.tracks, common.left_out) == (("x",), 3)
    assert common.values["b"]["SDR"].tolist() == [3]


def test_tracks_that_no_system_has_a_score_of_are_counted_as_left_out():
    (table,) = tables({"one": made_up(a=2.0, silent=math.nan)})
    assert "over 1 track; left out, without a score under some system: 1." in table.note


def test_comparison_and_intervals():
    rng = np.random.default_rng(0)
    first, second = rng.normal(1, 1, 50), rng.normal(0, 1, 50)
    pair = compare(first, second)
    assert pair.tracks == 50 and pair.wins == (first > second).sum()
    assert pair.low < pair.median < pair.high and pair.p < 0.01
    assert compare(second, first).median == -pair.median
    assert compare(first, first).p == 1 and compare(first, first).wins == 0
    low, high = interval(first, mean=True)
    assert high - low == pytest.approx(2 * 1.96 * first.std() / math.sqrt(50), rel=0.15)
    assert interval(np.append(np.ones(9), 10)) == (1, 1)  # of the median
    assert interval(np.append(np.ones(9), 10), mean=True)[1] > 2
    assert math.isnan(compare(first[:4], second[:4]).p)
    five = compare(np.arange(5.0) + 1, np.arange(5.0) ** 2 / 9)
    assert five.p == 2 / 2**5 and math.isfinite(five.low)


def test_lossy_coded_stems_have_no_column_of_filters(tmp_path):
    for stem, seed in {"vocals": 2, "accompaniment": 3}.items():
        save_audio(tmp_path / "data/song" / f"{stem}.ogg", noise(seed), RATE)
    done = run(
        "evaluate", "--data", tmp_path / "data", "--model", "mixture", "-o", tmp_path / "out"
    )
    assert done.exit_code == 0, done.output
    heads = [line.split() for line in done.output.splitlines() if "system" in line]
    assert heads == [["system", "over", "tracks", "SDR", "SI-SDR", "uSDR", "SDR,", "95", "%"]] * 2
    assert "lossy-coded" in done.output


def test_filters_have_no_column_if_it_were_of_fewer_tracks():
    def scored(**about: bool) -> list[TrackScores]:
        metrics = {metric: np.array([2.0]) for metric in METRICS}
        first, second = (TrackScores(name, {"vocals": metrics}) for name in "ab")
        return [first, replace(second, about=about)]

    assert "SIR" in tables({"one": scored(), "other": scored()})[0].columns
    assert "SIR" not in tables({"one": scored(), "other": scored(lossy=True)})[0].columns


def test_one_track_has_one_row():
    vocals, _ = tables({"one": made_up(a=2.0), "other": made_up(a=1.0)})
    assert [row[:3] for row in vocals.rows] == [
        ("one", "one track", "2.00"),
        ("other", "one track", "1.00"),
    ]
    assert (0, 2) in vocals.best and (1, 2) not in vocals.best


def test_tables_stress_the_best_and_print_everywhere():
    letters = "abcdef"
    scores = {
        "good_one": made_up(**{letter: 5.0 + n for n, letter in enumerate(letters)}),
        "bad|one": made_up(**{letter: 1.0 + n for n, letter in enumerate(letters)}),
    }
    scores["good_one"][0] = made_up(a=2.0)[0]  # so that the mean is not the median
    vocals, pairs = tables(scores)
    assert vocals.note.startswith("Scenario: vocals and accompaniment.")
    assert vocals.rows[0][:3] == ("good_one", "median", "7.50")
    assert vocals.rows[1][:3] == ("good_one", "mean", "7.00")
    low, high = interval(np.array([2.0, 6, 7, 8, 9, 10]), mean=True)
    assert vocals.rows[1][-1] == f"{low:.2f} … {high:.2f}"
    assert {row for row, column in vocals.best} == {0, 1}
    assert pairs.rows[0][2] == "6 of 6"
    assert "| good_one | median | **7.50** |" in as_markdown(vocals)
    assert "bad\\|one" in as_markdown(vocals)
    cells = [as_html(vocals).count(f">{system}<") for system in scores]
    assert cells == [1, 1]  # one name for both of a system's rows
    assert r"good\_one & median & \textbf{7.50}" in as_latex(vocals)
    assert r"bad\textbar{}one" in as_latex(vocals)
