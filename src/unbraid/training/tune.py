"""A search over settings of training runs on Ray Tune."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

import ray
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import BasicVariantGenerator

from unbraid.errors import ConfigError, reason
from unbraid.fleet.cluster import connected
from unbraid.replacing import replacing
from unbraid.training import fit
from unbraid.training.config import MONITORS
from unbraid.training.failures import why
from unbraid.training.lock import locked
from unbraid.training.search import Range, Search, read_search
from unbraid.training.trials import Trial, plot_trials, ranked, shown, words, write_trials

KEPT = "search.yaml"  # what the trials have in common
STATE = "ray"  # where in the search's folder Ray keeps its books
SCORE = "score"  # of the best validation so far, as reported to Ray


class Reporter(Callback):
    """Tells Ray Tune after each validation how far a trial is and how good."""

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Report the epoch before, whose checkpoint is written: Ray may end the trial here."""
        _report(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Report the last epoch."""
        _report(trainer)


def _report(trainer: Any) -> None:
    score = trainer.checkpoint_callback.best_model_score
    if score is None:  # not validated yet
        return
    clock = next(each for each in trainer.callbacks if isinstance(each, fit.Clock))
    progress = {"steps": trainer.global_step, "percent": 100 * clock()}
    tune.report({SCORE: float(score), **progress})


class Lines(tune.Callback):
    """Prints a line for each trial that starts, stops or fails."""

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say what is tried."""
        settings = ", ".join(f"{key}={shown(value)}" for key, value in trial.config.items())
        print(f"{trial}: {settings}", flush=True)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say how good it was."""
        last = trial.last_result
        score, steps = last.get(SCORE, math.nan), last.get("steps", 0)
        print(f"{trial}: {score:.4g} after {steps} steps", flush=True)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say why it failed."""
        print(f"{trial}: failed: {why(trial.get_pickled_error())}", flush=True)


def run(search: Search, address: str | None = None) -> tuple[list[Trial], Path]:
    """Runs the trials, or those that an earlier call with the same configuration left.

    A trial that fails is reported and does not stop the others; the next call tries it again.

    Args:
        search: what to try.
        address: of a Ray cluster, whose machines must see the same files; None starts one here.

    Returns:
        The trials, the best first, and the search's folder, which holds a run's folder for each,
        `train.yaml`, `results.csv` and `search.png`.

    Raises:
        ConfigError: the folder holds another search, another command is at work in it, it cannot
            be written to, or no machine has the cores of a trial.
        UnbraidError: the cluster cannot be reached.
    """
    folder = search.folder.absolute()
    _check_same(search, folder)
    with locked(folder), connected(address):
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # our runs log enough
        os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # prints a box even where it should be quiet
        trainable = tune.with_resources(_trainable(search, folder), _resources(search))
        _keep(search, folder)
        state = str(folder / STATE)
        if tune.Tuner.can_restore(state):
            tuner = tune.Tuner.restore(state, trainable, restart_errored=True)
        else:
            tuner = _tuner(search, trainable, folder)
        results: Any = tuner.fit()
        monitor = search.config.run.monitor
        found = ranked([_trial(result, folder) for result in results], MONITORS[monitor])
        write_trials(found, monitor, folder / "results.csv")
        scored = [trial for trial in found if trial.score is not None]
        if scored:
            plot_trials(scored, monitor, search.logarithmic, folder / "search.png")
    return found, folder


def _check_same(search: Search, folder: Path) -> None:
    """The trials of another configuration would not compare.

    What an earlier version did not know was as it is now by default.
    """
    kept = folder / KEPT
    if not kept.is_file():
        return
    try:
        earlier = _stated(read_search(kept))
    except ConfigError as error:
        raise ConfigError(
            f"{error}: what another version of unbraid began cannot go on; give this search "
            "another name=…, or remove the folder"
        ) from error
    pairs = zip_longest(earlier.splitlines(), _stated(search).splitlines())
    changed = next((new or old for old, new in pairs if old != new), None)
    if changed is not None:
        raise ConfigError(
            f"{folder}: holds a search with another configuration, see {changed.strip()!r}; "
            "give this one another name=…, or remove the folder"
        )


def _keep(search: Search, folder: Path) -> None:
    train = OmegaConf.to_yaml(asdict(search.config))
    # the first says whether the second is this search's
    for name, text in ((KEPT, _stated(search)), ("train.yaml", train)):
        if not (folder / name).is_file():
            try:
                with replacing(folder / name) as temporary:
                    temporary.write_text(text, encoding="utf-8")
            except OSError as error:
                raise ConfigError(
                    f"{folder / name}: cannot be written ({reason(error)}); give another "
                    "run.folder=… or name=…"
                ) from None


def _stated(search: Search) -> str:
    return OmegaConf.to_yaml({**asdict(search.config), "search": asdict(search.options)})


def _trainable(search: Search, folder: Path) -> Callable[[dict[str, Any]], None]:
    here, minutes = Path.cwd(), search.options.minutes

    def train(config: dict[str, Any]) -> None:
        os.chdir(here)  # paths in configurations are relative to it
        name = _name(int(tune.get_context().get_trial_id().rsplit("_", 1)[1]))
        overrides = words({**config, "run.folder": str(folder), "name": name})
        checkpoints = (folder / name / "checkpoints").glob("*.ckpt")
        last = max(checkpoints, key=lambda path: path.stat().st_mtime, default=None)
        fit.run(folder / "train.yaml", overrides, minutes, last, [Reporter()])

    return train


def _resources(search: Search) -> dict[str, float]:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = int(max(node.get("CPU", 0) for node in nodes))
    cpus = search.options.cpus or most
    if cpus > most:
        raise ConfigError(f"search.cpus is {cpus}, but no machine has more than {most} cores")
    has_gpu = any(node.get("GPU", 0) for node in nodes) and search.config.run.accelerator != "cpu"
    return {"cpu": cpus, "gpu": float(has_gpu)}


def _tuner(search: Search, trainable: Any, folder: Path) -> tune.Tuner:
    options = search.options
    scheduler: TrialScheduler = FIFOScheduler()
    if options.trials is not None:
        scheduler = AsyncHyperBandScheduler(
            time_attr="percent",
            grace_period=100 * options.grace,  # type: ignore[arg-type]
            max_t=99.9,  # type: ignore[arg-type]  # who is through has only weights to write
            reduction_factor=2,
            stop_last_trials=False,
        )
    return tune.Tuner(
        trainable,
        param_space={
            key: _domain(choice, options.trials is None) for key, choice in search.space.items()
        },
        tune_config=tune.TuneConfig(
            metric=SCORE,
            mode=MONITORS[search.config.run.monitor],
            num_samples=options.trials or 1,
            search_alg=BasicVariantGenerator(random_state=search.config.run.seed),
            scheduler=scheduler,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=STATE, storage_path=str(folder), verbose=0, callbacks=[Lines()]
        ),
    )


def _domain(choice: list[Any] | Range, grid: bool) -> Any:
    if isinstance(choice, list):
        return tune.grid_search(choice) if grid else tune.choice(choice)
    if isinstance(choice.low, int) and isinstance(choice.high, int):
        draw = tune.lograndint if choice.log else tune.randint
        return draw(choice.low, choice.high + 1)
    return (tune.loguniform if choice.log else tune.uniform)(choice.low, choice.high)


def _trial_name(trial: Any) -> str:
    return _name(int(trial.trial_id.rsplit("_", 1)[1]))


def _name(number: int) -> str:
    return f"trial-{number:02d}"


def _trial(result: Any, folder: Path) -> Trial:
    metrics, name = result.metrics or {}, Path(result.path).name  # which `_trial_name` gave
    score = metrics.get(SCORE, math.nan)
    if result.error is not None:
        state = f"failed: {why(result.error)}"
    elif (folder / name / f"{name}.safetensors").is_file():
        state = "finished"
    else:
        state = "stopped early" if metrics.get("done") else "unfinished"
    return Trial(
        name,
        result.config,
        score if math.isfinite(score) else None,
        metrics.get("steps", 0),
        state,
    )
