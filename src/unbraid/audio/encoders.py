"""What turns blocks into the bytes of a file."""

from __future__ import annotations

import _thread
import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np
import soundfile

from unbraid.audio.info import Block
from unbraid.audio.quantize import to_integers
from unbraid.audio.speakers import to_vorbis
from unbraid.errors import AudioError

Result = TypeVar("Result")

_PART = 2**16  # samples that libsndfile gets at a time
RIFF_LIMIT = 2**32 - 1  # bytes; the header of a longer WAV file is RF64


class Encoder(Protocol):
    """Writes blocks `[channels, samples]` to an open file, which it leaves open."""

    def write(self, block: Block) -> None:
        """Append a block; OSError if it could not be written."""

    def finish(self) -> None:
        """Complete the file; OSError if it could not be written."""


class WavEncoder:
    """WAV with nothing in it that changes from run to run, and RF64 (EBU Tech 3306) over 4 GB.

    libsndfile would stamp the time into every float file, and has to know the length beforehand.
    """

    def __init__(self, file: BinaryIO, sample_rate: int, channels: int, bit_depth: str) -> None:
        """Write a header for 0 samples."""
        self._file = file
        self._rate = sample_rate
        self._channels = channels
        self._bits = 32 if bit_depth == "32f" else int(bit_depth)
        self._samples = 0
        file.write(self._header())

    def write(self, block: Block) -> None:
        """Append a block that does not exceed full scale."""
        interleaved = np.ascontiguousarray(block.T)
        if self._bits == 32:
            data = interleaved.astype("<f4").tobytes()
        elif self._bits == 16:
            data = to_integers(interleaved, 16).astype("<i2").tobytes()
        else:
            octets = to_integers(interleaved, 24).astype("<i4").reshape(-1, 1).view(np.uint8)
            data = octets[:, :3].tobytes()
        self._file.write(data)
        self._samples += block.shape[1]

    def finish(self) -> None:
        """Pad the data to even length and write the final header."""
        if self._data_bytes % 2:
            self._file.write(b"\0")
        self._file.seek(0)
        self._file.write(self._header())

    @property
    def _data_bytes(self) -> int:
        return self._samples * self._channels * self._bits // 8

    def _header(self) -> bytes:
        frame = self._channels * self._bits // 8
        code = 3 if self._bits == 32 else 1  # IEEE float or PCM
        chunk = struct.pack(
            "<HHIIHH", code, self._channels, self._rate, self._rate * frame, frame, self._bits
        )
        fmt = b"fmt " + struct.pack("<I", len(chunk)) + chunk
        data = self._data_bytes
        riff = 4 + (8 + 28) + len(fmt) + 8 + data + data % 2
        if riff <= RIFF_LIMIT:  # JUNK keeps the place of ds64
            start = b"RIFF" + struct.pack("<I", riff) + b"WAVE"
            sizes = b"JUNK" + struct.pack("<I28x", 28)
        else:
            start = b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE"
            sizes = b"ds64" + struct.pack("<IQQQI", 28, riff, data, self._samples, 0)
            data = 0xFFFFFFFF
        return start + sizes + fmt + b"data" + struct.pack("<I", data)


@dataclass(frozen=True)
class Codec:
    """How libsndfile writes a format, and what the format can hold."""

    format: str
    subtype: str | None  # None: the integers of the bit depth asked for
    channels: int  # at most
    rates: range | tuple[int, ...]  # Hz
    options: dict[str, Any] = field(default_factory=dict)


CODECS = {  # by suffix, beside .wav
    ".flac": Codec("FLAC", None, 8, range(1, 655_351)),
    ".mp3": Codec(
        "MP3",
        "MPEG_LAYER_III",
        2,
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        {"bitrate_mode": "CONSTANT", "compression_level": 0.0},  # 320 kbit/s
    ),
    # libvorbis crashes the process beyond these limits.
    ".ogg": Codec("OGG", "VORBIS", 255, range(1, 192_001), {"compression_level": 0.2}),
    ".opus": Codec(
        "OGG", "OPUS", 8, (8000, 12000, 16000, 24000, 48000), {"compression_level": 0.5}
    ),
}

_WAV_CHANNELS, _WAV_RATES = 1024, range(1, 2**20)  # what libsndfile can read


def check_layout(path: PurePath, sample_rate: int, channels: int) -> None:
    """Check that a file's format holds such audio.

    Args:
        path: the file; its suffix, `.wav` or one of `CODECS`, says the format.
        sample_rate: in Hz.
        channels: their number.

    Raises:
        AudioError: too many channels or none, or a rate that the format does not have.
    """
    codec = CODECS.get(path.suffix.lower())
    most = _WAV_CHANNELS if codec is None else codec.channels
    rates = _WAV_RATES if codec is None else codec.rates
    format = path.suffix[1:].lower()
    if not 1 <= channels <= most:
        advice = "is the array [samples, channels]?" if channels > 255 else "use .wav"
        raise AudioError(f"{path}: {format} holds 1 to {most} channels, not {channels}; {advice}")
    if sample_rate not in rates:
        span = f"1 to {rates[-1]}" if isinstance(rates, range) else ", ".join(map(str, rates))
        advice = "; use .wav" if sample_rate in _WAV_RATES else ""
        raise AudioError(f"{path}: {format} cannot hold {sample_rate} Hz (only {span}){advice}")


class LibsndfileEncoder:
    """FLAC and the lossy codecs, through libsndfile."""

    def __init__(
        self, file: BinaryIO, codec: Codec, sample_rate: int, channels: int, bit_depth: str
    ) -> None:
        """Open the codec; soundfile.SoundFileError where it is missing."""
        self._bits = int(bit_depth) if codec.subtype is None else None
        self._ogg = codec.format == "OGG"
        self._sink = _Sink(file)
        self._turn = _thread.allocate_lock()
        self._file = self._apart(
            soundfile.SoundFile,
            self._sink,
            "w",
            samplerate=sample_rate,
            channels=channels,
            format=codec.format,
            subtype=codec.subtype or f"PCM_{bit_depth}",
            **codec.options,
        )

    def write(self, block: Block) -> None:
        """Append a block, which in FLAC does not exceed full scale."""
        ordered = to_vorbis(block) if self._ogg else block  # libsndfile takes them as they come
        interleaved: np.ndarray[Any, Any] = np.ascontiguousarray(ordered.T)
        if self._bits is not None:  # libsndfile takes integers from the upper bits
            interleaved = to_integers(interleaved, self._bits) << (32 - self._bits)
        try:
            self._apart(self._write, interleaved)
        except (soundfile.SoundFileError, AssertionError) as error:  # soundfile asserts the count
            self._sink.check()
            raise OSError(errno.EIO, f"libsndfile: {error}") from error
        self._sink.check()

    def finish(self) -> None:
        """Flush the codec and write the final header."""
        try:
            self._apart(self._file.close)
        except soundfile.SoundFileError as error:
            self._sink.check()
            raise OSError(errno.EIO, f"libsndfile: {error}") from error
        self._sink.check()

    def _write(self, interleaved: np.ndarray) -> None:
        """In parts: libsndfile takes memory for all of them from the thread's stack."""
        for start in range(0, len(interleaved), _PART):
            self._file.write(interleaved[start : start + _PART])

    def _apart(self, function: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """Call a function of libsndfile in a thread of its own.

        It calls Python back to write bytes. An interruption that Python raised there would be
        lost; it raises them in the main thread alone. What waits for the thread is a plain lock:
        an interruption within Python's own ways to wait may leave them locked for good. A call
        that an interruption leaves behind runs before or after the next, never beside it.
        """
        results: list[Result] = []
        errors: list[BaseException] = []

        def call() -> None:
            try:
                with self._turn:
                    results.append(function(*arguments, **options))
            except BaseException as error:
                errors.append(error)
            finally:
                done.release()

        done = _thread.allocate_lock()
        done.acquire()
        _thread.start_new_thread(call, ())
        done.acquire()
        if errors:
            raise errors[0]
        return results[0]


class _Sink:
    """The file that libsndfile writes to; keeps the error that C code would swallow."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: BaseException | None = None

    def check(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except BaseException as error:  # raised again by `check`
            self._error = self._error or error
            return 0

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except BaseException as error:
            self._error = self._error or error
            return -1

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        """Nothing to do: the writer closes the file."""
