"""Batches, with a separator that halves."""

from __future__ import annotations

import os
import time
import warnings
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from song_files import files_in
from unbraid.audio import AudioReader, AudioWriter, load_audio, save_audio
from unbraid.batch import separate_song, separate_songs
from unbraid.errors import AudioError, ConfigError, UnbraidWarning
from unbraid.planning import Options, Task, check_options, plan
from unbraid.songs import Song, find_songs

STEMS = ("vocals", "accompaniment")


class Halver:
    """A separator that gives each stem half of the mixture."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause

    def separate_file(self, path, out_dir, *, stems, name, format, bit_depth, progress):
        if "bug" in path.name:
            raise RuntimeError("a bug")
        if "death" in path.name:
            os._exit(1)
        if "wide" in path.name:
            warnings.warn("more than two channels", UnbraidWarning, stacklevel=2)
        files = {}
        for number, stem in enumerate(stems):
            target = Path(out_dir) / name.format(track=path.stem, stem=stem, ext=format)
            with AudioReader(path) as reader:
                info = reader.info
                with AudioWriter(target, info.sample_rate, info.channels, "16") as writer:
                    while (block := reader.read(1000)).shape[1]:
                        writer.write(block / 2)
                        time.sleep(self.pause)
                        progress((number + writer.samples / info.samples) / len(stems))
            files[stem] = writer.path
        return files


def make_song(path: Path, samples: int = 4000, channels: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = np.random.default_rng(0).normal(size=(channels, samples)).astype(np.float32) / 8
    save_audio(path, audio, 8000, "16")
    return path


def run(inputs: list[Path], out: Path, jobs: int = 1, pause: float = 0.0, **more):
    """All results by file name."""
    callbacks = {key: more.pop(key) for key in ("on_progress", "on_result") if key in more}
    options = Options(out, more.pop("stems", STEMS), **more)
    check_options(options)
    tasks, known = plan(find_songs(inputs, out), options)
    results = separate_songs(tasks, options, partial(Halver, pause), jobs, **callbacks)
    return {result.song.path.name: result for result in known + results}


def test_files_come_as_given_and_folders_are_searched_sorted_and_mirrored(tmp_path):
    for name in ["b.wav", "a/2.flac", "a/1.WAV", "a/deep/er/04 絆ふぉーえばー.wav", "Песня.wav"]:
        make_song(tmp_path / "in" / name)
    (tmp_path / "in/notes.txt").write_text("no song")
    make_song(tmp_path / "in/.hidden/x.wav")
    make_song(tmp_path / "in/._b.wav")
    single = make_song(tmp_path / "z.wav")

    songs = find_songs([single, tmp_path / "in"], tmp_path / "out")

    assert [(song.path.name, str(song.folder)) for song in songs] == [
        ("z.wav", "."),
        ("1.WAV", "a"),
        ("2.flac", "a"),
        ("04 絆ふぉーえばー.wav", os.path.join("a", "deep", "er")),
        ("b.wav", "."),
        ("Песня.wav", "."),
    ]


def test_a_song_named_twice_is_separated_once(tmp_path):
    song = make_song(tmp_path / "in/a.wav")
    assert find_songs([song, tmp_path / "in", song], tmp_path / "out") == [Song(song)]


def test_output_inside_the_searched_folder_is_not_input_of_the_next_run(tmp_path):
    make_song(tmp_path / "a.wav")
    run([tmp_path], tmp_path / "separated")
    assert [song.path.name for song in find_songs([tmp_path], tmp_path / "separated")] == ["a.wav"]


def test_a_folder_without_songs_is_an_error(tmp_path):
    with pytest.raises(AudioError, match="no audio or video files"):
        find_songs([tmp_path], tmp_path / "out")


@pytest.mark.parametrize("jobs", [1, 2])
def test_bad_songs_are_reported_bugs_with_their_traceback_and_the_rest_is_done(tmp_path, jobs):
    """Whose progress rises to one."""
    good = [make_song(tmp_path / "in" / name) for name in ["a.wav", "x/絆.wav", "x/y/b.flac"]]
    (tmp_path / "in/empty.wav").touch()
    (tmp_path / "in/text.wav").write_text("I am no song.\n" * 100)
    (tmp_path / "in/corrupt.mp3").write_bytes(np.random.default_rng(0).bytes(5000))
    cut = make_song(tmp_path / "in/cut.flac", 40000)
    cut.write_bytes(cut.read_bytes()[:20000])
    make_song(tmp_path / "in/bug.wav")

    told: dict[str, list[float]] = defaultdict(list)
    finished = []

    results = run(
        [tmp_path / "in"],
        tmp_path / "out",
        jobs,
        pause=0.02,
        on_progress=lambda task, fraction: told[task.song.path.name].append(fraction),
        on_result=lambda result: finished.append(result.song.path.name),
    )

    failed = {name for name, result in results.items() if result.status == "failed"}
    assert failed == {"empty.wav", "text.wav", "corrupt.mp3", "cut.flac", "bug.wav"}
    assert all("\n" not in results[name].error for name in failed - {"bug.wav"})
    assert "Traceback" in results["bug.wav"].error
    assert "in separate_file" in results["bug.wav"].error
    tracks = ["a", "x/絆", "x/y/b"]
    assert files_in(tmp_path / "out") == {
        f"{track}/{stem}.wav" for track in tracks for stem in STEMS
    }
    assert {results[song.name].status for song in good} == {"done"}
    assert results["a.wav"].duration == 0.5
    for fractions in (told[song.name] for song in good):
        assert fractions[0] == 0.0
        assert fractions == sorted(fractions)
        assert len(fractions) > 2
        assert fractions[-1] == 1.0
    assert len(finished) == len(set(finished))
    assert {song.name for song in good} <= set(finished) <= set(results)


def test_a_folder_that_cannot_be_read_is_reported_and_the_rest_is_done(tmp_path, unreadable_secret):
    for name in ["a.wav", "secret.wav", "secret/b.wav", "z/c.wav"]:
        make_song(tmp_path / "in" / name)
    results = run([tmp_path / "in"], tmp_path / "out")
    secret = tmp_path / "in/secret"
    assert results["secret"].error == f"{secret}: cannot be read: Permission denied"
    done = {name for name, result in results.items() if result.status == "done"}
    assert done == {"a.wav", "secret.wav", "c.wav"}
    results = run([secret], tmp_path / "out2")
    assert results["secret"].error == f"{secret}: cannot be read: Permission denied"


def test_a_path_that_cannot_be_looked_at_is_reported_and_the_rest_is_done(tmp_path):
    long = tmp_path / f"{'x' * 300}.wav"
    results = run([long, make_song(tmp_path / "a.wav")], tmp_path / "out")
    assert results["a.wav"].status == "done"
    assert results[long.name].error.startswith(f"{long}: ")


def test_a_worker_that_dies_is_reported(tmp_path):
    for name in ["death1.wav", "death2.wav"]:
        make_song(tmp_path / "in" / name)
    results = run([tmp_path / "in"], tmp_path / "out", jobs=2)
    assert {result.status for result in results.values()} == {"failed"}
    assert "fewer jobs" in results["death1.wav"].error


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interruption_leaves_no_partial_file(tmp_path, jobs):
    for name in ["a.wav", "b.wav", "c.wav"]:
        make_song(tmp_path / "in" / name, 100_000)

    def interrupt(task, fraction):
        if fraction > 0.1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([tmp_path / "in"], tmp_path / "out", jobs, pause=0.02, on_progress=interrupt)
    assert files_in(tmp_path / "out") == set()


def test_existing_output_is_skipped_only_if_all_of_it_is_there(tmp_path):
    for name in ["a.wav", "b.wav"]:
        make_song(tmp_path / "in" / name)
    run([tmp_path / "in"], tmp_path / "out")
    (tmp_path / "out/b/vocals.wav").unlink()
    before = (tmp_path / "out/a/vocals.wav").stat().st_mtime_ns

    results = run([tmp_path / "in"], tmp_path / "out", skip_existing=True)

    assert results["a.wav"].status == "skipped"
    assert results["b.wav"].status == "done"
    assert (tmp_path / "out/a/vocals.wav").stat().st_mtime_ns == before


def test_a_flac_that_became_float_wav_counts_as_there(tmp_path):
    song = make_song(tmp_path / "a.wav")
    make_song(tmp_path / "out/a/accompaniment.flac")
    save_audio(tmp_path / "out/a/vocals.wav", np.array([0.5, -1.5], np.float32), 8000)
    results = run([song], tmp_path / "out", format="flac", skip_existing=True)
    assert results["a.wav"].status == "skipped"


@pytest.mark.parametrize("bit_depth", ["16", "32f"])
def test_a_wav_that_a_flac_would_have_held_counts_for_none(tmp_path, bit_depth):
    song = make_song(tmp_path / "a.wav")
    run([song], tmp_path / "out", bit_depth=bit_depth)
    (result,) = run([song], tmp_path / "out", format="flac", skip_existing=True).values()
    assert result.status == "done"
    assert files_in(tmp_path / "out") == {
        f"a/{stem}.{suffix}" for stem in STEMS for suffix in ("wav", "flac")
    }


def test_songs_with_the_same_output_are_errors_that_name_each_other(tmp_path):
    for name in ["a.wav", "a.flac", "b.wav"]:
        make_song(tmp_path / "in" / name)
    results = run([tmp_path / "in"], tmp_path / "out")
    assert results["b.wav"].status == "done"
    assert "a.flac" in results["a.wav"].error
    assert "a.wav" in results["a.flac"].error
    assert not (tmp_path / "out/a").exists()


def test_a_name_without_track_serves_one_song_only(tmp_path):
    a, b = make_song(tmp_path / "a.wav"), make_song(tmp_path / "b.wav")
    assert run([a], tmp_path / "1", name="{stem}.{ext}")["a.wav"].status == "done"
    results = run([a, b], tmp_path / "2", name="{stem}.{ext}")
    assert {result.status for result in results.values()} == {"failed"}


def test_a_song_is_never_overwritten(tmp_path):
    song = make_song(tmp_path / "a.wav")
    before = song.read_bytes()
    results = run([song], tmp_path, stems=("vocals",), name="{track}.{ext}")
    assert "overwritten" in results["a.wav"].error
    assert song.read_bytes() == before


@pytest.mark.parametrize(
    "name",
    [
        "{track}.{ext}",  # several stems
        "{track}/{stem}.wav",
        "{title}/{stem}.{ext}",
        "{track:d}/{stem}.{ext}",
        "{track.name}/{stem}.{ext}",
        "{track/{stem}.{ext}",
        "../{track}/{stem}.{ext}",
        "/tmp/{track}/{stem}.{ext}",
    ],
)
def test_a_bad_name_template_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="name"):
        check_options(Options(tmp_path, STEMS, name))


def test_flac_in_float_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="flac"):
        check_options(Options(tmp_path, STEMS, format="flac", bit_depth="32f"))
    with pytest.raises(ConfigError, match="ogg is lossy and has no bit depth"):
        check_options(Options(tmp_path, STEMS, format="ogg", bit_depth="24"))


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(AudioError, match="is a file"):
        check_options(Options(tmp_path / "out/deeper", STEMS))


def test_warnings_come_with_the_result(tmp_path):
    results = run([make_song(tmp_path / "wide.wav", channels=6)], tmp_path / "out")
    assert results["wide.wav"].warnings == ("more than two channels",)


def test_the_length_of_a_song_is_that_of_its_stems_whatever_it_says(tmp_path):
    task = Task(Song(make_song(tmp_path / "a.wav", samples=4000)), None, duration=99.0)
    result = separate_song(Halver(), task, Options(tmp_path / "out", STEMS), lambda fraction: None)
    assert result.duration == 4000 / 8000


def test_a_plot_lies_beside_the_stems(tmp_path):
    pytest.importorskip("matplotlib")
    results = run([make_song(tmp_path / "a.wav")], tmp_path / "out", plot=True)
    assert results["a.wav"].files["plot"] == tmp_path / "out/a/plot.png"
    assert files_in(tmp_path / "out") == {"a/vocals.wav", "a/accompaniment.wav", "a/plot.png"}


def test_stems_hold_what_the_separator_made(tmp_path):
    song = make_song(tmp_path / "a.wav")
    files = run([song], tmp_path / "out", stems=("vocals",), name="{track}_{stem}.{ext}")[
        "a.wav"
    ].files
    assert files == {"vocals": tmp_path / "out/a_vocals.wav"}
    vocals, rate = load_audio(files["vocals"])
    assert rate == 8000
    np.testing.assert_allclose(vocals, load_audio(song)[0] / 2, atol=2**-15)
