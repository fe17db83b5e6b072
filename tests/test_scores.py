from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unbraid.errors import DataError
from unbraid.evaluation import (
    TrackScores,
    aggregate,
    bsseval_v4,
    read_folder,
    read_scores,
    score_track,
    write_scores,
)

RATE = 2000
PUBLISHED = Path(__file__).parents[2] / "shared/data/published-scores"
published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="no published scores in ../shared")


def frames(*values: float) -> dict[str, np.ndarray]:
    return {metric: np.array(values) for metric in ("SDR", "ISR", "SIR", "SAR")}


def stems(*names: str, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((1, 2 * RATE)).astype("float32") for name in names}


def test_scores_survive_the_file(tmp_path) -> None:
    scores = TrackScores(
        "A - Song", {"vocals": frames(1.23456789, math.nan, -2)}, {"vocals": {"uSDR": 3.5}}
    )
    write_scores(scores, tmp_path / "A - Song.json")
    read = read_scores(tmp_path / "A - Song.json")
    assert read.name == "A - Song" and read.whole == scores.whole
    np.testing.assert_array_equal(read.frames["vocals"]["SIR"], [1.23457, math.nan, -2])


def test_the_file_is_like_musevals(tmp_path) -> None:
    path = tmp_path / "song.json"
    write_scores(TrackScores("song", {"vocals": frames(math.inf, -math.inf, 1 / 3)}), path)
    document = json.loads(path.read_text())
    target = document["targets"][0]
    assert isinstance(document["museval_version"], str) and target["name"] == "vocals"
    assert [frame["time"] for frame in target["frames"]] == [0, 1, 2]
    assert target["frames"][2] == {
        "time": 2,
        "duration": 1,
        "metrics": dict.fromkeys(("SDR", "ISR", "SIR", "SAR"), 0.33333),
    }
    assert all(math.isnan(frame["metrics"]["SDR"]) for frame in target["frames"][:2])


def test_median_over_frames_then_median_and_mean_over_tracks(tmp_path) -> None:
    for name, values in {"a": (1, 2, 30), "b": (math.nan, 4, 6), "c": (9,)}.items():
        path = tmp_path / "test" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        write_scores(TrackScores(name, {"vocals": frames(*values)}), path)
    silent = TrackScores("silent", {"vocals": frames(math.nan, math.nan)})
    sdr = aggregate([*read_folder(tmp_path), silent])["vocals"]["SDR"]
    assert (sdr.median, sdr.mean, sdr.tracks) == (5, pytest.approx(16 / 3), 3)


def test_of_lossy_coded_references_only_what_means_something_is_summed_up(tmp_path) -> None:
    scores = TrackScores("a", {"vocals": frames(1, 2)}, {"vocals": {"uSDR": 3}}, {"lossy": True})
    write_scores(scores, tmp_path / "a.json")
    read = read_scores(tmp_path / "a.json")
    assert read.summary() == {"vocals": {"SDR": 1.5, "uSDR": 3}}
    assert read.frames["vocals"]["SIR"].tolist() == [1, 2]


def test_whole_track_scores_are_aggregated_too() -> None:
    tracks = [TrackScores(str(x), {}, {"vocals": {"SI-SDR": x}}) for x in (1.0, 2.0, 6.0)]
    assert aggregate(tracks)["vocals"]["SI-SDR"].mean == 3


@published
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("OpenUnmix", {"vocals": 6.319, "drums": 5.731, "bass": 5.234, "other": 4.020}),
        ("IRM2", {"vocals": 9.431, "accompaniment": 15.638}),
    ],
)
def test_published_scores_give_the_published_figures(model: str, expected: dict) -> None:
    table = aggregate(read_folder(PUBLISHED / model))
    for target, median in expected.items():
        assert round(table[target]["SDR"].median, 3) == median
        assert table[target]["SDR"].tracks == 50
    if model == "OpenUnmix":
        assert round(table["vocals"]["SDR"].mean, 3) == 5.138


def test_vocals_and_accompaniment_are_scored_against_each_other() -> None:
    names = ("vocals", "drums", "accompaniment")
    references, estimates = stems(*names), stems(*names, seed=1)
    scores = score_track("song", references, estimates, RATE)

    def scenario(*targets: str) -> dict[str, np.ndarray]:
        pair = ([audio[t] for t in targets] for audio in (references, estimates))
        return bsseval_v4(*(np.stack(audio) for audio in pair), RATE)

    pair, rest = scenario("vocals", "accompaniment"), scenario("vocals", "drums")
    assert set(scores.frames) == set(scores.whole) == set(names)
    np.testing.assert_array_equal(scores.frames["vocals"]["SIR"], pair["SIR"][0])
    np.testing.assert_array_equal(scores.frames["accompaniment"]["SAR"], pair["SAR"][1])
    np.testing.assert_array_equal(scores.frames["drums"]["ISR"], rest["ISR"][1])
    assert set(scores.summary()["drums"]) == {"SDR", "ISR", "SIR", "SAR", "SI-SDR", "uSDR"}


def test_what_cannot_be_scored_is_refused() -> None:
    both = stems("vocals", "accompaniment")
    with pytest.raises(DataError, match="no reference for accompaniment"):
        score_track("song", stems("vocals"), both)
    with pytest.raises(DataError, match="at least two"):
        score_track("song", both, stems("vocals"))
    with pytest.raises(DataError, match="differ in shape; give them all"):
        score_track("song", both, {**both, "vocals": both["vocals"][:, 1:]})


def test_files_that_are_no_scores_are_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="no score files"):
        read_folder(tmp_path)
    for text in ("nonsense", "[]", '{"targets": [{"name": "vocals"}]}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(DataError, match=r"bad\.json: not a museval score file"):
            read_folder(tmp_path)


def test_import_needs_neither_lightning_nor_matplotlib() -> None:
    code = "import sys, unbraid.evaluation; print({'lightning', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
