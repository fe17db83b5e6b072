"""Runs that go on at their end or past it, and what they draw anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from training_tree import kept, last, quick_tree, scalars, train
from unbraid.errors import DataError
from unbraid.models.checkpoint import read_info
from unbraid.training import fit


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quick_tree(tmp_path_factory.mktemp("tree"))


class Draws(Callback):
    """What a network's dropout and masks would draw first, and the first mixtures."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *_: Any) -> None:
        self.drawn, self.mixtures = torch.rand(4).tolist(), batch["mixture"].clone()


def test_a_run_that_goes_on_draws_no_mask_and_no_mixture_again(tree: Path, tmp_path: Path) -> None:
    first, second = Draws(), Draws()
    train(tree, tmp_path, "run.steps=1", callbacks=[first])
    train(tree, tmp_path, "run.steps=2", callbacks=[second], resume=last(tmp_path))
    assert first.drawn != second.drawn
    assert not torch.equal(first.mixtures, second.mixtures)


@pytest.mark.parametrize(
    ("length", "minutes", "why"),
    [
        ("run.steps=2", None, "at step 2 all is done; a larger run.steps"),
        ("run.steps=99", 1e-9, "at step 1 all is done; more --minutes"),
        ("run.patience=1", None, "1 validation brought nothing; a larger run.patience"),
    ],
)
def test_a_finished_run_says_so_and_is_left_as_it_is(
    tree: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    length: str,
    minutes: float | None,
    why: str,
) -> None:
    words = [length, "run.steps_per_epoch=1", "optimizer.learning_rate=1e-12"]
    result = train(tree, tmp_path, *words, minutes=minutes)
    before = last(tmp_path).read_bytes(), read_info(result).sha256
    result.unlink()
    capsys.readouterr()
    assert train(tree, tmp_path, *words, resume=last(tmp_path)) == result
    assert (last(tmp_path).read_bytes(), read_info(result).sha256) == before
    said = capsys.readouterr().err
    (line,) = [each for each in said.splitlines() if "finished" in each]
    assert line == f"the run is finished: {why} makes it longer"
    assert "goes on" not in said


class EndsLastValidation(Callback):
    """Ends a run from outside before its last step is validated."""

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.global_step == 4:
            raise DataError("gone")


def test_a_run_that_lacks_its_last_validation_is_not_finished(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "KEPT_EVERY", 0)
    with pytest.raises(DataError):
        train(tree, tmp_path, callbacks=[EndsLastValidation()])
    assert kept(tmp_path)["global_step"] == 4
    train(tree, tmp_path, resume=last(tmp_path))
    assert len(scalars(tmp_path, "valid/sdr")) == 2


def test_a_finished_run_goes_on_for_more_steps(tree: Path, tmp_path: Path) -> None:
    train(tree, tmp_path)
    train(tree, tmp_path, "run.steps=8", resume=last(tmp_path))
    assert kept(tmp_path)["global_step"] == 8
    assert len(scalars(tmp_path, "valid/sdr")) == 4
