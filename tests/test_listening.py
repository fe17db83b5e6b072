"""Sounds, orders, ratings and statistics of a listening test."""

from __future__ import annotations

import csv
import errno
import io
import math
import os

import numpy as np
import pytest
import soundfile

from listening_trees import RATE, SYSTEMS, make_test, stems, write
from unbraid.errors import DataError, UnbraidError
from unbraid.listening.loudness import loudness
from unbraid.listening.material import find_material
from unbraid.listening.ratings import COLUMNS, read_ratings
from unbraid.listening.session import RatedError, Sessions
from unbraid.listening.sounds import Trial, low_pass, make_trials

pytest.importorskip("scipy")
NAMES = {*SYSTEMS, "reference", "anchor"}


@pytest.fixture(scope="module")
def trials(tmp_path_factory) -> list[Trial]:
    folder = make_test(tmp_path_factory.mktemp("heard"))
    return make_trials(find_material(folder), tmp_path_factory.mktemp("sounds"))


def decoded(wav: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(wav), dtype="float32", always_2d=True)[0].T


def ffmpeg_loudness(audio: np.ndarray, rate: int) -> float:
    """Integrated loudness as FFmpeg's filter ebur128 has it."""
    import av

    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate, format="fltp", layout="stereo")
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio), "fltp", "stereo")
    frame.rate, frame.pts = rate, 0
    source.push(frame)
    source.push(None)
    found = math.nan
    while True:
        try:
            frame = sink.pull()
        except (av.error.EOFError, av.error.BlockingIOError):
            return found
        found = float(frame.metadata.get("lavfi.r128.I", found))


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_loudness_is_that_of_another_meter(rate):
    rng = np.random.default_rng(rate)
    steps = np.repeat([0.02, 0.3, 0.0, 0.1, 0.0005], rate)  # some of it falls through the gates
    audio = (steps * rng.normal(size=(2, 5 * rate)).cumsum(1) / 30).astype(np.float32)

    assert loudness(audio, rate) == pytest.approx(ffmpeg_loudness(audio, rate), abs=0.05)


def test_silence_has_no_loudness():
    assert loudness(np.zeros((2, RATE), np.float32), RATE) == -math.inf


def test_there_is_a_page_for_each_song_stem_and_scale(trials):
    pages = {(trial.excerpt, trial.stem, trial.scale) for trial in trials}

    assert len(trials) == len(pages) == 2 * 2 * 2
    assert all(trial.files.keys() == NAMES for trial in trials)


def test_the_sounds_of_a_page_differ_in_nothing_but_sound(trials):
    for trial in trials:
        files = {name: trial.wav(name) for name in trial.files}
        levels = [loudness(decoded(wav), RATE) for wav in files.values()]
        assert max(levels) - min(levels) < 0.1
        assert len({len(wav) for wav in files.values()}) == 1
        assert {wav[:44] for wav in files.values()} == {files["reference"][:44]}
        assert max(np.abs(decoded(wav)).max() for wav in files.values()) < 1


def test_equal_bytes_do_not_tell_that_two_sounds_are_one(trials):
    first, second = trials[0].wav("reference"), trials[0].wav("reference")

    assert first != second
    assert np.abs(decoded(first) - decoded(second)).max() < 2**-21


def test_the_reference_is_the_true_stem_and_anchors_are_worse(trials):
    true = stems(0, 2.0)
    by_scale = {trial.scale: trial for trial in trials if trial.excerpt == "Song 0"}
    for trial in (t for t in trials if t.excerpt == "Song 0"):
        heard = decoded(trial.wav("reference"))
        assert correlation(heard, true[trial.stem]) > 0.999
    mixture = decoded(by_scale["interference"].wav("anchor"))
    assert correlation(mixture, true["vocals"] + true["accompaniment"]) > 0.999
    spectrum = np.abs(np.fft.rfft(decoded(by_scale["quality"].wav("anchor"))[0])) ** 2
    above = np.fft.rfftfreq(2 * RATE, 1 / RATE) > 4000
    assert spectrum[above].sum() / spectrum.sum() < 1e-6


def test_a_page_is_quieter_where_a_sound_would_clip_and_sounds_fade_where_they_repeat(tmp_path):
    for system in ("reference", *SYSTEMS):
        made = stems(0, 2.0)
        if system == "alpha":
            made["vocals"][:, RATE // 8 :: RATE // 4] += 5  # clicks: high peaks, little loudness
        write(tmp_path / system / "Song", {stem: audio / 8 for stem, audio in made.items()})

    trials = make_trials(find_material(tmp_path), tmp_path / "sounds")

    for trial in trials:
        heard = [decoded(trial.wav(name)) for name in trial.files]
        levels = [loudness(audio, RATE) for audio in heard]
        assert max(levels) - min(levels) < 0.1
        peak = 20 * math.log10(max(np.abs(audio).max() for audio in heard))
        if trial.stem == "vocals":
            assert peak == pytest.approx(-1, abs=0.01) and max(levels) < -24
        else:
            assert peak < -1 and max(levels) == pytest.approx(-23, abs=0.05)
        assert max(np.abs(audio[:, [0, -1]]).max() for audio in heard) < 1e-3


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_the_low_pass_leaves_what_is_below_3500_hz():
    times = np.arange(RATE) / RATE
    window = np.hanning(RATE)
    low, high = (window * np.sin(2 * np.pi * f * times) for f in (3000, 4500))

    passed = low_pass(np.stack([low + high]).astype(np.float32), RATE)

    assert np.abs(passed[0] - low).max() < 1e-3


def test_of_long_songs_the_loudest_ten_seconds_are_heard(tmp_path):
    for system in ("reference", *SYSTEMS):
        true = stems(0, 14)
        for stem in true:
            true[stem][:, : 3 * RATE] *= 0.01
        write(tmp_path / system / "Long", true)

    (trial, *_) = make_trials(find_material(tmp_path), tmp_path / "sounds")

    heard = decoded(trial.wav("reference"))
    assert heard.shape[1] == 10 * RATE
    assert np.abs(heard[:, : RATE // 2]).max() > 0.05  # the quiet beginning is left out


def test_what_evaluate_wrote_can_be_heard(tmp_path):
    folder = make_test(tmp_path, songs=1, inside="excerpts")
    write(folder / "mixture" / "excerpts" / "Song 0", stems(0, 2))
    (folder / "published" / "test").mkdir(parents=True)

    material = find_material(folder)

    assert [*material.systems] == [*SYSTEMS]
    assert [track.name for track in material.tracks] == ["Song 0"]


@pytest.mark.parametrize("place", [".", "reference", "alpha"])
def test_hidden_folders_are_neither_systems_nor_songs(tmp_path, place):
    folder = make_test(tmp_path, songs=1)
    (folder / place / ".unbraid").mkdir()

    material = find_material(folder)

    assert [*material.systems] == [*SYSTEMS]
    assert [track.name for track in material.tracks] == ["Song 0"]


def test_names_may_be_as_long_and_as_strange_as_those_of_folders(tmp_path):
    folder = make_test(tmp_path / "test", songs=1)
    long = "b" * 253
    (folder / "beta").rename(folder / long)
    for system in ("reference", "alpha", long):
        strange = os.fsencode(folder / system) + b"/caf\xe9"  # not UTF-8
        try:
            os.rename(folder / system / "Song 0", strange)
        except OSError:
            pytest.skip("this file system has only names in UTF-8")

    trials = make_trials(find_material(folder), tmp_path / "sounds")
    rate_all(Sessions(trials, folder / "ratings").begin("Ann"), lambda name: 50)

    ratings = read_ratings(folder / "ratings")
    assert {rating.system for rating in ratings} == {"alpha", long, "reference", "anchor"}
    assert {rating.excerpt for rating in ratings} == {r"caf\udce9"}


def test_every_listener_has_an_order_and_names_of_their_own(trials, tmp_path):
    sessions = Sessions(trials, tmp_path / "ratings")
    runs = [sessions.begin(name) for name in ("Ann", "Bob", "Ann", "Cho", "Dee", "Eva")]

    orders = {tuple((trials.index(p.trial), *p.sounds.values()) for p in run.pages) for run in runs}
    assert len(orders) == len(runs)
    ids = [one for run in runs for page in run.pages for one in (page.reference, *page.sounds)]
    assert len(set(ids)) == len(ids)
    for run in runs:
        assert sorted(trials.index(page.trial) for page in run.pages) == [*range(len(trials))]
        scales = [page.trial.scale for page in run.pages]
        assert scales == sorted(scales) or scales == sorted(scales, reverse=True)
        assert all(sorted(page.sounds.values()) == sorted(NAMES) for page in run.pages)
    firsts = {sessions.begin("Ann").pages[0].trial.scale for _ in range(30)}
    assert firsts == {"quality", "interference"}
    places = {[*p.sounds.values()].index("reference") for run in runs for p in run.pages}
    assert places == {0, 1, 2, 3}


def rate_all(session, of) -> None:
    for number, page in enumerate(session.pages, 1):
        session.rate(number, {sound: of(name) for sound, name in page.sounds.items()})


def test_a_session_has_a_file_of_its_own_with_a_row_for_each_rating(trials, tmp_path):
    sessions = Sessions(trials, tmp_path)
    for _ in range(2):
        rate_all(sessions.begin("Zoë O'Hara"), lambda name: 100 if name == "reference" else 7)

    files = sorted(tmp_path.glob("*.csv"))
    assert len(files) == 2
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert tuple(rows[0]) == COLUMNS
        assert len(rows) == 1 + len(trials) * len(NAMES)
        ratings = read_ratings(path)
        assert {rating.listener for rating in ratings} == {"Zoë O'Hara"}
        assert {rating.rating for rating in ratings if rating.system == "reference"} == {100}
        assert [rating.order for rating in ratings] == [1, 2, 3, 4] * len(trials)
    assert len(read_ratings(tmp_path)) == 2 * len(trials) * len(NAMES)


def test_a_page_is_rated_once_in_its_turn_and_whole(trials, tmp_path):
    session = Sessions(trials, tmp_path).begin("Ann")
    sounds = [*session.pages[0].sounds]

    with pytest.raises(RatedError):
        session.rate(2, dict.fromkeys(session.pages[1].sounds, 50))
    for wrong in ({}, dict.fromkeys(sounds[:-1], 50), dict.fromkeys([*sounds, "x"], 50)):
        with pytest.raises(UnbraidError, match="every sound"):
            session.rate(1, wrong)
    assert not list(tmp_path.iterdir())
    session.rate(1, dict.fromkeys(sounds, 50))
    with pytest.raises(RatedError):
        session.rate(1, dict.fromkeys(sounds, 60))
    assert {rating.rating for rating in read_ratings(tmp_path)} == {50}


def test_the_same_ratings_again_are_taken_and_there_once(trials, tmp_path):
    session = Sessions(trials, tmp_path).begin("Ann")
    first, second = (dict.fromkeys(page.sounds, 50) for page in session.pages[:2])
    for number, ratings in [(1, first), (1, first), (2, second), (1, first), (2, second)]:
        session.rate(number, ratings)

    assert session.done == 2
    rows = [(rating.page, rating.order) for rating in read_ratings(tmp_path)]
    assert rows == [(page, order) for page in (1, 2) for order in (1, 2, 3, 4)]


def test_a_page_that_found_no_room_is_sent_again_and_there_once(trials, tmp_path, monkeypatch):
    session = Sessions(trials, tmp_path).begin("Ann")

    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for number, page in enumerate(session.pages[:2], 1):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)  # by which a part may have been written
            with pytest.raises(DataError, match="No space left on device"):
                session.rate(number, dict.fromkeys(page.sounds, 50))
        session.rate(number, dict.fromkeys(page.sounds, 60))

    rows = [(rating.page, rating.order, rating.rating) for rating in read_ratings(tmp_path)]
    assert rows == [(page, order, 60) for page in (1, 2) for order in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",rating,", ",score,", "no column 'rating'"),
        (",beta,7,", ",beta,101,", "rating cannot be 101"),
        (",beta,7,", ",beta,loud,", "rating cannot be 'loud'"),
        (",quality,", ",taste,", "scale cannot be 'taste'"),
    ],
)
def test_damaged_ratings_are_told_with_their_place(trials, tmp_path, old, new, said):
    session = Sessions(trials, tmp_path).begin("Ann")
    rate_all(session, lambda name: 7)
    text = session.file.read_text(encoding="utf-8")
    session.file.write_text(text.replace(old, new), encoding="utf-8")

    with pytest.raises(DataError) as told:
        read_ratings(tmp_path)

    assert said in str(told.value)
    assert session.file.name in str(told.value)
