"""Scores of whole tracks: computed, kept as museval-compatible JSON, and aggregated."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unbraid.errors import DataError
from unbraid.evaluation.bsseval import FILTERED, METRICS, bsseval_v4
from unbraid.evaluation.metrics import Audio, median, si_sdr, usdr
from unbraid.replacing import replacing

UNSHOWN = "SIR, ISR and SAR mean nothing, and are not shown"  # of lossy-coded references
_SCHEMA = "0.4.1"  # the museval whose files these are like
_WHOLE: dict[str, Callable[[Audio, Audio], float]] = {"SI-SDR": si_sdr, "uSDR": usdr}


@dataclass(frozen=True)
class TrackScores:
    """Scores of one track.

    Attributes:
        name: of the track.
        frames: target -> metric ("SDR", "ISR", "SIR", "SAR") -> dB of every second, `[frames]`.
        whole: target -> metric ("SI-SDR", joint over channels, and "uSDR") -> dB of the track.
        about: how the scores came about, as JSON; museval's readers ignore it, as `whole`. With
            "lossy", the references were lossy-coded.
    """

    name: str
    frames: Mapping[str, Mapping[str, NDArray[np.float64]]]
    whole: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, dict[str, float]]:
        """Target -> metric -> dB of the track: the median over its frames that are not NaN.

        Of lossy-coded references without ISR, SIR and SAR, which mean nothing there.
        """
        left_out = FILTERED if self.about.get("lossy") else ()
        targets = {
            target: {
                name: median(frames) for name, frames in metrics.items() if name not in left_out
            }
            for target, metrics in self.frames.items()
        }
        for target, metrics in self.whole.items():
            targets.setdefault(target, {}).update(metrics)
        return targets


def score_track(
    name: str,
    references: Mapping[str, Audio],
    estimates: Mapping[str, Audio],
    sample_rate: int = 44100,
    device: str | torch.device = "cpu",
) -> TrackScores:
    """Scores of all targets of a track, in the scenarios of museval.

    Vocals and accompaniment, if both are estimated, are scored against each other; all targets
    but the accompaniment make a scenario of their own, from which the vocals are then left out.

    Args:
        name: of the track.
        references: target -> true stem, `[channels, samples]`; those without estimate are unused.
        estimates: target -> separated stem, `[channels, samples]`.
        sample_rate: in Hz; a frame is one second.
        device: where BSS Eval computes.

    Returns:
        Frame scores and whole-track scores of every estimate.

    Raises:
        DataError: if an estimate has no reference or another shape, or there are fewer than two.
    """
    missing = sorted(set(estimates) - set(references))
    if missing or len(estimates) < 2:
        raise DataError(
            f'track "{name}": no reference for {", ".join(missing)}'
            if missing
            else f'track "{name}": BSS Eval needs the estimates of at least two targets'
        )
    frames: dict[str, dict[str, NDArray[np.float64]]] = {}
    for scenario in _scenarios(list(estimates)):
        scores = bsseval_v4(
            _stack(name, references, scenario),
            _stack(name, estimates, scenario),
            sample_rate,
            device,
        )
        for row, target in enumerate(scenario):
            frames[target] = {metric: scores[metric][row] for metric in METRICS}
    whole = {
        target: {metric: score(references[target], audio) for metric, score in _WHOLE.items()}
        for target, audio in estimates.items()
    }
    return TrackScores(name, frames, whole)


def write_scores(scores: TrackScores, path: str | Path) -> None:
    """Writes a track's scores as JSON that museval reads: 5 decimals, infinite values as NaN.

    What museval does not know stands beside its keys, under "whole" and "about". The file appears
    whole or not at all.

    Args:
        scores: of one track.
        path: of the file, by custom `DIR/test/TRACK.json`.
    """
    targets = [
        {"name": target, "frames": [_frame(second, metrics) for second in range(_length(metrics))]}
        for target, metrics in scores.frames.items()
    ]
    whole = {
        target: {metric: _rounded(value) for metric, value in metrics.items()}
        for target, metrics in scores.whole.items()
    }
    document = {"targets": targets, "museval_version": _SCHEMA, "whole": whole}
    if scores.about:
        document["about"] = scores.about
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_scores(path: str | Path) -> TrackScores:
    """Scores of one track from a JSON file of museval or `write_scores`, gzipped or not.

    Args:
        path: `TRACK.json` or `TRACK.json.gz`; the track is named by it.

    Returns:
        The track's scores, without `whole` where the file has none.

    Raises:
        DataError: if the file is not such JSON.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        document = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
        frames = {
            target["name"]: {
                metric: np.array([frame["metrics"][metric] for frame in target["frames"]], float)
                for metric in METRICS
            }
            for target in document["targets"]
        }
        whole, about = document.get("whole", {}), document.get("about", {})
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a museval score file ({error})") from error
    return TrackScores(path.name.removesuffix(".gz").removesuffix(".json"), frames, whole, about)


def read_folder(folder: str | Path) -> list[TrackScores]:
    """Scores of all tracks below a folder, sorted by name.

    Args:
        folder: holds `**/*.json` or `**/*.json.gz`.

    Raises:
        DataError: if there are none, or one is not a score file.
    """
    paths = [path for kind in ("json", "json.gz") for path in Path(folder).rglob(f"*.{kind}")]
    if not paths:
        raise DataError(f"{folder}: no score files (*.json or *.json.gz)")
    return sorted((read_scores(path) for path in paths), key=lambda scores: scores.name)


@dataclass(frozen=True)
class Aggregate:
    """One metric of one target over tracks.

    Attributes:
        median: over tracks, the figure that tables of MUSDB18 give, in dB.
        mean: over tracks, in dB.
        tracks: how many entered; those with no score but NaN are left out.
    """

    median: float
    mean: float
    tracks: int


def aggregate(tracks: Iterable[TrackScores]) -> dict[str, dict[str, Aggregate]]:
    """Target -> metric -> median and mean over tracks of each track's score.

    A track's score is the median over its frames that are not NaN, as in museval, or the
    whole-track score. Medians and means never compare across different sets of tracks.

    Args:
        tracks: scores of each track once.
    """
    collected: dict[str, dict[str, list[float]]] = {}
    for track in tracks:
        for target, metrics in track.summary().items():
            for metric, value in metrics.items():
                collected.setdefault(target, {}).setdefault(metric, []).append(value)
    return {
        target: {metric: _aggregate(values) for metric, values in metrics.items()}
        for target, metrics in collected.items()
    }


def _scenarios(targets: list[str]) -> list[list[str]]:
    pair = ["vocals", "accompaniment"]
    if not set(pair) <= set(targets):
        return [targets]
    others = [target for target in targets if target != "accompaniment"]
    return [others, pair] if len(others) > 1 else [pair]  # the pair's vocals replace the others'


def _stack(name: str, audio: Mapping[str, Audio], targets: list[str]) -> torch.Tensor:
    stems = [torch.as_tensor(audio[target]) for target in targets]
    if len({stem.shape for stem in stems}) > 1:
        raise DataError(
            f'track "{name}": {", ".join(targets)} differ in shape; give them all as '
            "[channels, samples] of one length"
        )
    return torch.stack(stems)


def _length(metrics: Mapping[str, NDArray[np.float64]]) -> int:
    return len(metrics[METRICS[0]])


def _frame(second: int, metrics: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    values = {metric: _rounded(metrics[metric][second]) for metric in METRICS}
    return {"time": float(second), "duration": 1.0, "metrics": values}


def _rounded(value: float) -> float:
    return round(float(value), 5) if math.isfinite(value) else math.nan


def _aggregate(values: list[float]) -> Aggregate:
    finite = np.array([value for value in values if not math.isnan(value)])
    if not finite.size:
        return Aggregate(math.nan, math.nan, 0)
    return Aggregate(float(np.median(finite)), float(finite.mean()), len(finite))
