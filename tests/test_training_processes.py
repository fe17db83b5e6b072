"""One network trained by several processes: as one would, with one set of files and lines."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from training_tree import RATE, assert_same_training, scalars, trained_as_one, training_tree
from unbraid.data.mixing import Mixtures
from unbraid.data.sampling import Place
from unbraid.errors import ConfigError
from unbraid.training import fit
from unbraid.training.config import read_config

TWO = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
FEW = ["run.steps=2", "run.steps_per_epoch=1", "run.conditions=[as is]"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def as_one(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    trained_as_one(tree, folder, [*FEW, three(tree)])
    return folder


def three(tree: Path) -> str:
    """Recordings to measure leakage on: for two processes an odd number."""
    return f"data.instrumentals=[{tree}/songs/one,{tree}/songs/two/accompaniment.wav]"


def start(tree: Path, folder: Path, *overrides: str, launcher=(), **environment: str):
    command = [sys.executable, *launcher, "-m", "unbraid", "train", str(tree / "tiny.yaml")]
    return subprocess.Popen(
        [*command, f"run.folder={folder}", *overrides],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


@pytest.mark.slow
def test_processes_of_torchrun_train_as_one(tree: Path, as_one: Path, tmp_path: Path) -> None:
    process = start(tree, tmp_path, *FEW, launcher=TWO)
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said[-2000:]
    assert_same_training(tmp_path, as_one)
    assert len(list((tmp_path / "tiny" / "tensorboard").glob("events*"))) == 1
    assert out.count(str(tmp_path / "tiny" / "tiny.safetensors")) == 1  # one of the two says where
    assert "Epoch 1" in out
    assert "GLOBAL_RANK: 1" not in said


@pytest.mark.slow
def test_processes_that_lightning_starts_on_two_machines_train_as_one(
    tree: Path, as_one: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    machines = [
        start(
            tree,
            tmp_path,
            *FEW,
            "run.nodes=2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
            NODE_RANK=str(number),
        )
        for number in range(2)
    ]
    said = [machine.communicate(timeout=300)[1] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert_same_training(tmp_path, as_one)


@pytest.mark.slow
def test_processes_of_one_machine_train_as_one_and_validate_each_song_once(
    tree: Path, as_one: Path, tmp_path: Path
) -> None:
    process = start(tree, tmp_path, *FEW, three(tree), "run.devices=2")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said[-2000:]
    assert_same_training(tmp_path, as_one)
    for song in ("one", "two"):
        assert len(scalars(tmp_path, f"songs/{song} (as is)/vocals")) == 2
    levels = scalars(tmp_path, "valid/leakage")
    assert len(levels) == 2
    assert levels == pytest.approx(scalars(as_one, "valid/leakage"), rel=1e-2)


@pytest.mark.slow
def test_processes_of_torchrun_say_what_is_wrong_once(tree: Path, tmp_path: Path) -> None:
    process = start(tree, tmp_path, "loss.waveform=1e300", launcher=TWO)
    _, said = process.communicate(timeout=300)
    assert process.returncode != 0
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "not finite" in errors[0]
    assert not list(tmp_path.iterdir())


def test_a_mistake_that_all_processes_of_torchrun_find_is_the_firsts_to_say(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for name, value in {
        "TORCHELASTIC_RUN_ID": "any",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(meet.port),
    }.items():
        monkeypatch.setenv(name, value)
    words = [f"run.folder={tmp_path}", "data.batchsize=2"]
    with pytest.raises(ConfigError, match=r"no setting 'data\.batchsize'"):
        fit.run(tree / "tiny.yaml", words)
    with pytest.raises(SystemExit):
        fit.run(tree / "tiny.yaml", words)
    assert not list(tmp_path.iterdir())


def test_machines_keep_parts_of_their_own(tree: Path, tmp_path: Path) -> None:
    def kept(*place: int) -> set[str]:
        cache = tmp_path / "-".join(map(str, place))
        config = read_config(tree / "tiny.yaml", [f"data.cache={cache}"]).data
        Mixtures(config, ("vocals",), "accompaniment", RATE, [0], place=Place(*place))
        return {path.name for path in cache.iterdir()}

    every = kept(0, 1, 0, 1)
    first, second = kept(0, 2, 0, 2), kept(1, 2, 1, 2)
    assert len(every) == 4
    assert (len(first), len(second)) == (2, 2)
    assert first | second == every
    assert kept(1, 4, 0, 1) == every, "all processes of a machine share its part"
    assert kept(2, 3, 2, 3) == every, "fewer recordings than machines"
