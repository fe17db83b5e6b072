"""Configuration of a training run: dataclasses with defaults, a YAML that states what differs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from unbraid.data.conditions import CONDITIONS
from unbraid.data.config import (
    AT_LEAST_1,
    NOT_NEGATIVE,
    POSITIVE,
    DataConfig,
    Limit,
    check_limits,
)
from unbraid.errors import ConfigError
from unbraid.training.aims import LossConfig, TeacherConfig
from unbraid.training.refusal import one_line, refused

CONFIGS = Path(__file__).parents[1] / "configs"
OPTIMIZERS = ("adamw", "adam")
SCHEDULES = ("cosine", "constant")
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
SOURCES = ("data.stems", "data.songs")
MONITORS = {"valid/sdr": "max", "valid/loss": "min"}

DECAY: Limit = ("at least 0 and below 1", lambda number: 0 <= number < 1)
SEED: Limit = ("from 0 to 4294967295", lambda number: 0 <= number < 1 << 32)
WINDOW = 4  # samples, or its hop of a quarter would be none

Section = TypeVar("Section")


@dataclass
class OptimizerConfig:
    """How weights move.

    Attributes:
        name: `adamw` or `adam`.
        schedule: `cosine`, from the highest learning rate to zero at the end of the run, or
            `constant`.
        learning_rate: at its highest.
        weight_decay: decoupled in `adamw`, a penalty on squared weights in `adam`.
        warmup: steps from zero to the highest learning rate, but no more than a tenth of the run.
        clip: largest norm of the gradient.
        ema: decay of the moving average of weights, which is what is validated and kept; its
            window of 1 / (1 - ema) steps has to be short against the run, or it lags behind.
    """

    name: str = "adamw"
    schedule: str = "cosine"
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    warmup: int = 200
    clip: float = 1.0
    ema: float = 0.99

    def __post_init__(self) -> None:
        _check("optimizer.name", self.name, OPTIMIZERS)
        _check("optimizer.schedule", self.schedule, SCHEDULES)
        limits = {
            "learning_rate": POSITIVE,
            "weight_decay": NOT_NEGATIVE,
            "warmup": NOT_NEGATIVE,
            "clip": NOT_NEGATIVE,
            "ema": DECAY,
        }
        check_limits("optimizer", self, limits)


@dataclass
class RunConfig:
    """How long and where.

    Attributes:
        folder: parent of the run's folder.
        seed: of weights and mixtures.
        steps: length of the run, unless it is given in epochs or minutes.
        epochs: its length in validations, unless it is given in minutes, or `steps` are given by
            what is laid over it.
        steps_per_epoch: steps between validations.
        monitor: what picks the best weights and is watched by `patience`: `valid/sdr`, the first
            target's, or `valid/loss`.
        patience: validations without gain that end the run; null never ends it.
        precision: Lightning's: `32-true`, `16-mixed` or `bf16-mixed`.
        accelerator: Lightning's: `auto`, `cpu`, `gpu`, `cuda` or `mps`.
        accumulate: batches whose gradients are averaged for a step.
        devices: processes on a machine, each with its device and a batch of its own; two processes
            of one thread are faster on two CPU cores than one of two threads. `torchrun` and Ray
            put their own numbers in place of this and of `nodes`.
        nodes: machines that train one network, see docs/training.md.
        init: weights to begin with, the name of a model or a `.safetensors` file; null: random.
        conditions: treatments of the validation songs, see `unbraid.data.conditions`.
    """

    folder: str = "runs"
    seed: int = 0
    steps: int = 100_000
    epochs: int | None = None
    steps_per_epoch: int = 500
    monitor: str = "valid/sdr"
    patience: int | None = None
    precision: str = "32-true"
    accelerator: str = "auto"
    accumulate: int = 1
    devices: int = 1
    nodes: int = 1
    init: str | None = None
    conditions: list[str] = field(default_factory=lambda: ["as is", "12 kHz", "mono"])

    def __post_init__(self) -> None:
        _check("run.monitor", self.monitor, tuple(MONITORS))
        _check("run.precision", self.precision, PRECISIONS)
        _check("run.accelerator", self.accelerator, ACCELERATORS)
        counts = (
            "steps",
            "epochs",
            "steps_per_epoch",
            "patience",
            "accumulate",
            "devices",
            "nodes",
        )
        check_limits("run", self, {**dict.fromkeys(counts, AT_LEAST_1), "seed": SEED})
        if not self.conditions:
            raise ConfigError("run.conditions is empty; give one, such as 'as is'")
        for condition in self.conditions:
            _check("run.conditions", condition, tuple(CONDITIONS))
        if self.epochs is not None:
            self.steps = self.epochs * self.steps_per_epoch


@dataclass
class TrainConfig:
    """Everything that `unbraid train` can be told.

    Attributes:
        name: of the run's folder and of the weights.
        licence: of the weights, as the training data demands.
        data_card: the training data in a sentence, for the weights' header.
        model: `architecture` and the fields of its configuration that differ.
    """

    name: str = "???"
    licence: str = "???"
    data_card: str = "???"
    model: dict[str, Any] = field(default_factory=lambda: {"architecture": "bandsplit"})
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or self.name in ("", ".."):
            raise ConfigError(f"name {self.name!r}: give the name of a file, and run.folder=…")
        for window in self.loss.resolutions:
            if window < WINDOW:
                raise ConfigError(f"loss.resolutions must be at least {WINDOW}, not {window}")

    @property
    def folder(self) -> Path:
        """Where the run leaves everything."""
        return Path(self.run.folder) / self.name


def read_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Defaults, overlaid with a YAML file, overlaid with `key=value` words.

    A file may start from another one, its `base`: the name of a shipped configuration, or a path
    relative to the file. Maps of both are merged, except for those that stand for one choice:
    `data.stems`, `data.songs` and the `model` of another architecture replace the base's, and
    `run.steps` its `run.epochs`. Words do the same, but for the `model`.

    Args:
        path: YAML file, or the name of a shipped one.
        overrides: words such as `data.batch_size=4`.

    Raises:
        ConfigError: if the file or its base is missing or no YAML, bases go round in a circle, a
            key is unknown, a value of the wrong type or one without default not given.
    """
    return overlay(TrainConfig, path, load(path), overrides)


def load(path: Path) -> DictConfig:
    """What a file and its bases state, see `read_config`."""
    return _with_bases(_find(path), ())


def overlay(
    schema: type[Section], path: Path, stated: DictConfig, overrides: Sequence[str] = ()
) -> Section:
    """A dataclass's defaults, overlaid with what is stated, overlaid with `key=value` words.

    Args:
        schema: the dataclass.
        path: where it is stated, for messages.
        stated: settings.
        overrides: words such as `data.batch_size=4`.

    Raises:
        ConfigError: see `read_config`.
    """
    settings = OmegaConf.create()
    try:
        settings = with_words(stated, overrides)
        return cast(Section, OmegaConf.to_object(OmegaConf.merge(schema, settings)))
    except (OmegaConfBaseException, YAMLError, TypeError) as error:
        message = one_line(error)
        if getattr(error, "full_key", "") is None:
            message = f"{refused(schema, settings)}: {message}"
        raise ConfigError(f"{path}: {message}") from error


def _find(path: Path) -> Path:
    if path.is_file():
        return path
    shipped = CONFIGS / f"{path.stem}.yaml"
    if shipped.is_file():
        return shipped
    names = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.yaml")))
    raise ConfigError(f"{path}: no such file, and no shipped configuration of: {names}")


def _with_bases(path: Path, above: tuple[Path, ...]) -> DictConfig:
    """A file's settings, laid over those of the files that it starts from."""
    if path.resolve() in above:
        raise ConfigError(f"{path}: its base leads back to itself; remove a `base`")
    try:
        written = OmegaConf.load(path)
        base = written.pop("base", None) if isinstance(written, DictConfig) else None
    except (OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {one_line(error)}") from error
    if not isinstance(written, DictConfig):
        raise ConfigError(f"{path}: not a map of settings; write `key: value` lines")
    if base is None:
        return written
    try:
        base_path = _find(path.parent / str(base))
    except ConfigError as error:
        raise ConfigError(f"{path}: base {str(base)!r}: {error}") from error
    below = _with_bases(base_path, (*above, path.resolve()))
    try:
        return _laid(below, written, _replaced(written))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {one_line(error)}") from error


def _laid(below: DictConfig, above: DictConfig, replaced: Collection[str]) -> DictConfig:
    """Settings over others: keys that are replaced hold nothing of these, and steps end epochs."""
    below = deepcopy(below)
    for key in replaced:
        OmegaConf.update(below, key, {}, merge=False)
    in_steps = OmegaConf.select(above, "run.steps") is not None
    length = {"run": {"epochs": None}} if in_steps and OmegaConf.select(below, "run") else {}
    return cast(DictConfig, OmegaConf.merge(below, length, above))


def with_words(stated: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Settings overlaid with `key=value` words, of which a map of sources is all that there is."""
    whole = {word.partition("=")[0] for word in overrides} & set(SOURCES)
    return _laid(stated, OmegaConf.from_dotlist(list(overrides)), whole)


def _replaced(written: DictConfig) -> list[str]:
    """Maps that take the place of the base's, as mixing both would make no sense."""
    choices = {key: key for key in SOURCES} | {"model.architecture": "model"}
    return [key for chosen, key in choices.items() if OmegaConf.select(written, chosen) is not None]


def _check(setting: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(f"no {setting} {value!r}; there are: {', '.join(known)}")
