"""Catalogues on a Ray cluster of two nodes, with workers that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from song_files import make_song
from unbraid.audio import probe
from unbraid.batch import separate_songs
from unbraid.models import build
from unbraid.models.checkpoint import save
from unbraid.planning import Options, plan
from unbraid.separator import Separator
from unbraid.songs import find_songs

ray = pytest.importorskip("ray")
parquet = pytest.importorskip("pyarrow.parquet")

from unbraid.fleet.catalogue import separate_catalogue  # noqa: E402
from unbraid.fleet.cluster import ENVIRONMENT  # noqa: E402
from unbraid.fleet.manifest import unescape  # noqa: E402
from unbraid.fleet.places import as_place  # noqa: E402

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ray's clusters in one machine need POSIX")

STEMS = ("vocals", "accompaniment")


class Deadly(Separator):
    """A separator that dies in the middle of some songs.

    Args:
        once: folder that notes which songs have killed a worker; None to die every time.
    """

    once: Path | None = None

    def separate_file(self, path, out_dir, *, progress, **options):
        def die(fraction: float) -> None:
            note = self.once and self.once / Path(path).name
            if "death" in Path(path).name and not (note and note.exists()):
                if note:
                    note.touch()
                assert list(Path(out_dir).rglob(".unbraid-*")), "nothing is half-written yet"
                os.kill(os.getpid(), signal.SIGKILL)
            progress(fraction)

        return super().separate_file(path, out_dir, progress=die, **options)


def deadly(path: Path, once: Path | None = None) -> Separator:
    separator = Deadly.from_pretrained(path, device="cpu")
    separator.once = once
    return separator


class Patient(Separator):
    """A separator that waits at the end of a song.

    Args:
        note: file to wait for.
    """

    note: Path

    def separate_file(self, path, out_dir, **options):
        files = super().separate_file(path, out_dir, **options)
        while not self.note.exists():
            time.sleep(0.05)
        return files


def patient(path: Path, note: Path) -> Separator:
    separator = Patient.from_pretrained(path, device="cpu")
    separator.note = note
    return separator


quiet = partial(Separator.from_pretrained, device="cpu")


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with one core each; the address."""
    environment = {
        **ENVIRONMENT,
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_initial_delay_ms": "1000",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # for `deadly`
        node = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
        two = Cluster(initialize_head=True, head_node_args=node)
        try:
            del node["include_dashboard"]
            two.add_node(**node)
            ray.init(two.address, log_to_driver=False, logging_level="ERROR")
            yield two
        finally:
            ray.shutdown()
            two.shutdown()


def run(inputs: list, out, model: Path, make_separator=quiet, stems=STEMS, **more):
    """Statuses and results by file name, as the fleet reports them."""
    results = []
    tally = separate_catalogue(
        inputs, Options(out, stems), model, make_separator, on_result=results.append, **more
    )
    assert tally.total() == len(results)
    assert len({str(result.song.path) for result in results}) == len(results), "reported once"
    return {result.song.path.name: result for result in results}


def run_locally(root: Path, out: Path, model: Path) -> dict[str, bytes]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers have
    try:
        options = Options(out, STEMS)
        tasks, _ = plan(find_songs([root], out), options)
        separate_songs(tasks, options, partial(Separator.from_pretrained, model, device="cpu"))
    finally:
        torch.set_num_threads(before)
    return contents(out)


def contents(out: Path) -> dict[str, bytes]:
    """Every file below a folder but the manifest."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name != "manifest.parquet"
    }


def manifest(out: Path) -> dict[str, dict]:
    rows = parquet.read_table(out / "manifest.parquet").to_pylist()
    assert len({row["path"] for row in rows}) == len(rows), "one row a song"
    return {Path(row["path"]).name: row for row in rows}


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_repeats_nothing(cluster, tmp_path, model):
    root, out = tmp_path / "in", tmp_path / "out"
    for name in ["a.wav", "death.wav", "x/b [live].flac", "x/y/絆.wav"]:
        make_song(root / name)
    (root / "text.wav").write_text("I am no song.\n" * 100)

    results = run([root], out, model, partial(deadly, once=tmp_path))

    assert (tmp_path / "death.wav").exists(), "the worker was killed"
    expected = run_locally(root, tmp_path / "local", model)
    assert contents(out) == expected
    assert {name for name, result in results.items() if result.status == "failed"} == {"text.wav"}
    assert results["text.wav"].error.startswith(f"{root / 'text.wav'}: not an audio file")
    assert results["絆.wav"].files["vocals"] == out / "x/y/絆/vocals.wav"
    rows = manifest(out)
    error = rows.pop("text.wav")
    assert (error["status"], error["error"]) == ("failed", results["text.wav"].error)
    assert {name: row["attempts"] for name, row in rows.items()} == {
        "a.wav": 1,
        "death.wav": 2,
        "b [live].flac": 1,
        "絆.wav": 1,
    }
    assert {row["status"] for row in rows.values()} == {"done"}
    assert rows["a.wav"]["duration"] == 1.0
    assert dict(rows["a.wav"]["outputs"]) == {stem: f"a/{stem}.wav" for stem in STEMS}
    assert not (out / ".unbraid").exists()

    times = {name: (out / name).stat().st_mtime_ns for name in expected}
    make_song(root / "a.wav", 1.5)
    (out / "death/vocals.wav").unlink()
    again = run([root], out, model, jobs=1)  # or a second worker imported torch

    redone = {name for name, result in again.items() if result.status == "done"}
    assert redone == {"a.wav", "death.wav"}
    assert again["絆.wav"].status == "skipped"
    changed = {name for name in expected if (out / name).stat().st_mtime_ns != times[name]}
    assert {Path(name).parent.name for name in changed} == {"a", "death"}
    assert manifest(out)["a.wav"]["duration"] == 1.5
    assert manifest(out)["絆.wav"] == rows["絆.wav"]


@pytest.mark.slow
def test_a_song_that_always_kills_its_worker_is_given_up_and_the_rest_is_done(
    cluster, tmp_path, model
):
    for name in ["a.wav", "death.wav", "z.wav"]:
        make_song(tmp_path / "in" / name)
    results = run([tmp_path / "in"], tmp_path / "out", model, deadly)
    assert {name: result.status for name, result in results.items()} == {
        "a.wav": "done",
        "death.wav": "failed",
        "z.wav": "done",
    }
    assert "fewer jobs" in results["death.wav"].error
    rows = manifest(tmp_path / "out")
    assert rows["death.wav"]["attempts"] == 2
    assert rows["death.wav"]["error"] == results["death.wav"].error
    assert {name.split("/")[0] for name in contents(tmp_path / "out")} == {"a", "z"}


@pytest.mark.slow
def test_urls_go_in_and_out_and_another_model_or_option_is_done_anew(cluster, tmp_path, model):
    make_song(tmp_path / "in/x/a [1].wav")
    root, out = (as_place((tmp_path / name).as_uri()) for name in ("in", "out"))
    (tmp_path / "in/text.wav").write_text("I am no song.\n" * 100)

    results = run([root], out, model)

    expected = run_locally(tmp_path / "in", tmp_path / "local", model)
    assert contents(tmp_path / "out") == expected
    assert str(results["a [1].wav"].files["vocals"]).startswith("file:///")
    assert results["text.wav"].error.startswith(f"{root}/text.wav: not an audio file")
    (tmp_path / "in/text.wav").unlink()
    assert run([root], out, model)["a [1].wav"].status == "skipped"
    flac = Options(out, STEMS, format="flac")
    assert separate_catalogue([root], flac, model, quiet)["done"] == 1
    make_song(tmp_path / "in/x/a [1].wav", 1.5)
    existing = Options(out, STEMS, skip_existing=True)
    assert separate_catalogue([root], existing, model, quiet)["skipped"] == 1
    other = tmp_path / "other.safetensors"
    network = build("bandsplit", features=4, hidden=8, blocks=1)
    save(network, other, architecture="bandsplit", licence="CC0-1.0", data="nothing")
    assert run([root], out, other)["a [1].wav"].status == "done"
    assert contents(tmp_path / "out")["x/a [1]/vocals.wav"] != expected["x/a [1]/vocals.wav"]
    finer = build("bandsplit", features=4, hidden=8, blocks=1, hop=1024)
    finer.load_state_dict(network.state_dict())  # the same weights at another hop
    save(finer, other, architecture="bandsplit", licence="CC0-1.0", data="nothing")
    assert run([root], out, other)["a [1].wav"].status == "done"
    assert run([root], out, other)["a [1].wav"].status == "skipped"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8")
def test_a_name_that_is_not_utf8_is_a_song_like_any_other(cluster, tmp_path, model):
    name, root, out = os.fsdecode(b"caf\xe9.wav"), tmp_path / "in", tmp_path / "out"
    make_song(root / "a.wav").rename(root / name)

    assert run([root], out, model)[name].status == "done"

    row = parquet.read_table(out / "manifest.parquet").to_pylist()[0]
    assert row["path"] == f"{root}/caf\\udce9.wav"
    outputs = {stem: out / unescape(file) for stem, file in row["outputs"]}
    assert outputs == {stem: out / Path(name).stem / f"{stem}.wav" for stem in STEMS}
    assert all(file.exists() for file in outputs.values())
    assert run([root], out, model)[name].status == "skipped"


@pytest.mark.slow
def test_an_interruption_leaves_no_partial_file_and_forgets_none(cluster, tmp_path, model):
    songs = [make_song(tmp_path / "done.wav"), make_song(tmp_path / "long.wav", 60)]
    note = tmp_path / "interrupted"

    def interrupt(task, fraction):
        if task.song.path.name == "done.wav" and fraction == 1:
            note.touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(songs, tmp_path / "out", model, partial(patient, note=note), on_progress=interrupt)
    left = contents(tmp_path / "out")  # a fast machine may have finished the long one by then
    songs_left = {name.split("/")[0] for name in left}
    assert set(left) == {f"{song}/{stem}.wav" for song in songs_left for stem in STEMS}
    assert "done" in songs_left
    assert set(manifest(tmp_path / "out")) == {f"{song}.wav" for song in songs_left}
    for name in left:
        assert probe(tmp_path / "out" / name).duration == (60 if "long" in name else 1)


@pytest.mark.slow
def test_the_command_line_says_what_it_says_locally(cluster, tmp_path, model):
    for name in ["a.wav", "b.wav"]:
        make_song(tmp_path / "in" / name, 0.5)
    (tmp_path / "in/empty.wav").touch()
    said = {}
    for engine in (["ray", "--address", cluster.address], ["local"]):
        flags = ["-o", "out", "--model", str(model), "--engine", *engine]
        folder = tmp_path / engine[0]
        folder.mkdir()
        (folder / "in").symlink_to(tmp_path / "in")
        done = subprocess.run(
            [sys.executable, "-m", "unbraid", "separate", "in", *flags],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        lines = [line.split("  ")[0] for line in done.stdout.splitlines() if "%" not in line]
        said[engine[0]] = (done.returncode, sorted(lines), done.stderr)
    assert said["ray"] == said["local"]
    assert said["ray"][0] == 1
    assert contents(tmp_path / "ray/out") == contents(tmp_path / "local/out")


@pytest.mark.slow
def test_a_lost_node_loses_nothing(cluster, tmp_path, model):
    for number in range(6):
        make_song(tmp_path / f"in/{number}.wav")
    node = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    lost = []

    def lose(result):
        if not lost:
            lost.append(cluster.remove_node(node, allow_graceful=False))

    options = Options(tmp_path / "out", STEMS)
    tally = separate_catalogue([tmp_path / "in"], options, model, quiet, jobs=3, on_result=lose)

    assert tally == {"done": 6}
    assert contents(tmp_path / "out") == run_locally(tmp_path / "in", tmp_path / "local", model)
    assert set(manifest(tmp_path / "out")) == {f"{number}.wav" for number in range(6)}
