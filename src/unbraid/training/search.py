"""What to search: settings of a training run and the values to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from unbraid.errors import ConfigError, UnbraidError
from unbraid.models import build
from unbraid.training.config import TrainConfig, load, overlay, with_words
from unbraid.training.refusal import one_line
from unbraid.training.trials import words

# what names trials and their weights, where they run, and what they are compared by
SHARED = (
    "name",
    "licence",
    "data_card",
    "data.valid",
    "data.valid_split",
    "run.folder",
    "run.devices",
    "run.nodes",
    "run.monitor",
    "run.conditions",
)
LENGTHS = ("run.steps", "run.epochs")
_NETWORK = "model.architecture"


@dataclass
class SearchConfig:
    """The section `search` of a configuration of `unbraid tune`.

    Attributes:
        space: what to try: dotted key -> list of values, or a range `{low, high, log}`, which
            holds whole numbers if both ends are whole.
        trials: how many to draw at random; null tries every combination of the lists.
        minutes: length of a trial by the clock; null: `run.steps`.
        grace: part of a random trial that is trained before it may be stopped early; there and
            after each doubling, only the better half goes on.
        cpus: cores of a trial; null: all of a machine, one trial at a time.
    """

    space: dict[str, Any] = field(default_factory=dict)
    trials: int | None = None
    minutes: float | None = None
    grace: float = 0.25
    cpus: int | None = None


@dataclass
class Range:
    """Numbers to draw from, `high` included.

    Attributes:
        low: smallest.
        high: largest.
        log: whether each factor is equally likely, and not each difference.
    """

    low: Any
    high: Any
    log: bool = False


@dataclass(frozen=True)
class Search:
    """A search that makes sense.

    Attributes:
        config: of the training runs.
        options: of the search.
        space: what to try: dotted key -> list of values or range.
    """

    config: TrainConfig
    options: SearchConfig
    space: dict[str, list[Any] | Range]

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return Path(self.config.run.folder) / f"{self.config.name}-search"

    @property
    def logarithmic(self) -> list[str]:
        """Keys whose factors count, not their differences."""
        choices = self.space.items()
        return [key for key, choice in choices if isinstance(choice, Range) and choice.log]


def read_search(path: Path, overrides: Sequence[str] = ()) -> Search:
    """Reads a configuration of `unbraid tune` and checks what can be checked before training.

    Args:
        path: YAML of a `TrainConfig` with a section `search`, see `SearchConfig`.
        overrides: `key=value` words that overlay it.

    Raises:
        ConfigError: for an unknown key or an impossible value, in the space, too.
    """
    try:
        stated = with_words(load(path), overrides)
        section = stated.pop("search", None)
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"{path}: {one_line(error)}") from error
    if not isinstance(section, DictConfig):
        raise ConfigError(f"{path}: has no section `search` that says what to try")
    options = overlay(SearchConfig, path, section)
    config = overlay(TrainConfig, path, stated)
    space = {key: _choice(path, key, values) for key, values in options.space.items()}
    if not space:
        raise ConfigError(f"{path}: search.space is empty; give it a key and its values")
    networks = [{_NETWORK: each} for each in _ends(space.get(_NETWORK, []))] or [{}]
    for key, choice in space.items():
        _check_key(path, key, options.minutes, config.run.monitor)
        for value in _ends(choice):
            for network in networks:
                varied = overlay(TrainConfig, path, stated, words({**network, key: value}))
                _check_network(path, varied.model)
    if options.trials is None and any(isinstance(choice, Range) for choice in space.values()):
        raise ConfigError(f"{path}: search.trials must say how many to draw from the ranges")
    for name, value, least in (("trials", options.trials, 1), ("cpus", options.cpus, 1)):
        if value is not None and value < least:
            raise ConfigError(f"{path}: search.{name} must be at least {least}, not {value}")
    if options.minutes is not None and options.minutes <= 0:
        raise ConfigError(f"{path}: search.minutes must be above 0, not {options.minutes:g}")
    if not 0 < options.grace < 1:
        raise ConfigError(f"{path}: search.grace must be between 0 and 1, not {options.grace:g}")
    if (config.run.devices, config.run.nodes) != (1, 1):
        raise ConfigError(
            f"{path}: run.devices and run.nodes must be 1: trials side by side (search.cpus) use"
            " the cores"
        )
    return Search(config, options, space)


def _check_key(path: Path, key: str, minutes: float | None, monitor: str) -> None:
    """Raise if a setting, or one of a section, is not for trials to vary."""
    if key.split(".")[0] == "loss" and monitor == "valid/loss":
        raise ConfigError(
            f"{path}: search.space: {key} makes losses that do not compare; set "
            "run.monitor=valid/sdr, or vary other settings"
        )
    if minutes is not None and key in LENGTHS:
        raise ConfigError(
            f"{path}: search.space: {key} changes nothing where search.minutes end a trial; "
            "remove one of them"
        )
    shared = next((each for each in SHARED if f"{each}.".startswith(f"{key}.")), None)
    if shared is not None:
        holds = "" if shared == key else f" holds {shared}, which"
        raise ConfigError(
            f"{path}: search.space: {key}{holds} is the same for all trials; vary other settings "
            "of data, loss, model, optimizer, run or teacher"
        )


def _check_network(path: Path, model: dict[str, Any]) -> None:
    """Raise if there is no such architecture, or it has no such setting."""
    architecture = str(model["architecture"])
    try:
        known = _settings(architecture)
    except UnbraidError as error:
        raise ConfigError(f"{path}: {error}") from None
    unknown = next((key for key in model if key not in ("architecture", *known)), None)
    if unknown is not None:
        raise ConfigError(
            f"{path}: {architecture} has no setting 'model.{unknown}'; there are: "
            f"{', '.join(known)}"
        )


@cache
def _settings(architecture: str) -> list[str]:
    network: Any = build(architecture)
    return [each.name for each in fields(network.config)]


def _ends(choice: list[Any] | Range) -> list[Any]:
    """Values of a list, or where a range begins and ends."""
    return [choice.low, choice.high] if isinstance(choice, Range) else choice


def _choice(path: Path, key: str, values: Any) -> list[Any] | Range:
    if isinstance(values, list) and values:
        return values
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: search.space: {key} needs a list of values, or low and high")
    chosen = overlay(Range, path, OmegaConf.create(values))
    numbers = [chosen.low, chosen.high]
    if any(isinstance(end, bool) or not isinstance(end, (int, float)) for end in numbers):
        raise ConfigError(f"{path}: search.space: {key}'s low and high must be numbers")
    if chosen.low >= chosen.high or (chosen.log and chosen.low <= 0):
        raise ConfigError(
            f"{path}: search.space: {key}'s low must be less than high, and above 0 if log"
        )
    return chosen
