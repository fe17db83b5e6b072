"""The two libraries that decode: libsndfile for what it does exactly, PyAV for all the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from unbraid.audio.frames import FrameConverter
from unbraid.audio.info import AudioInfo, Block, native
from unbraid.audio.ogg import breaks_off, is_chain
from unbraid.audio.promise import counts_frames, cut_asf, held_part, seconds
from unbraid.audio.speakers import from_vorbis
from unbraid.errors import AudioError

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream

_DEPTHS = {  # of libsndfile's subtypes; all others fit into 16 bits
    "PCM_24": "24",
    "DWVW_24": "24",
    "ALAC_20": "24",
    "ALAC_24": "24",
    "PCM_32": "32f",
    "ALAC_32": "32f",
    "FLOAT": "32f",
    "DOUBLE": "32f",
}
_LOSSLESS = ("PCM_", "FLOAT", "DOUBLE", "ALAC_", "DWVW_", "DPCM_")  # how such subtypes begin
_CONTAINERS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"FORM", b"caff")  # whatever they are called
_UNKNOWN_LENGTH = 2**62  # libsndfile's SF_COUNT_MAX is 2**63 - 1
_PLAYLISTS = ("concat", "hls", "dash")  # texts that make FFmpeg read other files
_AAC_FRAME = 1024  # samples; a frame needs the one before it, with which it overlaps


class LibsndfileDecoder:
    """Reads with libsndfile; `open` gives None for a file that it does not know, and for mp3."""

    def __init__(self, path: Path, file: soundfile.SoundFile) -> None:
        """Take over an open file."""
        self._file = file
        self.info = AudioInfo(
            path=path,
            sample_rate=file.samplerate,
            channels=file.channels,
            samples=file.frames,
            bit_depth=_DEPTHS.get(file.subtype, "16"),
            format=file.format.lower(),
            codec=file.subtype.lower(),
            promised_duration=_promised(path, file),
            lossy=not file.subtype.startswith(_LOSSLESS),
        )
        # libsndfile stops at the length it knows, which for an unfinished recording is 0, and for
        # an mp3 without a Xing header a guess; its Opus seeks after every block: not exact. Of a
        # chain of Ogg streams it reads the first.
        self.exact = (
            0 < file.frames < _UNKNOWN_LENGTH
            and file.format != "MP3"
            and file.subtype != "OPUS"
            and not (file.format == "OGG" and is_chain(path))
        )
        self.seekable = file.seekable() and (
            file.subtype.startswith("PCM_") or file.subtype in ("FLOAT", "DOUBLE")
        )

    @classmethod
    def open(cls, path: Path) -> LibsndfileDecoder | None:
        """Open a file, or return None where libsndfile cannot, and of mp3, which it guesses at."""
        if _may_be_mp3(path):  # mpg123 would tell the terminal what it thinks of the file
            return None
        try:
            return cls(path, soundfile.SoundFile(native(path)))
        except (soundfile.SoundFileError, TypeError):  # TypeError: a name that ends in .raw
            return None

    def read(self, samples: int) -> Block:
        """The next block `[channels, n <= samples]`."""
        try:
            block = self._file.read(samples, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise _damaged(self.info, self._file.tell()) from error
        channels = from_vorbis(block.T) if self.info.codec == "vorbis" else block.T
        return np.ascontiguousarray(channels)

    def seek(self, position: int) -> None:
        """Go on at a sample."""
        try:
            self._file.seek(min(position, self._file.frames))
        except soundfile.SoundFileError as error:
            raise _damaged(self.info, position) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _promised(path: Path, file: soundfile.SoundFile) -> float | None:
    """The duration that the header promises, of which libsndfile tells only what is there."""
    if file.format == "OGG":
        return math.inf if breaks_off(path) else None
    held = held_part(path)
    if held is None:
        return None
    return file.frames / file.samplerate / held if held else math.inf


def _may_be_mp3(path: Path) -> bool:
    """Whether libsndfile would ask mpg123: by the file's first bytes, or its suffix alone."""
    with path.open("rb") as file:
        head = file.read(4)
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        return True
    return path.suffix.lower() == ".mp3" and head not in _CONTAINERS


def _lenient(version: str) -> dict[str, Any]:
    """What keeps PyAV from refusing a song for a tag that is not UTF-8; since 19 it never does."""
    return {"metadata_errors": "ignore"} if int(version.split(".")[0]) < 19 else {}


class AvDecoder:
    """Reads an audio stream of whatever FFmpeg's libraries know, through PyAV."""

    def __init__(self, path: Path, stream: int = 0) -> None:
        """Open the file and decode the first frame of its audio stream of that number."""
        import av

        self._path = path
        try:
            # FFmpeg takes what is before a colon for a protocol, unless a slash is before that.
            self._container = av.open(str(path.absolute()), "r", **_lenient(av.__version__))
        except (av.FFmpegError, ValueError) as error:
            raise _unreadable(path) from error
        try:
            if self._container.format.name in _PLAYLISTS:
                raise _unreadable(path)
            if not self._container.streams.audio:
                raise AudioError(f"{path}: holds no audio stream; choose a file with sound")
            count = len(self._container.streams.audio)
            if stream >= count:
                raise AudioError(
                    f"{path}: has no audio stream {stream}, as it holds {count};"
                    " get a file with all its stems"
                )
            self._stream = self._container.streams.audio[stream]
            if self._stream.codec_context is None:
                raise AudioError(f"{path}: its codec is unknown here; convert it to wav or flac")
            self._frames = self._decode(self._stream)
            self._convert = FrameConverter()
            self._decoded = 0  # samples
            self._pending: Block | None = None
            self.info = self._describe(self._stream)
        except BaseException:
            self._container.close()
            raise

    def _describe(self, stream: AudioStream) -> AudioInfo:
        """Take rate and channels from the first frame: headers of HE-AAC state half of each."""
        frame = next(self._frames, None)
        context = stream.codec_context
        self._start = None if frame is None else frame.pts
        self.seekable = (
            frame is not None
            and frame.pts is not None
            and frame.samples == _AAC_FRAME
            and frame.time_base == Fraction(1, frame.sample_rate)
            and context.codec.name == "aac"
            and self._container.format.name.startswith("mov")
        )
        rate = context.sample_rate if frame is None else frame.sample_rate
        channels = context.channels if frame is None else frame.layout.nb_channels
        if not rate or not channels:
            raise _unreadable(self._path)
        if frame is not None:
            self._decoded = frame.samples
            self._pending = self._convert(frame)
        duration = None
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        elif self._container.duration is not None:
            duration = float(Fraction(self._container.duration, 1_000_000))
        if self._container.format.name == "ogg" and is_chain(self._path):
            duration = None  # that of a part
        return AudioInfo(
            path=self._path,
            sample_rate=rate,
            channels=channels,
            samples=0 if frame is None else None,
            bit_depth=_av_depth(stream),
            format=self._container.format.name.split(",")[0],
            codec=context.codec.name,
            streams=len(self._container.streams.audio),
            stated_duration=duration,
            promised_duration=self._promised(stream, duration),
            lossy=not context.codec.lossless,
        )

    def _promised(self, stream: AudioStream, duration: float | None) -> float | None:
        """What the file promises of this stream alone; FFmpeg's duration may be guessed."""
        name = self._container.format.name
        if name == "ogg":
            return math.inf if breaks_off(self._path) else None
        if held_part(self._path) == 0:  # a header alone, in which libsndfile sees no sound either
            return math.inf
        if name in ("avi", "caf"):  # the duration is that of what is there
            return float(stream.frames * (stream.time_base or 0)) or None
        if name == "asf":  # its duration is that of the longest track
            return cut_asf(self._path) if len(self._container.streams) == 1 else None
        if duration is None:
            return None
        if name.startswith("matroska"):  # its duration is that of the longest track
            tag = stream.metadata.get("DURATION")
            if tag is None and len(self._container.streams) > 1:
                return None
            start = float((stream.start_time or 0) * (stream.time_base or 0))
            own = duration if tag is None else min(duration, seconds(tag))
            return own - start
        silent = self._pending is None  # not a frame is there
        told = silent or name == "wv" or (name == "mp3" and counts_frames(self._path))
        return duration if told else None

    def _decode(self, stream: AudioStream) -> Iterator[AudioFrame]:
        """All frames. Junk before and after the music of a bare mp3 is skipped, as players do."""
        import av

        bare = self._container.format.name == "mp3"
        broken: av.FFmpegError | None = None
        started = False
        packets = self._container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                raise self._failure(started) from error
            if packet is None:
                break
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                if not bare:
                    raise self._failure(started) from error
                broken = error
                continue
            if frames and broken is not None and started:
                raise self._failure(started) from broken
            for frame in frames:
                started = True
                broken = None
                yield frame
        if broken is not None and not started:
            raise self._failure(started) from broken

    def _failure(self, started: bool) -> AudioError:
        if started and self.info.format == "ogg" and is_chain(self._path):
            return AudioError(
                f"{self._path}: a chain of streams of different kinds, of which the second begins "
                f"at {self._decoded / self.info.sample_rate:.3f} s; convert it to wav first"
            )
        return _damaged(self.info, self._decoded) if started else _unreadable(self._path)

    def read(self, samples: int) -> Block:
        """The next block `[channels, n <= samples]`."""
        blocks = []
        missing = samples
        while missing:
            block = self._pending
            self._pending = None
            if block is None:
                block = self._next_frame()
            if block is None:
                break
            if block.shape[1] > missing:
                block, self._pending = block[:, :missing], block[:, missing:]
            blocks.append(block)
            missing -= block.shape[1]
        if not blocks:
            return np.zeros((self.info.channels, 0), np.float32)
        return np.concatenate(blocks, axis=1)

    def _next_frame(self) -> Block | None:
        frame = next(self._frames, None)
        if frame is None:
            return None
        here, start = (frame.sample_rate, frame.layout.nb_channels), self.info
        if here != (start.sample_rate, start.channels):
            raise AudioError(
                f"{self._path}: changes from {start.sample_rate} Hz, {start.channels} channels to"
                f" {here[0]} Hz, {here[1]} channels at {self._decoded / start.sample_rate:.3f} s;"
                " convert it to wav first"
            )
        self._decoded += frame.samples
        return self._convert(frame)

    def seek(self, position: int) -> None:
        """Go on at a sample; only where `seekable`."""
        start = self._start or 0
        # A frame earlier than the one that is needed, also before the first: the encoder's delay.
        self._container.seek(start + position - 2 * _AAC_FRAME, stream=self._stream)
        self._frames = self._decode(self._stream)
        self._pending = None
        for frame in self._frames:
            if frame.pts is None:
                break
            first = frame.pts - start
            self._decoded = first + frame.samples
            if self._decoded > position:
                self._pending = self._convert(frame)[:, max(position - first, 0) :]
                return
        self._frames = iter(())

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def _av_depth(stream: AudioStream) -> str:
    """Bit depth of a stream; PyAV does not say how many of 32 bits are used: 24 but for PCM."""
    context = stream.codec_context
    if not context.codec.lossless or context.format is None:
        return "16"
    kind = context.format.name.rstrip("p")
    if kind == "s32":
        return "32f" if context.codec.name.startswith("pcm_s32") else "24"
    return "16" if kind in ("u8", "s16") else "32f"


def _unreadable(path: Path) -> AudioError:
    return AudioError(
        f"{path}: not an audio file that can be read (unknown or damaged);"
        " check that it plays, or convert it to wav"
    )


def _damaged(info: AudioInfo, position: int) -> AudioError:
    return AudioError(
        f"{info.path}: damaged at {position / info.sample_rate:.3f} s;"
        " get a whole copy, or convert it to wav with a player that mends it"
    )
