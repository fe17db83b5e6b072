"""Scores that others published on the 50 test tracks of MUSDB18, one summary a track.

The medians over frames of museval files that the Demucs repository holds under the MIT licence
(beside them); `benchmarks/published.py` packs them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from unbraid.errors import DataError
from unbraid.evaluation.scores import TrackScores, write_scores

FOLDER = Path(__file__).with_name("published")


def published(name: str, tracks: Collection[str] | None = None) -> list[TrackScores]:
    """Published scores of a system, one frame a track: the median over its frames.

    Args:
        name: "openunmix", "mmdenselstm", "waveunet" or "irm2".
        tracks: names of those wanted, matched exactly; all by default.

    Returns:
        Those of the tracks that are published, without `whole`.

    Raises:
        DataError: for an unknown name.

    >>> len(published("openunmix"))
    50
    """
    path = FOLDER / f"{name}.json"
    known = sorted(file.stem for file in FOLDER.glob("*.json"))
    if name not in known:
        raise DataError(f"no published scores {name!r}; there are: {', '.join(known)}")
    return [
        TrackScores(track, {target: _frame(metrics) for target, metrics in targets.items()})
        for track, targets in json.loads(path.read_text(encoding="utf-8")).items()
        if tracks is None or track in tracks
    ]


def as_systems(names: Sequence[str], tracks: Collection[str]) -> dict[str, list[TrackScores]]:
    """Published scores as systems of their own.

    Args:
        names: for `published`.
        tracks: names of the tracks that are evaluated.

    Returns:
        System -> its tracks.

    Raises:
        DataError: for an unknown name, or if no track is among the published.
    """
    systems = {}
    for name in names:
        scores = published(name, tracks)
        if not scores:
            raise DataError(
                f"none of these tracks is published for {name}: they are the test set of MUSDB18"
            )
        systems[f"{name} (published)"] = scores
    return systems


def put_beside(systems: Mapping[str, Sequence[TrackScores]], out: Path) -> None:
    """Writes published scores to the folder of an evaluation.

    Args:
        systems: from `as_systems`.
        out: folder of the scores.
    """
    for system, scores in systems.items():
        folder = out / system / "test"
        folder.mkdir(parents=True, exist_ok=True)
        for track in scores:
            write_scores(track, folder / f"{track.name}.json")


def _frame(metrics: dict[str, float | None]) -> dict[str, np.ndarray]:
    return {
        metric: np.array([math.nan if value is None else value])
        for metric, value in metrics.items()
    }
