"""Configuration of a training run: dataclasses with defaults, a YAML that states what differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from unbraid.data.mixing import DataConfig
from unbraid.errors import ConfigError
from unbraid.training.losses import LossConfig

CONFIGS = Path(__file__).parents[1] / "configs"


@dataclass
class OptimizerConfig:
    """AdamW under a cosine schedule.

    Attributes:
        learning_rate: at its highest.
        weight_decay: of AdamW.
        warmup: steps from zero to the highest learning rate.
        clip: largest norm of the gradient.
        ema: decay of the moving average of weights, which is what is validated and kept; its
            window of 1 / (1 - ema) steps has to be short against the run, or it lags behind.
    """

    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    warmup: int = 200
    clip: float = 1.0
    ema: float = 0.99


@dataclass
class RunConfig:
    """How long and where.

    Attributes:
        folder: parent of the run's folder.
        seed: of weights and mixtures.
        steps: length of the run, unless it is given in minutes.
        steps_per_epoch: steps between validations.
        patience: validations without gain that end the run; null never ends it.
        precision: Lightning's, such as `32-true` or `bf16-mixed`.
        accelerator: Lightning's: `auto`, `cpu`, `gpu`.
        devices: processes, each with its device and a batch of its own; two processes of one
            thread are faster on two CPU cores than one of two threads.
        conditions: treatments of the validation songs, see `unbraid.data.conditions`.
    """

    folder: str = "runs"
    seed: int = 0
    steps: int = 100_000
    steps_per_epoch: int = 500
    patience: int | None = None
    precision: str = "32-true"
    accelerator: str = "auto"
    devices: int = 1
    conditions: list[str] = field(default_factory=lambda: ["as is", "12 kHz", "mono"])


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
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)


def read_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Defaults, overlaid with a YAML file, overlaid with `key=value` words.

    Args:
        path: YAML file, or the name of a shipped one.
        overrides: words such as `data.batch_size=4`.

    Raises:
        ConfigError: if the file is missing or no YAML, a key is unknown, a value of the wrong
            type or one without default not given.
    """
    if not path.is_file():
        shipped = CONFIGS / path.with_suffix(".yaml").name
        if not shipped.is_file():
            names = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.yaml")))
            raise ConfigError(f"{path}: no such file, and no shipped configuration of: {names}")
        path = shipped
    schema = OmegaConf.structured(TrainConfig)
    try:
        merged = OmegaConf.merge(
            schema, OmegaConf.load(path), OmegaConf.from_dotlist(list(overrides))
        )
        return cast(TrainConfig, OmegaConf.to_object(merged))
    except (OmegaConfBaseException, YAMLError, TypeError) as error:
        raise ConfigError(f"{path}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    key = getattr(error, "full_key", None)
    known = getattr(error, "parent_node", None)
    message = str(error).splitlines()[0]
    if "not in" in message and known is not None:
        return f"no setting {key!r}; there are: {', '.join(map(str, known))}"
    return f"{key}: {message}" if key else message
