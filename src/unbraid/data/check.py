"""What is wrong with a data set, found before a training run or an evaluation finds it."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unbraid.arrays import as_stereo
from unbraid.audio import AudioReader
from unbraid.data.tracks import MIXTURE, TOLERANCE, Track, lone_stems, several_files
from unbraid.errors import AudioError

LOSSLESS_ERROR = -60.0  # dB of the mixture that stems may leave unexplained
LOSSY_ERROR = -30.0  # each stem and the mixture lose something of their own to a lossy codec
VOCALS = "vocals"  # the stem that all songs need
CLIPPED = 3  # consecutive samples at full scale
_FULL_SCALE = 1 - 2**-15  # of 16 bits
_BLOCK = 1 << 17  # samples


@dataclass
class Report:
    """What a track holds.

    Attributes:
        track: its name, or the path of a folder that is passed over.
        split: `train`, `valid`, `test` or None.
        stems: names of those that can be opened.
        seconds: length, of its longest stem.
        rate: sample rate in Hz, 0 if unknown.
        channels: number of them, 0 if unknown.
        errors: problems that training or evaluation would end with.
        warnings: problems that it would go on with.
        passed_over: it is no track, but a folder with a stem alone.
    """

    track: str
    split: str | None
    stems: tuple[str, ...] = ()
    seconds: float = 0.0
    rate: int = 0
    channels: int = 0
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    passed_over: bool = False


def check(tracks: Sequence[Track], jobs: int = 1) -> Iterator[Report]:
    """Read all tracks of a data set through, in constant memory.

    Args:
        tracks: from `find_tracks`.
        jobs: number of processes.

    Yields:
        A report of each track, in order, then one of each folder beside them with a stem alone.
    """
    counts = Counter(stem for track in tracks for stem in track.stems)
    usual = {stem for stem, count in counts.items() if 2 * count > len(tracks)}
    silent = 0
    for report in _read(tracks, [_missing(track, usual) for track in tracks], jobs):
        silent += _silent(VOCALS) in report.warnings
        if silent == len(tracks):
            report.errors.append(f"no track has {VOCALS} that sound")
        yield report
    for root in {track.root for track in tracks}:
        yield from _passed_over(root, {VOCALS, *counts})


def _read(tracks: Sequence[Track], missing: Sequence[list[str]], jobs: int) -> Iterator[Report]:
    if jobs == 1:
        yield from map(check_track, tracks, missing)
        return
    context = multiprocessing.get_context("spawn")  # a fork of torch's threads can hang
    with ProcessPoolExecutor(min(jobs, len(tracks)), context) as pool:
        try:
            yield from pool.map(check_track, tracks, missing)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def check_track(track: Track, missing: Sequence[str] = ()) -> Report:
    """Read a track through.

    Args:
        track: the song.
        missing: stems that it ought to have besides.
    """
    report = Report(track.name, track.split)
    report.errors += [f"no {stem}" for stem in missing]
    if track.doubled:
        report.errors.append(several_files(track.doubled))
    with ExitStack() as stack:
        meters: dict[str, _Meter] = {}
        sources = {**({MIXTURE: track.mixture} if track.mixture else {}), **track.stems}
        for name, source in sources.items():
            if MIXTURE in meters and source.stream >= meters[MIXTURE].streams:
                report.errors.append(f"no {name}")
                continue
            try:
                reader = stack.enter_context(source.open())
                meters[name] = _Meter(reader, not source.lossy)
            except (AudioError, OSError) as error:
                report.errors.append(_without_folder(error, track))
        report.stems = tuple(sorted(meters.keys() - {MIXTURE}))
        _compare_headers(report, meters)
        unexplained, whole = _play(report, meters, track)
    if not report.errors:
        _compare_lengths(report, meters)
    silent = [name for name, meter in meters.items() if meter.samples and not meter.energy]
    report.warnings += map(_silent, silent)
    clipped = [f"{name} ({meter.clipped}x)" for name, meter in meters.items() if meter.clipped]
    if clipped:
        report.warnings.append(f"clipped: {', '.join(clipped)}")
    if not report.errors and whole:
        lossy = any(source.lossy for source in sources.values())
        left = 10 * np.log10(unexplained / whole + 1e-20)
        if left > (LOSSY_ERROR if lossy else LOSSLESS_ERROR):
            report.warnings.append(f"stems do not sum to the mixture ({left:.0f} dB)")
    return report


def _passed_over(root: Path, stems: set[str]) -> Iterator[Report]:
    """Reports of folders that hold one of the stems and no other file: songs that lack the rest."""
    for path in lone_stems(root):
        if path.stem in stems:
            folder = str(path.parent.relative_to(root))
            why = f"passed over, as {path.stem} is alone"
            yield Report(folder, None, (path.stem,), warnings=[why], passed_over=True)


def _missing(track: Track, usual: set[str]) -> list[str]:
    """Stems that a track has neither whole nor in parts: vocals, others, and all usual ones."""
    there = track.stems.keys()
    if "accompaniment" in there:
        usual = set()
    elif there - {VOCALS}:
        usual = usual - {"accompaniment"}
    elif not usual - {VOCALS}:
        usual = {"accompaniment"}
    return sorted({VOCALS, *usual} - there)


def _silent(stem: str) -> str:
    return f"{stem} is silent"


class _Meter:
    """Length, energy and clipping of a file that is read block by block."""

    def __init__(self, reader: AudioReader, lossless: bool) -> None:
        self.reader = reader
        self.rate, self.channels = reader.info.sample_rate, reader.info.channels
        self.streams = reader.info.streams
        self.samples = 0
        self.energy = 0.0
        self.clipped = 0  # places
        self._lossless = lossless
        self._run = np.zeros(self.channels, int)  # samples at full scale before the block

    def read(self) -> np.ndarray:
        """The next block `[channels, samples]`."""
        block = self.reader.read(_BLOCK)
        self.samples += block.shape[1]
        self.energy += float(np.square(block, dtype=np.float64).sum())
        if self._lossless:  # a lossy decoder overshoots, and clips nothing
            self._count_clipped(block)
        return block

    def _count_clipped(self, block: np.ndarray) -> None:
        for channel, high in enumerate(np.abs(block) >= _FULL_SCALE):
            if high.any():
                edges = np.flatnonzero(np.diff(high, prepend=False, append=False))
                starts, ends = edges[::2], edges[1::2]
                runs = ends - starts
                before = self._run[channel] if starts[0] == 0 else 0
                counted = before >= CLIPPED
                runs[0] += before
                self.clipped += int((runs >= CLIPPED).sum() - counted)
                self._run[channel] = runs[-1] if ends[-1] == len(high) else 0
            else:
                self._run[channel] = 0


def _compare_headers(report: Report, meters: dict[str, _Meter]) -> None:
    rates = sorted({meter.rate for meter in meters.values()})
    channels = sorted({meter.channels for meter in meters.values()})
    if len(rates) > 1:
        report.errors.append(f"sample rates differ: {_listed(rates)} Hz")
    if len(channels) > 1:
        report.warnings.append(f"numbers of channels differ: {_listed(channels)}")
    report.rate, report.channels = max(rates, default=0), max(channels, default=0)


def _compare_lengths(report: Report, meters: dict[str, _Meter]) -> None:
    lengths = [meter.samples for meter in meters.values()]
    if max(lengths) - min(lengths) > TOLERANCE * report.rate:
        seconds = [f"{length / report.rate:.1f}" for length in (min(lengths), max(lengths))]
        report.errors.append(f"lengths differ: {' and '.join(seconds)} s")
    elif max(lengths) > min(lengths):
        report.warnings.append(f"lengths differ by {max(lengths) - min(lengths)} samples")


def _play(report: Report, meters: dict[str, _Meter], track: Track) -> tuple[float, float]:
    """Energy of what the stems leave of the mixture, and of the mixture; 0 where there is none."""
    unexplained = whole = 0.0
    playing = set(meters)
    while playing:
        blocks: dict[str, np.ndarray] = {}
        for name in sorted(playing):
            try:
                blocks[name] = meters[name].read()
            except AudioError as error:
                report.errors.append(_without_folder(error, track))
                playing.discard(name)
                continue
            if not blocks[name].shape[1]:
                playing.discard(name)
                if not meters[name].samples:
                    report.errors.append(f"{name} is empty")
        if MIXTURE in blocks and len(blocks) == len(meters):
            samples = min(block.shape[1] for block in blocks.values())
            stereo = {name: as_stereo(block[:, :samples]) for name, block in blocks.items()}
            mixture = stereo.pop(MIXTURE).astype(np.float64)
            whole += float(np.square(mixture).sum())
            unexplained += float(np.square(mixture - sum(stereo.values())).sum())
    report.seconds = max((meter.samples / meter.rate for meter in meters.values()), default=0.0)
    return unexplained, whole


def _without_folder(error: Exception, track: Track) -> str:
    folder = next(iter(track.stems.values())).path.parent
    return str(error).removeprefix(f"{folder}{os.sep}")


def _listed(numbers: Sequence[int]) -> str:
    return " and ".join(map(str, numbers))
