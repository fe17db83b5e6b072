"""Songs of MUSDB18, MUSDB18-HQ and folders; their splits; their audio."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from trees import RATE, STEMS, song, write_folder, write_song, write_stem_file
from unbraid.audio import AudioReader, load_audio
from unbraid.data.recordings import Recording
from unbraid.data.splits import VALIDATION
from unbraid.data.tracks import StemSource, check_headers, find_tracks, load_track
from unbraid.errors import AudioError, DataError
from unbraid.evaluation.run import evaluate, select_tracks
from unbraid.evaluation.systems import make_systems

NAMES = ["train/A - b", "train/Leaf - Summerghost", "test/C - d"]
PACKED = pytest.mark.parametrize("packed", [True, False], ids=["musdb18", "musdb18-hq"])


def musdb(root: Path, packed: bool) -> Path:
    for seed, name in enumerate(NAMES):
        write_song(root, name, seed, packed)
    return root


@PACKED
def test_musdb_has_its_official_splits(tmp_path, packed):
    root = musdb(tmp_path, packed)
    names = {
        split: [track.name for track in find_tracks(root, split)]
        for split in ("train", "valid", "test")
    }
    assert names == {"train": ["A - b"], "valid": ["Leaf - Summerghost"], "test": ["C - d"]}
    assert len(find_tracks(root)) == 3
    assert len(find_tracks(root / "train")) == 2


def test_fourteen_songs_validate():
    assert len(VALIDATION) == 14


@PACKED
def test_stems_of_musdb_are_told_apart(tmp_path, packed):
    write_song(tmp_path, "test/C - d", 5, packed)
    (track,) = find_tracks(tmp_path)
    true = song(5)
    stems = load_track(track, STEMS[:3], "vocals", RATE)
    assert set(stems) == set(STEMS)
    for stem, audio in stems.items():
        samples = RATE  # AAC may pad its last frame
        assert np.corrcoef(audio[0, :samples], true[stem][0])[0, 1] > 0.99  # in time, too
    mixture = track.mixture.load()[:, :RATE]
    assert np.corrcoef(mixture[0], true["mixture"][0])[0, 1] > 0.99


@PACKED
def test_musdb_is_evaluated(tmp_path, packed):
    pytest.importorskip("scipy")
    root = musdb(tmp_path / "musdb", packed)
    tracks = select_tracks(root, split="test")
    scores = evaluate(tracks, make_systems(["mixture", "irm2"]), tmp_path / "out")
    assert [score.name for score in scores["irm2"]] == ["C - d"]
    better = [scores[name][0].whole["vocals"]["uSDR"] for name in ("irm2", "mixture")]
    assert better[0] > better[1] + 3


def test_split_that_is_not_there(tmp_path):
    write_folder(tmp_path / "train/x", **song(0))
    with pytest.raises(DataError, match=r"no songs in the split 'test'.*here are: train$"):
        find_tracks(tmp_path, "test")
    with pytest.raises(DataError, match=r"no split 'dev'; splits are: train, valid, test"):
        find_tracks(tmp_path, "dev")
    with pytest.raises(DataError, match=r"no songs in the split 'train'.*none$"):
        find_tracks(tmp_path / "train", "train")


def test_own_songs_may_have_splits(tmp_path):
    for name in ("train/x", "valid/deep/y", "z"):
        write_folder(tmp_path / name, vocals=song(0)["vocals"], piano=song(1)["other"])
    assert [(track.name, track.split) for track in find_tracks(tmp_path)] == [
        ("x", "train"),
        ("y", "valid"),
        ("z", None),
    ]


def test_song_of_one_stem_and_a_mixture_is_not_passed_over(tmp_path):
    audio = song(0)
    write_folder(tmp_path / "x", mixture=audio["mixture"], vocals=audio["vocals"])
    (track,) = find_tracks(tmp_path)
    with pytest.raises(DataError, match="no file for the stem 'accompaniment'"):
        check_headers(track, ["vocals"], "accompaniment")


def test_stems_of_different_rate(tmp_path):
    folder = write_folder(tmp_path / "x", vocals=song(0)["vocals"])
    soundfile.write(folder / "piano.wav", song(1)["other"].T, 48000)
    (track,) = find_tracks(tmp_path)
    with pytest.raises(DataError, match=r"x: stems differ in sample rate: \[44100, 48000\]; res"):
        check_headers(track, ["vocals"], "accompaniment")


def test_stem_file_without_all_stems(tmp_path):
    write_stem_file(tmp_path / "x.stem.mp4", list(song(0).values())[:3])
    (track,) = find_tracks(tmp_path)
    with pytest.raises(AudioError, match="no audio stream 4, as it holds 3"):
        check_headers(track, ["vocals"], "accompaniment")


def test_songs_in_linked_folders_are_there_and_once(tmp_path):
    write_folder(tmp_path / "data/A - a", **song(1))
    write_folder(tmp_path / "elsewhere/B - b", **song(2))
    write_folder(tmp_path / "elsewhere/more/C - c", **song(3))
    links = {
        "data/linked": "elsewhere",
        "data/again": "elsewhere/more",
        "data/inside": "data/A - a",
        "data/A - a/above": "data",
        "elsewhere/back": "data",
        "elsewhere/itself": "elsewhere",
    }
    for link, target in links.items():
        (tmp_path / link).symlink_to(tmp_path / target, target_is_directory=True)
    found = [track.name for track in find_tracks(tmp_path / "data")]
    assert sorted(found) == ["A - a", "B - b", "C - c"]


def test_a_folder_that_may_not_be_read_is_told(tmp_path, unreadable_secret):
    write_folder(tmp_path / "A - a", **song(1))
    write_folder(tmp_path / "secret", **song(2))
    with pytest.raises(DataError, match="secret: cannot be read: Permission denied; allow it"):
        find_tracks(tmp_path)


def test_hidden_files_are_no_songs(tmp_path):
    write_song(tmp_path, "test/C - d", 0, packed=True)
    (tmp_path / "test/._C - d.stem.mp4").write_bytes(b"Mac OS X")
    assert len(find_tracks(tmp_path)) == 1


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[tuple[StemSource, np.ndarray]]:
    """Each kind of file that can be read from the middle, with its full decode."""
    folder = tmp_path_factory.mktemp("sources")
    audio = song(3, 1.3)
    write_folder(folder, **{"16": audio["mixture"]})
    write_folder(folder, "FLOAT", float=audio["drums"])
    soundfile.write(folder / "a.flac", audio["bass"].T, RATE, "PCM_24")
    write_stem_file(folder / "b.stem.mp4", list(audio.values()))
    found = [StemSource(folder / name) for name in ("16.wav", "float.wav", "a.flac")]
    found += [StemSource(folder / "b.stem.mp4", stream) for stream in (0, 4)]
    return [(source, load_audio(source.path, stream=source.stream)[0]) for source in found]


@settings(max_examples=60)
@given(kind=st.integers(0, 4), data=st.data())
def test_segment_by_seeking_is_the_slice_of_the_full_decode(sources, kind, data):
    source, whole = sources[kind]
    end = whole.shape[1]
    edges = st.sampled_from([0, 1, 1023, 1024, 1025, 2048, end - 1, end, end + 1, end + 5000])
    start = data.draw(edges | st.integers(0, end))
    samples = data.draw(st.sampled_from([1, 1024, end]) | st.integers(1, end))
    with source.open() as reader:
        assert reader.seekable
        reader.read(data.draw(st.integers(1, 5000)))  # what was read before does not matter
        reader.seek(start)
        segment = reader.read(samples)
        rest = reader.read(700)
    np.testing.assert_array_equal(segment, whole[:, start : start + samples])
    np.testing.assert_array_equal(rest, whole[:, start + samples : start + samples + 700])


def test_seeking_after_the_end_was_read(sources):
    for source, whole in sources:
        with source.open() as reader:
            while reader.read(1 << 16).shape[1]:
                pass
            reader.seek(0)
            np.testing.assert_array_equal(reader.read(3000), whole[:, :3000])


def test_real_stem_file_is_read_from_the_middle():
    """Of MUSDB18's makers, from the package stempeg; seven seconds, five streams."""
    found = find_spec("stempeg")
    if found is None or found.origin is None:
        pytest.skip("stempeg is not installed")
    (path,) = (Path(found.origin).parent / "data").glob("*.stem.mp4")
    (track,) = find_tracks(path)
    assert track.name == "The Easton Ellises - Falcon 69"
    rng = np.random.default_rng(0)
    lengths = set()
    for source in [track.mixture, *track.stems.values()]:
        whole, rate = load_audio(path, stream=source.stream)
        lengths.add(whole.shape[1])
        assert rate == RATE
        for start in [0, *rng.integers(0, whole.shape[1] - 30000, 4)]:
            with AudioReader(path, source.stream) as reader:
                reader.seek(int(start))
                np.testing.assert_array_equal(reader.read(30000), whole[:, start : start + 30000])
    assert len(lengths) == 1


def test_lossy_files_are_not_sought_in(tmp_path):
    soundfile.write(tmp_path / "a.ogg", song(0)["mixture"].T, RATE)
    with AudioReader(tmp_path / "a.ogg") as reader:
        assert not reader.seekable
        with pytest.raises(AudioError, match="cannot be read from sample 7; read it from"):
            reader.seek(7)


@PACKED
def test_songs_are_read_in_place(tmp_path, packed):
    write_song(tmp_path, "test/C - d", 5, packed)
    (track,) = find_tracks(tmp_path / "test")
    recording = Recording(track.parts("accompaniment", ["vocals"]), RATE, tmp_path / "cache")
    true = load_track(track, ["vocals"], "accompaniment", RATE)["accompaniment"]
    segment = recording.read(-500, 20000)
    assert not segment[:, :500].any()
    np.testing.assert_allclose(segment[:, 500:], true[:, :19500], atol=1e-6)
    assert recording.samples == true.shape[1]
    assert sum(file.stat().st_size for file in (tmp_path / "cache").iterdir()) < 2000


def test_other_rates_are_decoded_to_the_cache(tmp_path):
    write_song(tmp_path, "test/C - d", 5, packed=True)
    (track,) = find_tracks(tmp_path / "test")
    pair = [Recording([track.stems[s]], 22050, tmp_path / "cache") for s in ("vocals", "bass")]
    for stem, recording in zip(("vocals", "bass"), pair, strict=True):
        true = track.stems[stem].load(22050)[:, 3000:5000]
        np.testing.assert_allclose(recording.read(3000, 2000), true, atol=1e-4)
