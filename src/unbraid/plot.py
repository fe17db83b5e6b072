"""A picture of a separation: waveforms and log-frequency spectrograms of mixture and stems."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unbraid.audio import AudioReader, probe
from unbraid.replacing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Array = NDArray[np.float32]

COLUMNS = 1600  # of a picture of a song that is long enough
ROWS = 280  # of a spectrogram
LOWEST, HIGHEST = 40.0, 20_000.0  # Hz
RANGE = 80.0  # dB between the brightest and the darkest colour
WINDOW = 0.093  # seconds: 4096 samples at 44.1 kHz
BLOCK = 1 << 18  # samples to read at a time
FREQUENCIES = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)  # Hz, to label
STEPS = (0.1, 0.2, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)  # seconds
COLOURS = ("#495057", "#e8590c", "#1971c2", "#2f9e44", "#9c36b5")


@dataclass(frozen=True)
class Overview:
    """A file, pooled to the width of a picture.

    Attributes:
        low: smallest sample of each column, over channels, `[columns]`.
        high: largest sample of each column, over channels, `[columns]`.
        rms: root mean square of each column, `[columns]`.
        level: mean power of a row's bins in dB, 0 for a bin of full scale, `[ROWS, columns]`.
        duration: of the file in seconds.
        top: highest frequency of the spectrogram in Hz.
    """

    low: Array
    high: Array
    rms: Array
    level: Array
    duration: float
    top: float


def plot_files(mixture: Path, stems: Mapping[str, Path], path: Path) -> None:
    """Draws mixture and stems into a PNG, in constant memory.

    Args:
        mixture: the song, whose name becomes the title.
        stems: stem -> file.
        path: picture to write; it appears whole or not at all.

    Raises:
        AudioError: a file cannot be read.
    """
    overviews = {"mixture": overview(mixture)}
    overviews.update((stem, overview(file)) for stem, file in stems.items())
    figure = draw(overviews, mixture.name)
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(temporary, format="png", dpi=120)


def overview(path: Path) -> Overview:
    """Reads a file in blocks and pools it to COLUMNS columns, or fewer if it is very short.

    Args:
        path: audio file.

    Raises:
        AudioError: it cannot be read.
    """
    info = probe(path)
    rate, channels, samples = info.sample_rate, info.channels, info.samples
    if samples is None:
        with AudioReader(path) as reader:
            samples = sum(block.shape[1] for block in _blocks(reader))
    n_fft = max(64, int(2 ** round(np.log2(WINDOW * rate))))
    hop = min(max(samples // COLUMNS, 64), n_fft // 2)
    frames = max(1, -(-samples // hop))
    columns = min(COLUMNS, frames)
    low, high = np.zeros((2, columns), np.float32)
    power = np.zeros((columns, n_fft // 2 + 1), np.float32)
    square, count = np.zeros((2, columns), np.float32)
    before = (n_fft - hop) // 2  # a frame's column shows the hop in its middle
    padding = np.zeros((channels, before + n_fft), np.float32)
    held, done = padding[:, :before], 0
    with AudioReader(path) as reader:
        for block in chain(_blocks(reader), [padding]):
            held = np.concatenate([held, block], axis=1)
            new = min(max(0, (held.shape[1] - n_fft) // hop + 1), frames - done)
            if new == 0:
                continue
            windows = np.lib.stride_tricks.sliding_window_view(held, n_fft, axis=1)
            windows = windows[:, : new * hop : hop]  # [channels, frames, n_fft]
            middle = windows[..., before : before + hop]
            column = np.arange(done, done + new) * columns // frames
            np.minimum.at(low, column, middle.min(axis=(0, 2)))
            np.maximum.at(high, column, middle.max(axis=(0, 2)))
            np.add.at(square, column, np.square(middle).mean(axis=(0, 2)))
            np.add.at(power, column, _power(windows))
            np.add.at(count, column, 1)
            held, done = held[:, new * hop :], done + new
    count = np.maximum(count, 1)  # a file may be shorter than it says
    top = max(min(HIGHEST, rate / 2), 2 * LOWEST)
    level = 10 * np.log10(_log_rows(n_fft, rate, top) @ (power.T / count) + 1e-12)
    return Overview(low, high, np.sqrt(square / count), level, max(samples, 1) / rate, top)


def _blocks(reader: AudioReader) -> Iterator[Array]:
    while (block := reader.read(BLOCK)).shape[1]:
        yield block


def _power(frames: Array) -> Array:
    """Power spectra `[frames, bins]` of `[channels, frames, n_fft]`, 1 for a sine of full scale."""
    n_fft = frames.shape[-1]
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    power = np.zeros((frames.shape[1], n_fft // 2 + 1), np.float32)
    for channel in frames:
        power += np.square(np.abs(np.fft.rfft(channel * window)))
    power *= (2 / window.sum()) ** 2 / len(frames)
    return power


def _log_rows(n_fft: int, rate: int, top: float) -> Array:
    """Weights `[ROWS, bins]` that average bins over rows of equal width in log frequency."""
    points = 32  # of a row, each interpolated between two bins
    place = (np.arange(ROWS * points) + 0.5) / (ROWS * points)
    bins = np.minimum(LOWEST * (top / LOWEST) ** place * n_fft / rate, n_fft / 2)
    below = np.minimum(bins.astype(int), n_fft // 2 - 1)
    row = np.repeat(np.arange(ROWS), points)
    weights = np.zeros((ROWS, n_fft // 2 + 1), np.float32)
    np.add.at(weights, (row, below), (below + 1 - bins) / points)
    np.add.at(weights, (row, below + 1), (bins - below) / points)
    return weights


def draw(overviews: Mapping[str, Overview], title: str) -> Figure:
    """Draws a waveform above a spectrogram for each source, all on the same scales.

    Args:
        overviews: name -> overview; the first one sets the scale of colours.
        title: of the picture.
    """
    from matplotlib.figure import Figure

    sources = list(overviews.values())
    figure = Figure(figsize=(15, 0.9 + 3.3 * len(sources)), layout="constrained")
    heights = [height for _ in sources for height in (1, 2.3)]
    axes = figure.subplots(2 * len(sources), 1, sharex=True, height_ratios=heights)
    duration = max(source.duration for source in sources)
    peak = max(max(-source.low.min(), source.high.max()) for source in sources) or 1.0
    brightest = 5 * np.ceil(sources[0].level.max() / 5)
    for number, (name, source) in enumerate(overviews.items()):
        _draw_waveform(axes[2 * number], source, COLOURS[number % len(COLOURS)], peak)
        axes[2 * number].set_title(name.capitalize(), loc="left", weight="bold", fontsize=12)
        image = _draw_spectrogram(axes[2 * number + 1], source, brightest)
    axes[-1].set_xlim(0, duration)
    step = next((step for step in STEPS if duration <= 14 * step), 7200)
    times = np.arange(0, duration, step)
    axes[-1].set_xticks(times, [_clock(time, step) for time in times])
    axes[-1].set_xlabel("Time (m:ss)")
    bar = figure.colorbar(image, ax=list(axes), aspect=50, pad=0.01, fraction=0.03)
    bar.set_label("Level (dB)")
    figure.align_ylabels(axes)
    title = title.encode("utf-8", "replace").decode()  # a file's name may be no text
    title = title if len(title) <= 110 else f"{title[:109]}…"
    figure.suptitle(title, parse_math=False, fontfamily=_families(title), fontsize=15)
    return figure


def _draw_waveform(axes: Axes, source: Overview, colour: str, peak: float) -> None:
    edges = np.linspace(0, source.duration, len(source.low))
    axes.fill_between(edges, source.low, source.high, color=colour, alpha=0.45, linewidth=0)
    axes.fill_between(edges, -source.rms, source.rms, color=colour, linewidth=0)
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    axes.set_ylabel("Amplitude")
    axes.tick_params(axis="x", length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _draw_spectrogram(axes: Axes, source: Overview, brightest: float) -> AxesImage:
    image = axes.imshow(
        source.level,
        origin="lower",
        aspect="auto",
        extent=(0, source.duration, np.log2(LOWEST), np.log2(source.top)),
        cmap="magma",
        vmin=brightest - RANGE,
        vmax=brightest,
    )
    shown = [frequency for frequency in FREQUENCIES if frequency <= source.top]
    labels = [f"{hertz // 1000}k" if hertz >= 1000 else f"{hertz}" for hertz in shown]
    axes.set_yticks(np.log2(shown), labels)
    axes.set_ylabel("Frequency (Hz)")
    return image


def _clock(time: float, step: float) -> str:
    minutes, seconds = divmod(round(time, 1), 60)
    return f"{minutes:.0f}:{seconds:02.0f}" if step >= 1 else f"{minutes:.0f}:{seconds:04.1f}"


def _families(text: str) -> list[str]:
    """The default font, and installed ones for the characters that it lacks."""
    from matplotlib import font_manager

    default = font_manager.findfont("DejaVu Sans")
    families = ["DejaVu Sans"]
    missing = {ord(letter) for letter in text} - set(font_manager.get_font(default).get_charmap())
    for font in font_manager.fontManager.ttflist:
        if not missing:
            break
        if font.name.startswith("Last Resort"):  # has every character, as a box
            continue
        found = missing & set(font_manager.get_font(font.fname).get_charmap())
        if found:
            families.append(font.name)
            missing -= found
    return families
