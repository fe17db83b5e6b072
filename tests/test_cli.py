"""The command line, run as a user runs it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from song_files import RATE, files_in, make_song
from unbraid.audio import load_audio, probe, save_audio
from unbraid.cli import app
from unbraid.errors import UnbraidError


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A process of its own; most tests do with the fixture `unbraid`, which is quicker."""
    command = [sys.executable, "-m", "unbraid", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")


def test_help_names_every_command_and_imports_no_torch():
    code = (
        "import sys; sys.argv = ['unbraid', '--help']\n"
        "from unbraid.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'numpy', 'av'} & set(sys.modules), 'heavy import'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ["separate", "info", "models", "train"]:
        assert command in done.stdout


def test_what_separates_nothing_imports_no_torch():
    code = (
        "import sys\n"
        "from unbraid.cli import main\n"
        "for words in (['models'], ['separate', 'nowhere.wav']):\n"
        "    sys.argv = ['unbraid', *words]\n"
        "    try: main()\n"
        "    except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_configuration_that_is_refused_imports_no_torch(tmp_path):
    (tmp_path / "broken.yaml").write_text("run: {steps: 1")
    code = (
        "import sys\n"
        "from unbraid.cli import main\n"
        "for words in (['nowhere'], ['broken.yaml'], ['unet', 'run.stepz=1', '--engine', 'ray']):\n"
        "    sys.argv = ['unbraid', 'train', *words]\n"
        "    try: main()\n"
        "    except SystemExit: pass\n"
        "assert not {'torch', 'lightning', 'ray'} & {*sys.modules}"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    said = done.stderr.splitlines()
    assert [line.split(":")[0] for line in said] == ["error"] * 3
    reasons = ["no such file", "line 2", "no setting 'run.stepz'"]
    assert all(reason in line for reason, line in zip(reasons, said, strict=True))


def test_the_package_offers_its_public_names_without_importing_torch():
    code = (
        "import sys, unbraid\n"
        "assert {'Separator', 'Separation', 'load_audio', 'save_audio'} <= set(dir(unbraid))\n"
        "assert issubclass(unbraid.AudioError, unbraid.UnbraidError)\n"
        "assert issubclass(unbraid.UnbraidWarning, UserWarning)\n"
        "assert 'torch' not in sys.modules\n"
        "from unbraid import Separator, Separation, load_audio, save_audio, list_models\n"
        "assert not hasattr(unbraid, 'nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_separate_writes_stems_that_add_up_and_a_line_for_the_song(tmp_path, model):
    song = make_song(tmp_path / "04 絆ふぉーえばー [live].wav", 2)

    done = run("separate", song, "-o", tmp_path / "out", "--model", model)

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert str(tmp_path / "out" / song.stem) in done.stdout
    assert "0:02" in done.stdout
    assert "x real time" in done.stdout
    stems = [tmp_path / "out" / song.stem / f"{stem}.wav" for stem in ("vocals", "accompaniment")]
    assert {probe(stem).bit_depth for stem in stems} == {"16"}
    mixture = load_audio(song)[0]
    np.testing.assert_allclose(sum(load_audio(stem)[0] for stem in stems), mixture, atol=1e-6)


def test_a_folder_is_mirrored_bad_files_are_reported_and_the_rest_is_done(tmp_path, model, unbraid):
    make_song(tmp_path / "in/a.wav")
    make_song(tmp_path / "in/Альбом/Песня.flac")
    (tmp_path / "in/corrupt.mp3").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "in/empty.wav").touch()
    (tmp_path / "in/text.wav").write_text("I am no song.\n" * 100)

    done = unbraid("separate", tmp_path / "in", "-o", tmp_path / "out", "--model", model)

    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 3
    for name in ["corrupt.mp3", "empty.wav", "text.wav"]:
        assert sum(line.startswith(f"error: {tmp_path / 'in' / name}: ") for line in lines) == 1
    assert files_in(tmp_path / "out") == {
        f"{track}/{stem}.wav"
        for track in ("a", "Альбом/Песня")
        for stem in ("vocals", "accompaniment")
    }
    assert "3 failed" in done.stdout
    assert "2 done" in done.stdout


def test_existing_stems_are_skipped(tmp_path, model, unbraid):
    make_song(tmp_path / "in/a.wav")
    flags = ("-o", tmp_path / "out", "--model", model, "--skip-existing")
    unbraid("separate", tmp_path / "in", *flags)
    make_song(tmp_path / "in/b.wav")
    before = (tmp_path / "out/a/vocals.wav").stat().st_mtime_ns

    done = unbraid("separate", tmp_path / "in", *flags)

    assert done.returncode == 0
    assert "1 skipped" in done.stdout
    assert (tmp_path / "out/b/vocals.wav").exists()
    assert (tmp_path / "out/a/vocals.wav").stat().st_mtime_ns == before


def test_stem_format_depth_name_and_plot(tmp_path, model, unbraid):
    song = make_song(tmp_path / "a.wav")
    flags = ["--stem", "vocals", "--format", "flac", "--bit-depth", "24", "--plot"]
    flags += ["--name", "{stem}/{track}.{ext}", "--model", model]
    done = unbraid("separate", song, "-o", tmp_path / "out", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert files_in(tmp_path / "out") == {"vocals/a.flac", "plot/a.png"}
    assert probe(tmp_path / "out/vocals/a.flac").bit_depth == "24"


def test_two_jobs_write_what_one_job_writes(tmp_path, model, unbraid):
    for name in ["a.wav", "b.wav", "c.wav"]:
        make_song(tmp_path / "in" / name)
    for jobs in (1, 2):
        flags = ("-o", tmp_path / f"out{jobs}", "--model", model, "--jobs", jobs)
        assert unbraid("separate", tmp_path / "in", *flags).returncode == 0
    assert len(files_in(tmp_path / "out1")) == 6
    for name in files_in(tmp_path / "out1"):
        one, two = load_audio(tmp_path / "out1" / name), load_audio(tmp_path / "out2" / name)
        np.testing.assert_allclose(one[0], two[0], atol=2**-14)


def test_the_precision_is_what_was_asked_for(tmp_path, model, unbraid):
    song = make_song(tmp_path / "a.wav")
    vocals = {}
    for precision in ("float32", "bfloat16"):
        flags = ("-o", tmp_path / precision, "--model", model, "--bit-depth", "32f")
        assert unbraid("separate", song, *flags, "--precision", precision).returncode == 0
        vocals[precision] = load_audio(tmp_path / precision / "a/vocals.wav")[0]
    change = np.abs(vocals["float32"] - vocals["bfloat16"]).max()
    assert 0 < change < 0.05 * np.abs(vocals["float32"]).max()


def test_what_the_user_should_know_stands_in_the_songs_line(tmp_path, model, unbraid):
    song = make_song(tmp_path / "a.wav", channels=6)
    done = unbraid("separate", song, "-o", tmp_path / "out", "--model", model)
    assert done.returncode == 0
    assert "6 channels" in done.stdout


def test_a_device_that_is_not_there_is_one_line(tmp_path, model, unbraid):
    song = make_song(tmp_path / "a.wav")
    for jobs in (1, 2):
        flags = ("-o", tmp_path / "out", "--model", model, "--device", "mps", "--jobs", jobs)
        done = unbraid("separate", song, make_song(tmp_path / "b.wav"), *flags)
        if sys.platform != "darwin":
            assert done.returncode == 1
            assert done.stderr.startswith("error: device 'mps'")
            assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.wav"], "nowhere.wav"),
        (["song.wav", "--model", "nothing"], "no model 'nothing'"),
        (["song.wav", "--model", "song.wav"], "song.wav"),
        (["folder"], "no audio or video files"),
        (["song.wav", "-o", "song.wav"], "is a file"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_1(
    tmp_path, monkeypatch, model, arguments, message, unbraid
):
    monkeypatch.chdir(tmp_path)
    make_song(tmp_path / "song.wav")
    (tmp_path / "folder").mkdir()
    if "--model" not in arguments:
        arguments = [*arguments, "--model", str(model)]
    done = unbraid("separate", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert files_in(tmp_path) == {"song.wav"}


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ("separate|", "separate"),
        ("separate|song.wav|-o|", "-o"),
        ("evaluate|--data|", "--data"),
        ("evaluate|--data=", "--data="),
        ("data|check|", "check"),
        ("report||runs", "report"),
        ("serve|--listen|", "--listen"),
        ("|models", "unbraid"),
    ],
)
def test_an_empty_word_is_not_the_folder_one_is_in(tmp_path, monkeypatch, arguments, place):
    make_song(tmp_path / "song.wav")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, arguments.split("|"))
    assert isinstance(done.exception, UnbraidError)
    assert str(done.exception).startswith(f"what follows {place} is empty, ")
    assert files_in(tmp_path) == {"song.wav"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["separate"],
        ["nothing"],
        ["separate", "song.wav", "--stem", "drums"],
        ["separate", "song.wav", "--jobs", "0"],
        ["separate", "song.wav", "--precision", "int8"],
        ["separate", "song.wav", "--name", "{track}.{ext}"],
        ["separate", "song.wav", "--name", "../{stem}.{ext}"],
        ["separate", "song.wav", "--format", "flac", "--bit-depth", "32f"],
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path, monkeypatch, model, arguments, unbraid):
    monkeypatch.chdir(tmp_path)
    make_song(tmp_path / "song.wav")
    if len(arguments) > 1:
        arguments = [*arguments, "--model", str(model)]
    done = unbraid(*arguments)
    assert done.returncode == 2
    assert "Usage" in done.stderr


def test_a_warning_is_one_line_like_an_error():
    code = (
        "import warnings\n"
        "from unbraid import cli\n"
        "from unbraid.errors import UnbraidWarning\n"
        "cli.app = lambda: warnings.warn('the GPU is not used', UnbraidWarning)\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "warning: the GPU is not used\n")


def test_info_says_what_a_file_holds(tmp_path, unbraid):
    song = make_song(tmp_path / "Песня.wav", 2)
    done = unbraid("info", song, tmp_path / "nowhere.wav")
    assert done.returncode == 1
    for fact in ["Песня.wav", "44100 Hz", "0:02", "88200 samples", "wav", "bit depth    16"]:
        assert fact in done.stdout
    assert done.stderr.startswith("error: ")
    assert "nowhere.wav" in done.stderr


def test_info_goes_on_after_a_song_that_may_not_be_read(tmp_path, unbraid, monkeypatch):
    songs = [make_song(tmp_path / name) for name in ("secret.wav", "open.wav")]
    opened = Path.open

    def may(path: Path, *arguments: object, **more: object) -> object:
        if path == songs[0]:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *arguments, **more)

    monkeypatch.setattr(os, "access", lambda path, *arguments, **more: Path(path) != songs[0])
    monkeypatch.setattr(Path, "open", may)
    done = unbraid("info", *songs)
    assert done.returncode == 1
    assert "secret.wav: cannot be opened (Permission denied)" in done.stderr
    assert "open.wav\n  format       wav" in done.stdout


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_info_gives_no_bit_depth_to_lossy_files(tmp_path, name, unbraid):
    save_audio(tmp_path / name, np.zeros((2, RATE), np.float32), RATE, "16")
    done = unbraid("info", tmp_path / name)
    assert done.returncode == 0
    assert "bit depth    none, as it is lossy\n" in done.stdout


def test_models_lists_what_is_shipped(unbraid):
    done = unbraid("models")
    assert (done.returncode, done.stderr) == (0, "")
    for fact in ["bandsplit\n", "vocals, accompaniment", "licence", "trained on"]:
        assert fact in done.stdout
    assert done.stdout.count("the default\n") == 1
    cards = [line for line in done.stdout.splitlines() if not line.startswith("  file")]
    assert max(map(len, cards)) <= 100


def test_models_shows_one_with_the_weights_that_helped(unbraid):
    listed, shown = unbraid("models"), unbraid("models", "show", "unet")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "other weights helped: unbraid models show unet" in " ".join(listed.stdout.split())
    assert "begun with" not in listed.stdout
    assert "begun with" in shown.stdout
    missing = unbraid("models", "show", "nothing")
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: ")
    assert len(missing.stderr.splitlines()) == 1


def test_training_without_its_packages_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['lightning'] = None; sys.argv = ['unbraid', 'train', 'x.yaml']\n"
        "from unbraid.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'pip install "unbraid[train]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_version():
    assert run("--version").stdout.startswith("unbraid ")
