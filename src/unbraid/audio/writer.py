"""Writing audio files, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from unbraid.audio.encoders import (
    CODECS,
    Encoder,
    LibsndfileEncoder,
    WavEncoder,
    check_layout,
)
from unbraid.audio.info import Block, native
from unbraid.audio.ogg import set_serial
from unbraid.audio.quantize import BIT_DEPTHS, exceeds
from unbraid.errors import AudioError
from unbraid.folders import make, remove_empty

_COPY_BLOCK = 2**16  # samples


class AudioWriter:
    """Writes an audio file block by block; a context manager.

    The blocks go to a hidden file beside the target, which replaces the target at a clean exit and
    vanishes at any other, with the folders that were made for it. Integers are rounded to the
    nearest, without dither. Nothing is ever clipped: if a block exceeds the full scale of an
    integer file, the file goes on as float WAV.

    Args:
        path: the file; its suffix says the format (.wav, .flac, .mp3, .ogg or .opus). Missing
            folders are made.
        sample_rate: in Hz.
        channels: their number.
        bit_depth: "16", "24", or "32f" (WAV only); lossy formats have none and ignore it.

    Attributes:
        path: the file written, with the suffix .wav if a FLAC file became float.
        bit_depth: "32f" once the file became float.
        became_float: whether a block exceeded full scale, so that the file became float WAV.
        peak: largest absolute sample seen; 1 is full scale.
        samples: per channel, written so far.

    Raises:
        AudioError: the format cannot hold such audio, or the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int,
        channels: int,
        bit_depth: str = "16",
    ) -> None:
        """Check the format and open the temporary file."""
        self.path = Path(path)
        self.sample_rate = sample_rate
        self.channels = channels
        self.bit_depth = bit_depth
        self.became_float = False
        self.peak = 0.0
        self.samples = 0
        self._suffix = self.path.suffix.lower()
        self._check_format()
        self.sample_rate = int(sample_rate)  # 22050.0 is half of 44100 and a rate like any
        with self._errors():
            _check_target(self.path)
            self._made = make(self.path.parent)
            try:
                self._open()
            except BaseException:
                remove_empty(self._made)
                raise

    def write(self, block: Block) -> None:
        """Append a block.

        Args:
            block: float32 `[channels, samples]`, of any length.

        Raises:
            AudioError: another number of channels, NaN or infinity, or the file cannot be written.
        """
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise AudioError(
                f"{self.path}: a block is [{self.channels}, samples], not {list(block.shape)}"
            )
        if block.shape[1] == 0:
            return
        low, high = float(block.min()), float(block.max())
        if not np.isfinite([low, high]).all():
            first = int((~np.isfinite(block)).any(axis=0).argmax())
            seconds = (self.samples + first) / self.sample_rate
            raise AudioError(
                f"{self.path}: not-a-number or infinity at {seconds:.3f} s; nothing was written"
            )
        self.peak = max(self.peak, high, -low)
        with self._errors():
            if self._is_integer and exceeds(low, high, int(self.bit_depth)):
                self._become_float()
            self._encoder.write(block)
        self.samples += block.shape[1]

    def __enter__(self) -> AudioWriter:
        """The writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the whole file in its place, or after an exception remove it."""
        if kind is not None:
            self._discard()
            return
        try:
            with self._errors():
                self._finish()
                os.replace(self._temporary, self.path)
        except BaseException:
            self._discard()
            raise

    @property
    def _is_integer(self) -> bool:
        return self._suffix in (".wav", ".flac") and self.bit_depth != "32f"

    def _check_format(self) -> None:
        """Raise for what the format cannot hold, before anything is computed."""
        where = self.path
        if self._suffix != ".wav" and self._suffix not in CODECS:
            known = ", ".join([".wav", *CODECS])
            raise AudioError(f"{where}: cannot write {self._suffix!r} files; use one of {known}")
        if self.bit_depth not in BIT_DEPTHS or (self._suffix, self.bit_depth) == (".flac", "32f"):
            depths = BIT_DEPTHS[:2] if self._suffix == ".flac" else BIT_DEPTHS
            raise AudioError(
                f"{where}: {self._suffix[1:]} has no bit depth {self.bit_depth!r};"
                f" use {' or '.join(depths)}"
            )
        check_layout(where, self.sample_rate, self.channels)

    def _open(self) -> None:
        """Start a new temporary file in the format of `_suffix`."""
        # A short name of its own: the target's may be as long as the file system allows.
        name = f".unbraid-{os.getpid()}-{uuid.uuid4().hex[:8]}{self._suffix}"
        self._temporary = self.path.parent / name
        self._file = self._temporary.open("x+b")
        try:
            self._encoder = self._new_encoder()
        except BaseException:
            self._file.close()
            self._temporary.unlink()
            raise

    def _new_encoder(self) -> Encoder:
        layout = (self.sample_rate, self.channels, self.bit_depth)
        if self._suffix == ".wav":
            return WavEncoder(self._file, *layout)
        try:
            return LibsndfileEncoder(self._file, CODECS[self._suffix], *layout)
        except soundfile.SoundFileError as error:
            raise AudioError(
                f"{self.path}: this libsndfile cannot write {self._suffix[1:]} ({error});"
                " use .wav, or update soundfile"
            ) from error

    def _become_float(self) -> None:
        """Copy what is written so far to a float WAV file, and go on in that."""
        integers = self._temporary
        try:
            self._encoder.finish()
            self._file.close()
            self._suffix, self.bit_depth, self.became_float = ".wav", "32f", True
            if self.path.suffix.lower() != ".wav":
                self.path = self.path.with_suffix(".wav")
                _check_target(self.path)
            self._open()
            if self.samples:  # libsndfile writes no header for 0 samples
                with soundfile.SoundFile(native(integers)) as source:
                    for block in source.blocks(_COPY_BLOCK, dtype="float32", always_2d=True):
                        self._encoder.write(block.T)
        finally:
            integers.unlink()

    def _finish(self) -> None:
        """Complete the temporary file and see that all of it is there."""
        self._encoder.finish()
        self._file.close()  # flushes; a full disk may show only now
        try:
            arrived = soundfile.info(native(self._temporary)).frames
        except soundfile.SoundFileError as error:
            self._temporary.stat()  # OSError if somebody removed the folder
            reason = str(error) if self.samples else f"{self._suffix[1:]} cannot hold 0 samples"
            raise AudioError(f"{self.path}: not written: {reason}; use .wav") from error
        if arrived != self.samples:
            raise AudioError(f"{self.path}: only {arrived} of {self.samples} samples were written")
        if self._suffix in (".ogg", ".opus"):
            set_serial(self._temporary)

    def _discard(self) -> None:
        """Remove the temporary file, in whatever state it is, and the folders made for it."""
        with contextlib.ExitStack() as steps:  # each is taken, even if one before it fails
            steps.enter_context(contextlib.suppress(OSError, ValueError))  # closed already
            steps.callback(remove_empty, self._made)
            steps.callback(self._temporary.unlink, missing_ok=True)
            steps.callback(self._file.close)
            steps.callback(self._encoder.finish)  # so that libsndfile lets go of the file

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Say in one line what the operating system reports."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                reason = "the disk is full; make room and run it again"
            else:
                reason = f"cannot be written ({error.strerror or error}); choose another folder"
            raise AudioError(f"{self.path}: {reason}") from error


def _check_target(path: Path) -> None:
    """Raise OSError for a name that the file could not take at the end."""
    with contextlib.suppress(FileNotFoundError):
        path.lstat()  # also raises for a name that is too long
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
