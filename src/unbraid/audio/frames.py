"""The samples of PyAV's frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbraid.audio.info import Block

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler

_MOST_PLANES = 7  # of more, PyAV does not find the last: it reads on, and crashes the process
_AS_FLOATS = {"s64": "dbl"}  # integers that NumPy is not given


class FrameConverter:
    """Turns the frames of a stream, whatever their format, into blocks."""

    def __init__(self) -> None:
        """Start a stream."""
        self._kind: tuple[str, str, int] | None = None
        self._packer: AudioResampler

    def __call__(self, frame: AudioFrame) -> Block:
        """The samples of a frame as float32 `[channels, samples]`."""
        channels = frame.layout.nb_channels
        if frame.format.name in _AS_FLOATS or (frame.format.is_planar and channels > _MOST_PLANES):
            frame = self._convertible(frame)
        array = frame.to_ndarray()
        if frame.format.is_packed:
            array = array.reshape(-1, channels).T
        if array.dtype.kind == "f":
            return array.astype(np.float32)
        centre = 128 if array.dtype == np.uint8 else 0
        scale = np.float32(2 ** (8 * array.dtype.itemsize - 1))
        scaled: Block = (array.astype(np.float32) - centre) / scale
        return scaled

    def _convertible(self, frame: AudioFrame) -> AudioFrame:
        """The same samples, interleaved; without a change of rate, nothing is held back."""
        from av import AudioResampler

        packed = frame.format.packed.name
        kind = (_AS_FLOATS.get(packed, packed), frame.layout.name, frame.sample_rate)
        if kind != self._kind:  # making a resampler takes longer than a frame
            self._kind, self._packer = kind, AudioResampler(*kind)
        (converted,) = self._packer.resample(frame)
        return converted
