"""Reading audio files block by block."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np

from unbraid.audio.decoders import AvDecoder, LibsndfileDecoder
from unbraid.audio.info import AudioInfo, Block
from unbraid.errors import AudioError

_MISSING = 0.5  # seconds that a file may lack of its stated length: some Vorbis encoders overstate


class AudioReader:
    """Reads any audio file, or an audio stream of a video, in constant memory.

    Args:
        path: the file; what it holds decides how it is read, not its suffix.
        stream: number among its audio streams, from 0, such as that of a stem in a `.stem.mp4`.

    Attributes:
        info: what the file says of itself.
        seekable: whether `seek` can find a sample: in uncompressed files, FLAC, and AAC in MP4.

    Raises:
        AudioError: the file is missing, a folder, empty, not audio, or without that audio stream.
    """

    def __init__(self, path: str | os.PathLike[str], stream: int = 0) -> None:
        """Open the file."""
        self._path = Path(path)
        _check_file(self._path)
        self._decoder = AvDecoder(self._path, stream) if stream else _open(self._path)
        self.seekable: bool = self._decoder.seekable
        self.info: AudioInfo = self._decoder.info
        self._position = 0  # samples read so far

    def read(self, samples: int) -> Block:
        """Read the next block.

        Args:
            samples: most samples per channel to read, at least 1.

        Returns:
            float32 `[channels, n]`, where n is `samples` until the end, then less; 0 after the end,
            which may come up to half a second before `info.samples`.

        Raises:
            AudioError: the file is damaged or cut off, or holds NaN or infinity.
        """
        block = self._decoder.read(samples)
        length = block.shape[1]
        expected = self.info.samples
        rate, end = self.info.sample_rate, self._position + length
        ended = expected is not None and length < min(samples, expected - self._position)
        if expected and ended and (end == 0 or expected - end >= _MISSING * rate):
            raise AudioError(
                f"{self._path}: ends at {end / rate:.3f} s of"
                f" {expected / rate:.3f} s; the file is damaged or cut off, get a whole copy"
            )
        self._check_finite(block)
        self._position += length
        return block

    def seek(self, position: int) -> None:
        """Let the next block begin at a sample, as if all before it had been read.

        Args:
            position: in samples from the start; after the end nothing follows.

        Raises:
            AudioError: the file is not `seekable`, or damaged.
        """
        if not self.seekable or position < 0:
            raise AudioError(
                f"{self._path}: cannot be read from sample {position}; read it from its start"
            )
        self._decoder.seek(position)
        self._position = position

    def _check_finite(self, block: Block) -> None:
        finite = np.isfinite(block)
        if not finite.all():
            first = int((~finite).any(axis=0).argmax())
            what = "not-a-number" if np.isnan(block[:, first]).any() else "infinity"
            seconds = (self._position + first) / self.info.sample_rate
            raise AudioError(f"{self._path}: {what} at {seconds:.3f} s; export the file again")

    def __enter__(self) -> AudioReader:
        """The reader itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._decoder.close()


def probe(path: str | os.PathLike[str], stream: int = 0) -> AudioInfo:
    """Say what a file holds without reading it through.

    Args:
        path: the file.
        stream: number among its audio streams, from 0.

    Raises:
        AudioError: as `AudioReader` does.
    """
    with AudioReader(path, stream) as reader:
        return reader.info


def _check_file(path: Path) -> None:
    """Raise for what no decoder need look at."""
    if os.path.exists(path) and path.is_fifo():  # opening it would wait for who writes to it
        raise AudioError(f"{path}: a pipe, which is not read; save what comes out of it to a file")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if os.path.isdir(path):  # Windows says that there is no permission
            raise AudioError(f"{path}: a folder, not an audio file; name the files in it") from None
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(
            f"{path}: cannot be opened ({reason}); check path and permissions"
        ) from error
    if empty:
        raise AudioError(f"{path}: the file is empty (0 bytes); get a whole copy")


def _open(path: Path) -> LibsndfileDecoder | AvDecoder:
    """Choose the decoder: libsndfile where it is exact, else PyAV."""
    decoder = LibsndfileDecoder.open(path)
    if decoder is not None and decoder.exact:
        return decoder
    try:
        replacement = AvDecoder(path)
    except AudioError:
        if decoder is not None and decoder.info.samples == 0:
            return decoder  # a valid file of 0 samples
        raise
    if decoder is not None:
        decoder.close()
    return replacement
