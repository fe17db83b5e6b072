"""Training on a local Ray cluster of two workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")
pytest.importorskip("ray.train")

from typer.testing import CliRunner  # noqa: E402

from training_tree import assert_same_training, trained_as_one, training_tree  # noqa: E402
from unbraid.cli import app  # noqa: E402
from unbraid.errors import ConfigError, UnbraidError  # noqa: E402
from unbraid.fleet.cluster import ENVIRONMENT  # noqa: E402
from unbraid.training import cluster  # noqa: E402
from unbraid.training.lines import Lines  # noqa: E402

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ray's clusters in one machine need POSIX")

FEW = ["run.steps=2", "run.steps_per_epoch=1", "run.conditions=[as is]"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module", autouse=True)
def two_cores() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        looks = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}  # at whether the workers are through
        for name, value in {**ENVIRONMENT, **looks}.items():
            patch.setenv(name, value)
        options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        ray.init("local", num_cpus=2, object_store_memory=80_000_000, **options)
        try:
            yield
        finally:
            ray.shutdown()


@pytest.mark.slow
def test_workers_train_as_one_process(tree: Path, tmp_path: Path) -> None:
    command = ["train", str(tree / "tiny.yaml"), f"run.folder={tmp_path}/ray", *FEW]
    done = CliRunner().invoke(app, [*command, "--engine", "ray", "--workers", "2"])
    assert done.exit_code == 0, done.output
    first, *steps, last = done.output.splitlines()
    assert first == "2 workers, 1 core each"
    assert [line.split("  ")[:2] for line in steps] == [["step 1", "50%"], ["step 2", "100%"]]
    folder = tmp_path / "ray" / "tiny"
    assert last == str(folder / "tiny.safetensors")
    left = {path.name for path in folder.iterdir()}
    assert left == {"config.yaml", "checkpoints", "tensorboard", "tiny.safetensors"}
    trained_as_one(tree, tmp_path / "one", FEW)
    assert_same_training(tmp_path / "ray", tmp_path / "one")


@pytest.mark.slow
def test_a_killed_worker_starts_again_from_the_last_checkpoint(tree: Path, tmp_path: Path) -> None:
    said = []

    def kill_once(line: str) -> None:
        if line.startswith("step") and not any(each.startswith("step") for each in said):
            deadline = time.monotonic() + 60
            while not list((tmp_path / "tiny" / "checkpoints").glob("*.ckpt")):
                assert time.monotonic() < deadline
                time.sleep(0.01)  # it is written after the line was said
            os.kill(_workers()[0], signal.SIGKILL)
        said.append(line)

    overrides = [f"run.folder={tmp_path}", "run.steps=30", "run.steps_per_epoch=10"]
    weights = cluster.run(tree / "tiny.yaml", overrides, workers=2, say=kill_once)
    assert weights.is_file()
    lost = next(number for number, line in enumerate(said) if "going on from" in line)
    assert str(tmp_path / "tiny" / "checkpoints") in said[lost]
    assert not [line for line in said[lost:] if line.startswith("step 10 ")], "begun anew"
    assert said[-1].startswith("step 30 ")


def _workers() -> list[int]:
    """Processes that this process's Ray trains in."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True)
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    raylets = {pid for pid, parent, *_ in rows if int(parent) == os.getpid()}
    trains = [row for row in rows if len(row) == 3 and "RayTrainWorker" in row[2]]
    return [int(pid) for pid, parent, _ in trains if parent in raylets]


@pytest.mark.slow
def test_a_workers_mistake_is_one_line_and_leaves_nothing(tree: Path, tmp_path: Path) -> None:
    overrides = [f"run.folder={tmp_path}/runs", "data.stems.vocals.all.path=/nowhere"]
    with pytest.raises(UnbraidError, match="/nowhere") as raised:
        cluster.run(tree / "tiny.yaml", overrides, workers=2)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_more_workers_than_cores_are_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 workers, but the cluster has 2 cores"):
        cluster.run(tree / "tiny.yaml", [f"run.folder={tmp_path}/runs"], workers=3)
    assert not (tmp_path / "runs").exists()


def test_the_process_that_keeps_lines_imports_no_torch() -> None:
    code = f"import sys, {Lines.__module__}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("flags", [["--workers", "2"], ["--address", "auto"]])
def test_flags_of_ray_need_the_engine(tree: Path, flags: list[str]) -> None:
    done = CliRunner().invoke(app, ["train", str(tree / "tiny.yaml"), *flags])
    assert isinstance(done.exception, UnbraidError)
    assert "need --engine ray" in str(done.exception)
