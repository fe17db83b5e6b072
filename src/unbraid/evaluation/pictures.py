"""Files as data that a page holds in itself: sound, and spectrograms of it."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np

from unbraid.plot import RANGE, overview

COLUMNS, ROWS = 480, 120  # of a spectrogram, in pixels
# from dark to bright, evenly spaced, as the colour map "magma" has them
_MAGMA = ("000004", "1d1147", "51127c", "832681", "b73779", "e75263", "fc8961", "fec488", "fcfdbf")


def audio_url(path: Path) -> str:
    """An audio file as a data URL."""
    return f"data:audio/ogg;base64,{base64.b64encode(path.read_bytes()).decode()}"


def level_of(path: Path) -> np.ndarray:
    """Log-frequency spectrogram of a file in dB, `[rows, columns]`, low frequencies first."""
    return _pooled(_pooled(overview(path).level, ROWS).T, COLUMNS).T


def picture_url(level: np.ndarray, brightest: float) -> str:
    """A spectrogram as the data URL of a PNG.

    Args:
        level: dB, `[rows, columns]`.
        brightest: dB of the brightest colour.
    """
    from PIL import Image

    shades = np.clip((level - brightest) / RANGE + 1, 0, 1) * 63  # 64 shades: half the bytes
    image = Image.fromarray(shades.round().astype(np.uint8)[::-1], "P")
    anchors = np.array([list(bytes.fromhex(colour)) for colour in _MAGMA], float)
    places = np.linspace(0, len(anchors) - 1, 64)
    palette = [np.interp(places, np.arange(len(anchors)), channel) for channel in anchors.T]
    image.putpalette(np.stack(palette, 1).round().astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _pooled(level: np.ndarray, rows: int) -> np.ndarray:
    """Mean over neighbouring rows, if there are more than wanted."""
    if len(level) <= rows:
        return level
    starts = np.arange(rows) * len(level) // rows
    counts = np.diff(np.append(starts, len(level)))
    return np.add.reduceat(level, starts, axis=0) / counts[:, None]
