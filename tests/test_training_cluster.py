"""Training on a local Ray cluster of two workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")
pytest.importorskip("ray.train")

from typer.testing import CliRunner  # noqa: E402

from training_tree import scalars, trained_as_one, training_tree  # noqa: E402
from unbraid.cli import app  # noqa: E402
from unbraid.errors import ConfigError, UnbraidError  # noqa: E402
from unbraid.fleet.cluster import ENVIRONMENT  # noqa: E402
from unbraid.training import cluster  # noqa: E402
from unbraid.training.lines import Lines  # noqa: E402

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ray's clusters in one machine need POSIX")

SHORT = ["run.steps=30", "run.steps_per_epoch=5", "run.conditions=[as is]"]


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
def test_workers_train_as_one_process_and_one_that_is_killed_costs_no_more_than_an_epoch(
    tree: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "ray" / "tiny"
    command = ["train", str(tree / "tiny.yaml"), f"run.folder={tmp_path}/ray", *SHORT]
    with ThreadPoolExecutor() as pool:
        killed = pool.submit(_kill_a_worker, folder / "checkpoints")
        done = CliRunner().invoke(app, [*command, "--engine", "ray", "--workers", "2"])
        assert done.exit_code == 0, done.output
        killed.result()
    ours = [line for line in done.output.splitlines() if "(raylet)" not in line]
    first, *said, last = ours
    assert first == "2 workers, 1 core each"
    assert said[0].startswith("step 5  17%  valid/sdr ")
    lost = next(number for number, line in enumerate(said) if "going on from" in line)
    assert str(folder / "checkpoints") in said[lost]
    assert not [line for line in said[lost:] if line.startswith("step 5 ")], "begun anew"
    assert said[-1].startswith("step 30  100%  ")
    assert last == str(folder / "tiny.safetensors")
    left = {path.name for path in folder.iterdir()}
    assert left == {"config.yaml", "checkpoints", "tensorboard", "tiny.safetensors"}

    trained_as_one(tree, tmp_path / "one", SHORT)
    for tag in ("valid/loss", "valid/sdr"):  # after five steps; later ones are of other draws
        one, both = (scalars(tmp_path / each, tag)[0] for each in ("one", "ray"))
        assert both == pytest.approx(one, rel=1e-3)


def _kill_a_worker(checkpoints: Path) -> None:
    """As soon as there is something to go on from."""
    deadline = time.monotonic() + 240
    while not list(checkpoints.glob("*.ckpt")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(_workers()[0], signal.SIGKILL)


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
