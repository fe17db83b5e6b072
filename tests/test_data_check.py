"""`unbraid data check`: finds what is wrong with a data set."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from trees import RATE, song, write_folder, write_song, write_stem_file
from unbraid.cli import app
from unbraid.data.check import check
from unbraid.data.tracks import find_tracks


def run(*arguments: object):
    return CliRunner().invoke(app, ["data", "check", *map(str, arguments)])


def reports(root):
    return {report.track: report for report in check(find_tracks(root))}


@pytest.mark.parametrize("packed", [True, False], ids=["musdb18", "musdb18-hq"])
def test_sound_data_set(tmp_path, packed):
    for seed, name in enumerate(["train/A", "train/ANiMAL - Rockshow", "test/B"]):
        write_song(tmp_path, name, seed, packed, seconds=2.6)
    done = run(tmp_path)
    assert done.exit_code == 0, done.output
    assert "3 tracks, 0.1 minutes, train 1, valid 1, test 1, none would stop" in done.output
    assert "0 tracks with warnings" in done.output
    assert "ANiMAL - Rockshow" in done.output
    for report in reports(tmp_path).values():
        assert report.stems == ("bass", "drums", "other", "vocals")
        assert (report.rate, report.channels) == (RATE, 2)
        assert report.seconds == pytest.approx(2.6, abs=0.05)


def test_what_would_stop_training(tmp_path):
    for name in ("1", "2", "3", "4"):
        write_song(tmp_path, name, int(name), packed=False)
    audio = song(9)
    write_folder(tmp_path / "lacks", **{s: audio[s] for s in ("vocals", "bass", "other")})
    write_folder(tmp_path / "short", **{**audio, "bass": audio["bass"][:, : RATE // 2]})
    soundfile.write(write_folder(tmp_path / "rates", **audio) / "bass.wav", audio["bass"].T, 48000)
    (write_folder(tmp_path / "broken", **audio) / "bass.wav").write_bytes(b"RIFF no wave")
    audio["drums"][0, 1234] = np.nan
    write_folder(tmp_path / "nan", "FLOAT", **audio)
    write_stem_file(tmp_path / "streams.stem.mp4", list(song(9).values())[:4])
    doubled = write_folder(tmp_path / "doubled", **song(9))
    soundfile.write(doubled / "bass.flac", song(9)["bass"].T, RATE)

    found = {name: report.errors for name, report in reports(tmp_path).items()}
    assert all(found[name] == [] for name in "1234")
    assert found["lacks"] == ["no drums"]
    assert found["short"] == ["lengths differ: 0.5 and 1.0 s"]
    assert found["rates"] == ["sample rates differ: 44100 and 48000 Hz"]
    assert found["streams"] == ["no vocals"]
    assert found["doubled"] == ["several files of bass; leave one of each"]
    (broken,), (nan,) = found["broken"], found["nan"]
    assert broken.startswith("bass.wav: not an audio file")
    assert nan.startswith("drums.wav: not-a-number at 0.028 s")

    done = run(tmp_path)
    assert done.exit_code == 1
    assert "7 would stop training" in done.output


def test_what_would_only_be_worse(tmp_path):
    audio = song(1)
    write_folder(tmp_path / "silent", **{**audio, "vocals": np.zeros_like(audio["vocals"])})
    write_folder(tmp_path / "other mix", **{**audio, "mixture": 0.9 * audio["mixture"]})
    write_folder(tmp_path / "shorter", **{**audio, "bass": audio["bass"][:, :-7]})
    done = run(tmp_path)
    assert done.exit_code == 0, done.output
    found = {name: report.warnings for name, report in reports(tmp_path).items()}
    assert found["silent"][0] == "vocals is silent"
    assert found["other mix"] == ["stems do not sum to the mixture (-19 dB)"]
    assert found["shorter"][0] == "lengths differ by 7 samples"


@pytest.mark.parametrize(
    ("stems", "missing"),
    [
        (("Vocals", "Instrumental"), ["no vocals"]),
        (("bass", "drums"), ["no vocals"]),
        (("vocals", "mixture"), ["no accompaniment"]),
        (("accompaniment", "bass"), ["no vocals"]),
    ],
)
def test_songs_that_all_lack_what_training_needs(tmp_path, stems, missing):
    for name, seed in (("a", 1), ("b", 2)):
        audio = iter(song(seed).values())
        write_folder(tmp_path / name, **{stem: next(audio) for stem in stems})
    assert [report.errors for report in reports(tmp_path).values()] == [missing] * 2


def test_half_of_the_songs_without_vocals(tmp_path):
    audio = song(1)
    write_folder(tmp_path / "sung", vocals=audio["vocals"], guitar=audio["other"])
    write_folder(tmp_path / "played", bass=audio["bass"], drums=audio["drums"])
    found = {name: report.errors for name, report in reports(tmp_path).items()}
    assert found == {"sung": [], "played": ["no vocals"]}


def test_files_without_samples(tmp_path):
    audio = song(1)
    write_folder(tmp_path / "x", vocals=audio["vocals"][:, :0], bass=audio["bass"][:, :0])
    done = run(tmp_path)
    assert done.exit_code == 1
    assert reports(tmp_path)["x"].errors == ["bass is empty", "vocals is empty"]


def test_vocals_that_are_silent_everywhere(tmp_path):
    audio = song(1)
    silent = {**audio, "vocals": np.zeros_like(audio["vocals"])}
    for name in ("a", "b"):
        write_folder(tmp_path / name, **silent)
    done = run(tmp_path)
    assert done.exit_code == 1
    assert "no track has vocals that sound" in done.output


def test_folders_of_one_stem_are_not_passed_over_in_silence(tmp_path):
    audio = song(1)
    whole = write_folder(tmp_path / "set/train/whole", vocals=audio["vocals"], bass=audio["bass"])
    write_folder(tmp_path / "set/train/lone", vocals=audio["vocals"])
    write_folder(tmp_path / "set/notes", interview=audio["vocals"])
    write_folder(tmp_path / "set", vocals=audio["vocals"])
    done = run(tmp_path / "set")
    assert done.exit_code == 0, done.output
    assert "1 track, " in done.output
    assert "0 tracks with warnings, 1 folder passed over\n" in done.output
    found = {name: report.warnings for name, report in reports(tmp_path / "set").items()}
    assert found == {"whole": [], "train/lone": ["passed over, as vocals is alone"]}
    assert set(reports(whole)) == {"whole"}


@pytest.mark.parametrize("packed", [True, False])
def test_stems_of_a_lossy_codec_sum_less_exactly(tmp_path, packed):
    """At -40 dB a sum is as good as AAC's, but no longer that of uncompressed files."""
    audio = song(1, 3)
    audio["mixture"] = 1.01 * audio["mixture"]
    if packed:
        write_stem_file(tmp_path / "x.stem.mp4", list(audio.values()))
    else:
        write_folder(tmp_path / "x", **audio)
    assert bool(reports(tmp_path)["x"].warnings) is not packed


@pytest.mark.parametrize(
    ("start", "samples", "places"),
    [(500, 2, 0), (500, 3, 1), (0, 9, 1), ((1 << 17) - 1, 3, 1), ((1 << 17) - 9, 18, 1)],
)
def test_clipping_is_counted_across_blocks(tmp_path, start, samples, places):
    audio = np.zeros((2, 140_000), np.float32)
    audio[0] = 0.01
    audio[1, start : start + samples] = -1
    audio[1, 139_000:139_001] = 1
    write_folder(tmp_path / "x", vocals=audio, piano=audio / 2)
    said = [warning for warning in reports(tmp_path)["x"].warnings if "clipped" in warning]
    assert said == ["clipped: vocals (1x)"] * places


def test_names_cannot_steer_the_terminal(tmp_path):
    write_folder(tmp_path / "\x1b[31m[red]Bär", vocals=song(0)["vocals"], bass=song(0)["bass"])
    done = run(tmp_path)
    assert "\\x1b[31m[red]Bär" in done.output
    assert "\x1b" not in done.output


def test_several_processes_say_the_same(tmp_path):
    for name in ("1", "2", "3"):
        write_song(tmp_path, name, int(name), packed=False)
    assert list(check(find_tracks(tmp_path), jobs=2)) == list(check(find_tracks(tmp_path)))


def test_folder_without_songs(tmp_path):
    assert "no audio files" in str(run(tmp_path).exception)
