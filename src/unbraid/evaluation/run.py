"""Systems on songs: checks all first, scores what is not scored yet, and goes on after an error.

Below the output folder, `SYSTEM/test/TRACK.json` holds the scores and `SYSTEM/excerpts/TRACK/` a
few seconds to listen to; `reference/` holds the true stems of those seconds.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.data.tracks import Track, check_headers, find_tracks, load_track
from unbraid.errors import DataError, UnbraidError, describe
from unbraid.evaluation.excerpts import loudest_seconds, save_excerpts
from unbraid.evaluation.metrics import frame_sdr
from unbraid.evaluation.scores import TrackScores, read_scores, score_track, write_scores
from unbraid.evaluation.systems import PAIR, Stems, System, stamp_of, sum_of
from unbraid.folders import check_folder

REFERENCE = "reference"  # folder of the true stems' excerpts
_VERSION = 3  # of the scoring: raised when the same audio would get other scores or notes


@dataclass(frozen=True)
class Result:
    """What became of a track under a system.

    Attributes:
        track: name of the track.
        system: name of the system.
        scores: None if it failed.
        kept: the scores were there already.
        elapsed: seconds that it took.
        error: why it failed: one line, or the traceback of an error that is not the user's.
    """

    track: str
    system: str
    scores: TrackScores | None
    kept: bool = False
    elapsed: float = 0.0
    error: str | None = None


@dataclass(frozen=True)
class _Job:
    """One track under the systems that have no valid scores of it; its stems are decoded once."""

    track: Track
    systems: tuple[System, ...]
    out: Path
    device: str


def select_tracks(root: Path, names: Sequence[str] = (), split: str | None = None) -> list[Track]:
    """Songs below a folder, those of them in a split, or those that are named.

    Raises:
        DataError: if there is no song, none in the split, or none of a name.
    """
    if not root.exists():
        raise DataError(f"{root}: no such folder; check the path")
    tracks = find_tracks(root, split)
    known = [track.name for track in tracks]
    for name in names:
        if name not in known:
            raise DataError(f"{root}: no track {name!r}; there are: {', '.join(known)}")
    return [track for track in tracks if not names or track.name in names]


def evaluate(
    tracks: Sequence[Track],
    systems: Sequence[System],
    out: Path,
    jobs: int = 1,
    device: str = "auto",
    on_result: Callable[[Result], object] = lambda result: None,
) -> dict[str, list[TrackScores]]:
    """Scores of systems on tracks; those in `out` that are still valid are kept.

    Scores are valid until the model, the oracle, the estimates' or the stems' files (size and time
    of modification) or the rules of scoring change. A track that fails does not stop the rest.

    Args:
        tracks: from `find_tracks`.
        systems: from `make_systems`.
        out: folder of the scores.
        jobs: number of processes, which share the processor's cores.
        device: where BSS Eval computes.
        on_result: gets each result as soon as it is there.

    Returns:
        System -> scores of the tracks that did not fail, sorted by name.

    Raises:
        DataError: before anything is computed, for tracks or estimates that cannot be scored.
        AudioError: before as well, if `out` cannot be written to.
    """
    check(tracks, systems)
    check_folder(out)
    scores: dict[str, list[TrackScores]] = {system.name: [] for system in systems}

    def finish(result: Result) -> None:
        if result.scores:
            scores[result.system].append(result.scores)
        on_result(result)

    work = []
    for track in tracks:
        pending = []
        for system in systems:
            kept = _kept(track, system, out)
            if kept:
                finish(Result(track.name, system.name, kept, kept=True))
            else:
                pending.append(system)
        if pending:
            work.append(_Job(track, tuple(pending), out, _scoring_device(device)))
    for result in _in_processes(work, jobs) if jobs > 1 else _one_by_one(work):
        finish(result)
    return {name: sorted(found, key=lambda one: one.name) for name, found in scores.items()}


def check(tracks: Sequence[Track], systems: Sequence[System]) -> None:
    """Reads the headers of all files.

    Raises:
        DataError: for tracks of one name, stems that do not belong together, or estimates that
            are missing or of another rate, length or number of channels.
    """
    if REFERENCE in [system.name for system in systems]:
        raise DataError(f"a system cannot be named {REFERENCE!r}: rename its file or folder")
    problems: list[str] = []
    named: dict[str, Track] = {}
    for track in tracks:
        first = named.setdefault(track.name, track)
        if first is not track:
            problems.append(
                f"two tracks are named {track.name!r}: {first.place} and {track.place}; rename one"
            )
        try:
            _check_stems(track)
            for system in systems:
                system.targets(track)
        except (UnbraidError, OSError) as error:
            problems.append(describe(error))
    if problems:
        rest = len(problems) - 1
        more = f" (and {rest} more problem{'s' * (rest > 1)})" if rest else ""
        raise DataError(f"{problems[0]}{more}")


def _check_stems(track: Track) -> None:
    found = check_headers(track, ["vocals"], "accompaniment")
    channels = {min(info.channels, 2) for info in found}
    if len(channels) > 1:
        raise DataError(
            f"{track.name}: stems differ in number of channels: {sorted(channels)}; "
            "make all of them mono or stereo"
        )


def _kept(track: Track, system: System, out: Path) -> TrackScores | None:
    try:
        scores = read_scores(_file(track, system, out))
    except DataError:
        return None
    return scores if scores.about.get("stamp") == _stamp(track, system) else None


def _stamp(track: Track, system: System) -> dict[str, Any]:
    stems = {stem: stamp_of(source.path) for stem, source in sorted(track.stems.items())}
    return {"scoring": _VERSION, "stems": stems, **system.stamp(track)}


def _file(track: Track, system: System, out: Path) -> Path:
    return out / system.name / "test" / f"{track.name}.json"  # where museval looks for it


def _one_by_one(work: Sequence[_Job]) -> Iterator[Result]:
    for job in work:
        yield from _score(job)


def _in_processes(work: Sequence[_Job], jobs: int) -> Iterator[Result]:
    import torch

    context = multiprocessing.get_context("spawn")  # a fork of torch's threads can hang
    threads = max(1, torch.get_num_threads() // jobs)
    pool = ProcessPoolExecutor(
        min(jobs, len(work) or 1), context, torch.set_num_threads, (threads,)
    )
    try:
        futures = {pool.submit(_score_all, job): job for job in work}
        for future in as_completed(futures):
            try:
                yield from future.result()
            except BrokenProcessPool:
                job = futures[future]
                error = "a worker process died, perhaps for want of memory: try fewer jobs"
                for system in job.systems:
                    yield Result(job.track.name, system.name, None, error=error)
    except BaseException:  # interrupted: score files appear whole or not at all
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _score_all(job: _Job) -> list[Result]:
    return list(_score(job))


def _score(job: _Job) -> Iterator[Result]:
    """Results of a track, one system after the other."""
    try:
        rate = job.track.stems["vocals"].probe().sample_rate
        stems = load_track(job.track, ["vocals"], "accompaniment", rate)
        start = loudest_seconds(stems, rate)
        folder = job.out / REFERENCE / "excerpts" / job.track.name
        save_excerpts(folder, {"mixture": sum_of(stems), **stems}, start, rate)
    except Exception as error:
        for system in job.systems:
            yield Result(job.track.name, system.name, None, error=_described(error))
        return
    for system in job.systems:
        begun = time.perf_counter()
        try:
            estimates = system.estimate(job.track, stems, rate)
            scores = _scores(job, system, stems, estimates, rate)
            folder = job.out / system.name / "excerpts" / job.track.name
            save_excerpts(folder, {target: estimates[target] for target in PAIR}, start, rate)
            path = _file(job.track, system, job.out)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_scores(scores, path)
            elapsed = time.perf_counter() - begun
            yield Result(job.track.name, system.name, read_scores(path), elapsed=elapsed)
        except Exception as error:
            yield Result(job.track.name, system.name, None, error=_described(error))


def _scores(job: _Job, system: System, stems: Stems, estimates: Stems, rate: int) -> TrackScores:
    references = dict(stems)
    for target in estimates.keys() - stems.keys():
        audio = job.track.stems[target].load()
        references[target] = audio[:, : stems["vocals"].shape[1]]
    scores = score_track(job.track.name, references, estimates, rate, job.device)
    lossy = any(source.lossy for source in job.track.stems.values())
    notes = _notes(references, estimates, scores, rate)
    about = {"stamp": _stamp(job.track, system), "lossy": lossy, "notes": notes}
    return TrackScores(scores.name, scores.frames, scores.whole, about)


def _notes(references: Stems, estimates: Stems, scores: TrackScores, rate: int) -> list[str]:
    """Why scores are NaN, or what to think of them."""
    notes = []
    for target, estimate in estimates.items():
        if not references[target].any():
            notes.append(f"{target}: the reference is silent, so no score exists")
        elif not estimate.any():
            notes.append(f"{target}: the estimate is silent, so only uSDR exists")
        elif np.isposinf(scores.frames[target]["SDR"]).all():
            notes.append(f"{target}: the estimate is the true stem itself, so no SDR exists")
    left_out = np.isnan(scores.frames["vocals"]["SDR"])
    silent = any(not audio[target].any() for audio in (references, estimates) for target in PAIR)
    if left_out.any() and not silent:
        true = np.stack([references[target] for target in PAIR])
        missed = left_out & ~np.isnan(frame_sdr(true, true, rate)).any(0)
        for seconds, why in (
            (left_out & ~missed, "a true stem is silent there, or its channels cancel"),
            (missed, "an estimate is silent, where no true stem is: that flatters the system"),
        ):
            if seconds.any():
                notes.append(f"{seconds.sum()} of {seconds.size} seconds left out: {why}")
    return notes


def _scoring_device(device: str) -> str:
    import torch

    usable = torch.cuda.is_available() and device in ("auto", "cuda")
    return "cuda" if usable else "cpu"  # MPS has no float64


def _described(error: Exception) -> str:
    if isinstance(error, (UnbraidError, OSError)):
        return describe(error)
    return "".join(traceback.format_exception(error)).rstrip()
