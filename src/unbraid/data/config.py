"""What a training run can be told about its music."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from unbraid.errors import ConfigError

Limit = tuple[str, Callable[[float], bool]]  # in words, and whether a number keeps it
POSITIVE: Limit = ("above 0", lambda number: number > 0)
NOT_NEGATIVE: Limit = ("at least 0", lambda number: number >= 0)
AT_LEAST_1: Limit = ("at least 1", lambda number: number >= 1)
FINITE: Limit = ("a number", math.isfinite)
PART: Limit = ("from 0 to 1", lambda number: 0 <= number <= 1)
# drawn segments sound for as long; the loudness and the codecs need a tenth of a second
SEGMENT: Limit = ("at least 0.25", lambda number: number >= 0.25)


def check_limits(section: str, settings: Any, limits: dict[str, Limit]) -> None:
    """Look whether numbers are possible; a setting of None is not used.

    Args:
        section: where the settings are, such as `data.augment`.
        settings: the dataclass that has them.
        limits: of its fields, by name.

    Raises:
        ConfigError: for the first that is not.
    """
    for name, (words, keeps) in limits.items():
        value = getattr(settings, name)
        if value is not None and not (math.isfinite(value) and keeps(value)):
            raise ConfigError(f"{section}.{name} must be {words}, not {value}")


@dataclass
class Source:
    """A folder to draw from.

    Attributes:
        path: folder of audio files, or of songs.
        share: how often, relative to the other sources; every file in it is equally likely.
        split: only its sub-folder `train`, `valid` or `test`; of MUSDB18, the official split.
    """

    path: str = "???"
    share: float = 1.0
    split: str | None = None


@dataclass
class AugmentConfig:
    """Probabilities, per drawn stem or mixture, and strengths of each change.

    Attributes:
        silent: share of mixtures in which a stem is silent; in all others, every stem sounds for
            at least a quarter second. Among shuffled stems it is any of them, else the first
            target.
        balance_decibels: mean loudness of a target relative to the residual; unused where stems
            are not shuffled.
        balance_spread: its standard deviation in dB; where stems are not shuffled, that of the
            change of the song's own balance.
        peak_decibels: range of the mixture's peak in dBFS.
    """

    varispeed: float = 0.6
    semitones: float = 3.0
    pitch_shift: float = 0.02
    equalise: float = 0.5
    equalise_decibels: float = 6.0
    effects: float = 0.7
    music_effects: float = 0.25
    disguise: float = 0.08
    widen: float = 0.4
    second_voice: float = 0.2
    second_music: float = 0.25
    music_width: float = 0.5
    swap_channels: float = 0.5
    invert: float = 0.5
    low_pass_mixture: float = 0.5
    low_pass_stem: float = 0.25
    mono_mixture: float = 0.12
    code_mixture: float = 0.08
    code_stem: float = 0.05
    bus: float = 0.4
    noise: float = 0.4
    silent: float = 0.08
    balance_decibels: float = -3.0
    balance_spread: float = 5.0
    peak_decibels: tuple[float, float] = (-18.0, 0.0)

    def __post_init__(self) -> None:
        strengths = {"semitones", "equalise_decibels", "balance_spread"}
        parts = self.__dict__.keys() - strengths - {"balance_decibels", "peak_decibels"}
        limits = {**dict.fromkeys(strengths, NOT_NEGATIVE), **dict.fromkeys(sorted(parts), PART)}
        check_limits("data.augment", self, {**limits, "balance_decibels": FINITE})
        lowest, highest = self.peak_decibels
        if not lowest <= highest:
            raise ConfigError(
                f"data.augment.peak_decibels must rise, not [{lowest:g}, {highest:g}]"
            )


@dataclass
class DataConfig:
    """Where the music comes from.

    Attributes:
        stems: for each stem the named sources of single recordings of it.
        songs: named sources of folders of songs.
        shuffle: mix stems of different recordings at random; if not, all stems of a mixture come
            from one song at one time, and `songs` is the only source.
        valid: folder of songs to validate on; none of them may be among the sources.
        valid_split: only its split `train`, `valid` or `test`.
        instrumentals: folders without vocals, left out of training, to measure leakage on.
        cache: folder for decoded audio.
        seconds: length of a training segment.
        batch_size: segments in a step.
        workers: processes that mix.
        shard: of several machines, each draws from a part of its own of every source's recordings,
            and decodes and keeps no others; if not, all draw from all.
    """

    stems: dict[str, dict[str, Source]] = field(default_factory=dict)
    songs: dict[str, Source] = field(default_factory=dict)
    shuffle: bool = True
    valid: str = "???"
    valid_split: str | None = None
    instrumentals: list[str] = field(default_factory=list)
    cache: str = ".cache"
    seconds: float = 4.0
    batch_size: int = 6
    workers: int = 1
    shard: bool = False
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        limits = {"seconds": SEGMENT, "batch_size": AT_LEAST_1, "workers": NOT_NEGATIVE}
        check_limits("data", self, limits)
        songs = list(self.songs.values())
        _check_shares("data.songs", self.songs, [] if self.stems and self.shuffle else songs)
        for stem, sources in self.stems.items():
            _check_shares(f"data.stems.{stem}", sources, [*sources.values(), *songs])


def _check_shares(section: str, sources: dict[str, Source], drawn: list[Source]) -> None:
    for name, source in sources.items():
        check_limits(f"{section}.{name}", source, {"share": NOT_NEGATIVE})
    if drawn and not any(source.share for source in drawn):
        raise ConfigError(f"{section}: every share is 0; give one source a share above 0")
