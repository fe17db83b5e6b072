"""`unbraid evaluate`: systems on songs, through the command line and the API."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from albums import RATE, noise, run, write
from unbraid.audio import load_audio, save_audio
from unbraid.errors import DataError, UnbraidError
from unbraid.evaluation import read_folder, read_scores
from unbraid.evaluation.excerpts import loudest_seconds, save_excerpts
from unbraid.evaluation.published import published
from unbraid.evaluation.run import evaluate, select_tracks
from unbraid.evaluation.systems import PAIR, Folder, make_systems
from unbraid.models import build
from unbraid.models.checkpoint import save

pytest.importorskip("scipy")


@pytest.fixture
def album(tmp_path) -> Path:
    write(tmp_path / "album/Песня", vocals=noise(0), accompaniment=noise(1))
    write(tmp_path / "album/four stems", vocals=noise(2), bass=noise(3), drums=noise(4))
    return tmp_path / "album"


def scored(tracks, systems, out) -> list[tuple[str, str]]:
    """What was computed, and not kept."""
    results = []
    evaluate(tracks, systems, out, on_result=results.append)
    return [(result.track, result.system) for result in results if not result.kept]


def test_the_command_scores_models_oracles_and_folders(album, tmp_path, model):
    for track in select_tracks(album):
        accompaniment = noise(1) if track.name == "Песня" else noise(3) + noise(4)
        vocals = noise(0 if track.name == "Песня" else 2)
        write(tmp_path / "other" / track.name, vocals=vocals / 2, accompaniment=accompaniment)

    done = run(
        *("evaluate", "--data", album, "--model", model, "--model", "irm2", "--model", "mixture"),
        *("--estimates", tmp_path / "other", "-o", tmp_path / "out"),
    )

    assert done.exit_code == 0, done.output
    for text in ["Vocals", "Accompaniment", "tiny", "irm2", "mixture", "other", "over 2 tracks"]:
        assert text in done.output
    for text in ["SI-SDR", "uSDR", "Wilcoxon", "tiny - irm2", "2 of 2"]:
        assert text in done.output
    paths = sorted((tmp_path / "out").glob("*/test/*.json"))
    assert len(paths) == 8
    halved = read_scores(tmp_path / "out/other/test/Песня.json").summary()
    assert halved["vocals"]["SDR"] == pytest.approx(20 * math.log10(2), abs=0.01)
    assert halved["vocals"]["SI-SDR"] > 60
    document = json.loads(paths[0].read_text())
    assert {"targets", "museval_version", "whole", "about"} == set(document)


def test_what_is_scored_is_kept_until_model_data_or_estimates_change(album, tmp_path, model):
    out, tracks = tmp_path / "out", select_tracks(album)
    systems = make_systems([str(model), "mixture"])
    assert len(scored(tracks, systems, out)) == 4
    assert scored(tracks, systems, out) == []

    (out / "tiny/test/Песня.json").write_text('{"targets": [')  # as a crash might leave it
    assert scored(tracks, systems, out) == [("Песня", "tiny")]

    write(album / "Песня", vocals=noise(9, 2.6), accompaniment=noise(1, 2.6))
    assert {track for track, _ in scored(select_tracks(album), systems, out)} == {"Песня"}

    other = build("bandsplit", features=4, hidden=4, blocks=1)
    path = tmp_path / "again/tiny.safetensors"
    path.parent.mkdir()
    save(other, path, architecture="bandsplit", licence="CC0-1.0", data="nothing")
    assert len(scored(select_tracks(album), make_systems([str(path)]), out)) == 2

    finer = build("bandsplit", features=4, hidden=4, blocks=1, hop=1024)
    finer.load_state_dict(other.state_dict())
    save(finer, path, architecture="bandsplit", licence="CC0-1.0", data="nothing")
    assert len(scored(select_tracks(album), make_systems([str(path)]), out)) == 2


def test_two_processes_score_as_one(album, tmp_path):
    systems = make_systems(["irm1"])
    one = evaluate(select_tracks(album), systems, tmp_path / "one")
    two = evaluate(select_tracks(album), systems, tmp_path / "two", jobs=2)
    assert [track.name for track in two["irm1"]] == ["four stems", "Песня"]
    for first, second in zip(one["irm1"], two["irm1"], strict=True):
        first, second = first.summary()["vocals"], second.summary()["vocals"]
        assert first == pytest.approx(second, abs=1e-4)


def test_four_stems_are_scored_in_both_scenarios(album, tmp_path):
    write(
        tmp_path / "other/four stems",
        vocals=noise(2) / 2,
        bass=1.005 * noise(3),
        drums=noise(4) / 2,
    )
    systems = make_systems([], [tmp_path / "other"])
    scores = evaluate(select_tracks(album, ["four stems"]), systems, tmp_path / "out")
    summary = scores["other"][0].summary()
    assert set(summary) == {"vocals", "accompaniment", "bass", "drums"}
    assert summary["bass"]["SDR"] > 40 > 10 > summary["drums"]["SDR"]


def test_excerpts_are_ten_seconds_in_mono_where_all_stems_are_loud(tmp_path):
    gain = np.full((2, 32 * RATE), 0.01, np.float32)
    gain[:, 20 * RATE : 30 * RATE] = 1
    gain[0, : 10 * RATE] = 3  # louder, but alone
    stems = {stem: noise(n, 32) * gain[n] for n, stem in enumerate(PAIR)}
    start = loudest_seconds(stems, RATE)
    save_excerpts(tmp_path, stems, start, RATE)

    assert start == 20
    assert loudest_seconds({"vocals": noise(0, 9)}, RATE) == 0
    for stem, audio in stems.items():
        kept, rate = load_audio(tmp_path / f"{stem}.ogg")
        assert (kept.shape, rate) == ((1, 10 * RATE), RATE)
        true = audio[:, 20 * RATE : 30 * RATE].mean(0)
        assert np.corrcoef(kept[0], true)[0, 1] > 0.95


def test_one_song_may_be_the_root(album):
    assert [track.name for track in select_tracks(album / "Песня")] == ["Песня"]


def test_silence_is_nan_with_its_reason(tmp_path):
    write(tmp_path / "data/instrumental", vocals=0 * noise(0), accompaniment=noise(1))
    write(tmp_path / "data/song", vocals=noise(2), accompaniment=noise(3))
    done = run("evaluate", "--data", tmp_path / "data", "--model", "irm2", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    scores = read_scores(tmp_path / "out/irm2/test/instrumental.json")
    assert math.isnan(scores.summary()["vocals"]["SDR"])
    assert "vocals: the reference is silent" in scores.about["notes"][0]
    assert "the reference is silent" in done.output
    note = "over 1 track; left out, without a score under some system: 1."
    assert note in " ".join(done.output.split())


def test_where_no_track_has_a_score_there_is_no_table(tmp_path):
    write(tmp_path / "data/song", vocals=noise(0, 1), accompaniment=noise(1, 1))
    write(tmp_path / "mute/song", vocals=0 * noise(0, 1), accompaniment=noise(1, 1))
    folders = ["--data", tmp_path / "data", "--estimates", tmp_path / "mute"]
    done = run("evaluate", *folders, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "no table: no track has scores under every system" in done.output


def test_seconds_that_a_gate_leaves_out_are_told_from_those_of_a_silent_song(tmp_path):
    second = np.arange(round(3.5 * RATE)) // RATE
    bass, drums = noise(3, 3.5), noise(4, 3.5) * (second != 1)
    true = {"vocals": noise(2, 3.5) * (second != 0), "accompaniment": bass + drums}
    write(tmp_path / "data/song", vocals=true["vocals"], bass=bass, drums=drums)
    gated = {**true, "vocals": true["vocals"] * (second != 1)}
    write(tmp_path / "gated/song", **gated)
    write(tmp_path / "whole/song", **true)
    folders = [word for name in ("gated", "whole") for word in ("--estimates", tmp_path / name)]
    done = run("evaluate", "--data", tmp_path / "data", *folders, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    notes = {
        name: read_scores(tmp_path / f"out/{name}/test/song.json").about["notes"]
        for name in ("gated", "whole")
    }
    assert notes["whole"] == [
        "1 of 3 seconds left out: a true stem is silent there, or its channels cancel"
    ]
    assert len(notes["gated"]) == 2 and notes["gated"][0] == notes["whole"][0]
    assert notes["gated"][1].startswith("1 of 3 seconds left out: an estimate is silent")


def test_a_song_whose_channels_cancel_is_told(tmp_path):
    voice = np.round(noise(1, channels=1) * 2**15) / 2**15  # which 16 bits hold
    write(tmp_path / "data/song", vocals=np.concatenate([voice, -voice]), accompaniment=noise(2))
    done = run("evaluate", "--data", tmp_path / "data", "--model", "irm1", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "2 of 2 seconds left out: a true stem is silent there, or its channels" in done.output


def test_an_estimate_that_is_the_true_stem_is_told(album, tmp_path):
    done = run("evaluate", "--data", album, "--estimates", album, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "vocals: the estimate is the true stem itself" in done.output


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({}, "there is no audio$"),
        ({"Vocals": noise(0), "music": noise(1)}, "there is Vocals.wav, music.wav$"),
        ({"vocals": noise(0)}, "needs vocals.wav and accompaniment.wav"),
        ({"vocals": noise(0, 1), "accompaniment": noise(1)}, "1.00 s, but the track's stems"),
        (
            {"vocals": noise(0, channels=1), "accompaniment": noise(1)},
            "mono and stereo cannot be compared",
        ),
    ],
)
def test_estimates_that_do_not_fit_are_refused_before_anything_runs(album, tmp_path, made, message):
    write(tmp_path / "other/Песня", **made)
    systems = [*make_systems(["irm2"]), Folder(tmp_path / "other")]
    with pytest.raises(DataError, match=message):
        evaluate(select_tracks(album, ["Песня"]), systems, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_estimates_are_called_otherwise_their_folders_are_named(album, tmp_path):
    write(tmp_path / "other/Песня.stem", vocals=noise(0), accompaniment=noise(1))
    with pytest.raises(DataError, match=r"there is no such folder, but Песня\.stem$"):
        evaluate(select_tracks(album, ["Песня"]), [Folder(tmp_path / "other")], tmp_path / "out")


def test_a_stem_of_two_files_is_refused(album, tmp_path):
    doubled = write(tmp_path / "other/Песня", vocals=noise(0), accompaniment=noise(1))
    save_audio(doubled / "vocals.flac", noise(0), RATE, "16")
    tracks = select_tracks(album, ["Песня"])
    with pytest.raises(DataError, match="Песня: several files of vocals; leave one of each"):
        evaluate(tracks, [Folder(tmp_path / "other")], tmp_path / "out")
    save_audio(album / "Песня/accompaniment.flac", noise(1), RATE, "16")
    with pytest.raises(DataError, match="Песня: several files of accompaniment"):
        evaluate(select_tracks(album, ["Песня"]), make_systems(["irm2"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_songs_of_one_name_are_told_with_their_places(album, tmp_path):
    write(tmp_path / "album/again/Песня", vocals=noise(0), accompaniment=noise(1))
    with pytest.raises(DataError) as refused:
        evaluate(select_tracks(album), make_systems(["irm2"]), tmp_path / "out")
    assert f"{album / 'again/Песня'} and {album / 'Песня'}; rename one" in str(refused.value)


def test_another_rate_is_refused(album, tmp_path):
    folder = write(tmp_path / "other/Песня", vocals=noise(0))
    save_audio(folder / "accompaniment.wav", noise(1), 2 * RATE, "16")
    with pytest.raises(DataError, match="16000 Hz, but the track's stems have 8000 Hz"):
        evaluate(select_tracks(album, ["Песня"]), [Folder(tmp_path / "other")], tmp_path / "out")


def test_what_the_user_can_mend_is_said_at_once(album, tmp_path, model):
    for arguments, message in [
        (["--data", tmp_path / "nowhere"], "no such folder; check the path"),
        (["--data", album / "Песня/vocals.wav"], "vocals.wav: a file; give the folder"),
        (["--data", album, "--model", "irm2", "-o", album / "Песня/vocals.wav"], "not a folder"),
        (["--data", album, "--tracks", "Песня "], "no track 'Песня '"),
        (["--data", album, "--model", "irm3"], "no model 'irm3'"),
        (["--data", album, "--model", "irm2", "--model", "irm2"], "two systems are named 'irm2'"),
        (["--data", album, "--estimates", tmp_path / "nowhere"], "no such folder of estimates"),
        (["--data", album, "--model", "irm2", "--published", "umx"], "no published scores 'umx'"),
        (["--data", album, "--model", "irm2", "--published", "openunmix"], "none of these tracks"),
    ]:
        done = run("evaluate", "-o", tmp_path / "out", *arguments)
        assert isinstance(done.exception, UnbraidError)
        assert message in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_compared_is_refused_with_what_to_do(album, tmp_path):
    write(tmp_path / "data/song", vocals=noise(0), accompaniment=noise(1, channels=1))
    drums = build("conv1d", targets=("drums",), residual="other", channels=(2,))
    save(drums, tmp_path / "drums.safetensors", architecture="conv1d", licence="CC0", data="")
    for data, model, advice in [
        (tmp_path / "data", "irm2", "make all of them mono or stereo"),
        (album, tmp_path / "drums.safetensors", "give its stems by --estimates"),
    ]:
        done = run("evaluate", "--data", data, "--model", model, "-o", tmp_path / "out")
        assert isinstance(done.exception, DataError)
        assert str(done.exception).endswith(advice)
    assert not (tmp_path / "out").exists()


def test_empty_stems_are_refused_before_anything_runs(album, tmp_path):
    write(tmp_path / "data/song", vocals=noise(0, 0), accompaniment=noise(1, 0))
    done = run("evaluate", "--data", tmp_path / "data", "--model", "irm2", "-o", tmp_path / "out")
    assert str(done.exception).startswith("song: no samples in vocals.wav, accompaniment.wav")
    assert not (tmp_path / "out").exists()


def test_a_track_that_fails_does_not_stop_the_rest(album, tmp_path):
    path = album / "Песня/vocals.wav"
    audio = np.concatenate([noise(0, 2), np.full((2, RATE // 2), np.nan, np.float32)], 1)
    import soundfile

    soundfile.write(path, audio.T, RATE, subtype="FLOAT")
    done = run("evaluate", "--data", album, "--model", "mixture", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "error: " in done.output
    assert "over 1 track." in done.output


def test_published_scores_stand_beside_by_name(tmp_path):
    data = write(tmp_path / "BKS - Too Much", vocals=noise(0), accompaniment=noise(1))
    flags = ("--model", "irm2", "--published", "openunmix", "-o", tmp_path / "out")
    done = run("evaluate", "--data", data, *flags)
    assert done.exit_code == 0, done.output
    assert "openunmix (published)" in done.output
    (theirs,) = published("openunmix", ["BKS - Too Much"])
    assert f"{theirs.summary()['vocals']['SDR']:.2f}" in done.output
    (kept,) = read_folder(tmp_path / "out/openunmix (published)")
    assert kept.name == "BKS - Too Much"


def test_published_scores_are_not_written_where_the_rest_is_refused(tmp_path):
    data = write(tmp_path / "BKS - Too Much", vocals=noise(0), accompaniment=noise(1))
    (tmp_path / "theirs").mkdir()
    flags = ("--estimates", tmp_path / "theirs", "--published", "openunmix")
    done = run("evaluate", "--data", data, *flags, "-o", tmp_path / "out")
    assert isinstance(done.exception, DataError)
    assert not (tmp_path / "out").exists()
