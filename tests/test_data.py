"""Tracks, decoded recordings and random mixtures, on small synthetic folders."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from sounds import RATE, loudest_hertz, sine
from trees import write_stem_file
from unbraid.data.config import AugmentConfig, DataConfig, Source
from unbraid.data.mixing import Mixtures, held_out
from unbraid.data.recordings import Recording
from unbraid.data.tracks import StemSource, find_tracks, load_track
from unbraid.errors import DataError

TARGETS = ("vocals",)


def write(path: Path, audio: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio.T, rate)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write(tmp_path / "voices" / "anna.wav", sine(880, 3))
    write(tmp_path / "voices" / "ben.ogg", sine(440, 3, 48000, 1), 48000)
    write(tmp_path / "music" / "game" / "one.flac", sine(110, 3))
    write(tmp_path / "music" / "held-out" / "two.flac", sine(165, 3))
    for stem, hertz in {"vocals": 660, "bass": 55, "drums": 5000}.items():
        write(tmp_path / "songs" / "Песня" / f"{stem}.wav", sine(hertz, 2))
    return tmp_path


def config(tree: Path, **options: object) -> DataConfig:
    return DataConfig(
        stems={
            "vocals": {"all": Source(str(tree / "voices"))},
            "accompaniment": {"all": Source(str(tree / "music"))},
        },
        valid=str(tree / "songs"),
        instrumentals=[str(tree / "music" / "held-out")],
        cache=str(tree / "cache"),
        seconds=0.5,
        **options,
    )


def mixtures(config: DataConfig, seed: int = 0) -> Mixtures:
    return Mixtures(config, TARGETS, "accompaniment", RATE, [seed], held_out(config))


def test_the_accompaniment_of_a_song_is_the_sum_of_its_other_stems(tree: Path) -> None:
    (track,) = find_tracks(tree / "songs")
    stems = load_track(track, TARGETS, "accompaniment", RATE)
    assert track.name == "Песня"
    assert list(stems) == ["vocals", "accompaniment"]
    np.testing.assert_allclose(stems["accompaniment"], sine(55, 2) + sine(5000, 2), atol=1e-4)


def test_stems_of_different_length(tree: Path) -> None:
    write(tree / "songs" / "Песня" / "drums.wav", sine(5000, 1))
    (track,) = find_tracks(tree / "songs")
    with pytest.raises(DataError, match=r"Песня: stems of 1.0 s and 2.0 s"):
        load_track(track, TARGETS, "accompaniment", RATE)


def test_song_without_the_target(tree: Path) -> None:
    (track,) = find_tracks(tree / "songs")
    with pytest.raises(DataError, match=r"no file for the stem 'piano' among .*'vocals'"):
        load_track(track, ("piano",), "rest", RATE)


@pytest.mark.parametrize("folder", ["music", "nowhere"])
def test_folder_without_songs(tree: Path, folder: str) -> None:
    with pytest.raises(DataError, match=folder):
        find_tracks(tree / folder)


def test_recording_is_decoded_once(tree: Path) -> None:
    path = tree / "voices" / "ben.ogg"
    first = Recording([StemSource(path)], RATE, tree / "cache")
    assert first.samples == 3 * RATE
    segment = first.read(RATE, RATE)
    assert segment.shape == (2, RATE)
    assert loudest_hertz(segment) == pytest.approx(440, abs=1)
    files = {file: file.stat().st_mtime_ns for file in (tree / "cache").iterdir()}
    Recording([StemSource(path)], RATE, tree / "cache")
    assert {file: file.stat().st_mtime_ns for file in (tree / "cache").iterdir()} == files


def test_recording_is_silent_outside(tree: Path) -> None:
    recording = Recording([StemSource(tree / "voices" / "anna.wav")], RATE, tree / "cache")
    segment = recording.read(-100, 4 * RATE)
    assert not segment[:, :100].any()
    np.testing.assert_allclose(segment[:, 100 : 100 + 3 * RATE], sine(880, 3), atol=1e-4)
    assert not segment[:, 100 + 3 * RATE :].any()


def test_activity_is_where_something_sounds(tree: Path) -> None:
    audio = np.concatenate([np.zeros((2, RATE), np.float32), sine(440, 1)], 1)
    path = write(tree / "late.wav", audio)
    assert Recording([StemSource(path)], RATE, tree / "cache").active.min() >= 0.9 * RATE


def test_silent_recording(tree: Path) -> None:
    write(tree / "voices" / "silent.wav", np.zeros((2, RATE), np.float32))
    with pytest.raises(DataError, match=r"silent.wav: silent throughout"):
        mixtures(config(tree))


def test_cache_of_earlier_versions_is_used(tree: Path) -> None:
    """Decoded audio lies where it always lay: it takes hours to make anew."""
    path, folder = tree / "voices" / "ben.ogg", tree / "cache"
    stat = path.stat()
    key = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {RATE}"
    kept = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
    folder.mkdir()
    np.save(kept, np.full((RATE, 2), 8192, np.int16))
    read = Recording([StemSource(path)], RATE, folder).read(0, RATE)
    np.testing.assert_allclose(read, 0.5, atol=1e-3)


def off(**options: float) -> AugmentConfig:
    """No changes but those that are named."""
    names = vars(AugmentConfig()).keys() - {"peak_decibels", "semitones"}
    return AugmentConfig(**{**dict.fromkeys(names, 0.0), **options})


def test_mixture_is_the_sum_of_what_was_drawn(tree: Path) -> None:
    """With all changes off, a mixture holds one voice and the music, and the target the voice."""
    drawn = iter(mixtures(config(tree, augment=off())))
    voices = set()
    for _ in range(8):
        item = next(drawn)
        assert item["mixture"].shape == (2, RATE // 2)
        assert item["targets"].shape == (1, 2, RATE // 2)
        voices.add(round(loudest_hertz(item["targets"][0].numpy()) / 10) * 10)
        music = (item["mixture"] - item["targets"][0]).numpy()
        assert loudest_hertz(music) == pytest.approx(110, abs=3)
    assert voices == {440, 880}


def test_augmented_mixtures_are_sound(tree: Path) -> None:
    drawn = iter(mixtures(config(tree, augment=AugmentConfig(silent=0.3))))
    silent = 0
    for _ in range(60):
        item = next(drawn)
        assert item["mixture"].isfinite().all()
        assert 0 < item["mixture"].abs().max() <= 1.01
        silent += not item["targets"].any()
    assert 0 < silent < 30


def test_seed_decides(tree: Path) -> None:
    first, same, other = (next(iter(mixtures(config(tree), seed))) for seed in (1, 1, 2))
    assert first["mixture"].equal(same["mixture"])
    assert not first["mixture"].equal(other["mixture"])


@pytest.mark.parametrize("workers", [0, 1])
def test_no_epoch_repeats_the_one_before(tree: Path, workers: int) -> None:
    loader = DataLoader(
        mixtures(config(tree)), 2, num_workers=workers, persistent_workers=workers > 0
    )
    first, second, third = (next(iter(loader))["mixture"] for _ in range(3))
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_songs_are_a_source_of_stems(tree: Path) -> None:
    options = config(tree)
    options.stems = {"accompaniment": options.stems["accompaniment"]}
    options.songs = {"mine": Source(str(tree / "songs"))}
    options.valid = str(tree / "voices")
    pools = Mixtures(options, TARGETS, "accompaniment", RATE, [0]).pools
    assert loudest_hertz(pools["vocals"].draw(np.random.default_rng(0), RATE)) == pytest.approx(
        660, abs=2
    )


def test_what_is_validated_on_is_never_drawn(tree: Path) -> None:
    options = config(tree)
    options.stems = {"accompaniment": options.stems["accompaniment"]}
    options.songs = {"mine": Source(str(tree / "songs"))}
    with pytest.raises(DataError, match="no training audio for the stem 'vocals'"):
        mixtures(options)


@pytest.mark.parametrize("shuffle", [True, False])
def test_if_all_songs_are_held_out_that_is_what_is_said(tree: Path, shuffle: bool) -> None:
    options = songs_only(tree, shuffle=shuffle)
    options.valid = str(tree / "own")
    with pytest.raises(DataError) as raised:
        mixtures(options)
    assert str(raised.value).endswith(
        ": all of data.songs.own (2 songs) lies under data.valid or data.instrumentals; set"
        " data.valid_split, or another path"
    )


def songs_only(tree: Path, **options: object) -> DataConfig:
    """Two songs of 4 s, sung in their second half; stems of a song share a rhythm of clicks."""
    for number in (1, 2):
        rng = np.random.default_rng(number)
        clicks = np.repeat(rng.normal(0, 0.1, (1, 4 * RATE)).astype(np.float32), 2, 0)
        vocals = np.concatenate([np.zeros((2, 2 * RATE), np.float32), clicks[:, 2 * RATE :]], 1)
        write(tree / "own" / "train" / f"song {number}" / "vocals.wav", vocals)
        write(tree / "own" / "train" / f"song {number}" / "guitar.wav", clicks / 2)
    made = config(tree, **options)
    made.stems, made.songs = {}, {"own": Source(str(tree / "own"), split="train")}
    return made


@pytest.mark.parametrize("seconds", [0.3, 1])
@pytest.mark.parametrize("shuffle", [True, False])
def test_drawn_stems_sound_for_a_quarter_second(tree: Path, shuffle: bool, seconds: float) -> None:
    options = songs_only(tree, shuffle=shuffle, augment=off())
    options.seconds = seconds
    vocals = np.zeros((2, 4 * RATE))
    vocals[:, RATE : RATE + RATE // 4] = np.random.default_rng(0).normal(0, 0.1, (2, RATE // 4))
    for number in (1, 2):
        write(tree / "own" / "train" / f"song {number}" / "vocals.wav", vocals)
    drawn = iter(mixtures(options))
    sounding = [int(next(drawn)["targets"].any(1).sum()) for _ in range(60)]
    assert min(sounding) >= RATE // 4 - 9  # at zero crossings


@pytest.mark.parametrize("shuffle", [True, False])
def test_stated_share_of_silence(tree: Path, shuffle: bool) -> None:
    """Half of each song is not sung, yet vocals are silent just as often as the setting says."""
    options = songs_only(tree, shuffle=shuffle, augment=off(silent=0.3))
    drawn = iter(mixtures(options))
    items = [next(drawn) for _ in range(300)]
    silent = [not item["targets"].any() for item in items]
    share = 0.3 / 2 if shuffle else 0.3  # of shuffled stems, any is silent
    assert np.mean(silent) == pytest.approx(share, abs=0.07)
    assert all(item["mixture"].any() for item in items)


def test_stems_that_are_not_shuffled_come_from_one_song_at_one_time(tree: Path) -> None:
    def likeness(shuffle: bool, **changes: float) -> np.ndarray:
        options = songs_only(tree, shuffle=shuffle, augment=off(**changes))
        drawn = iter(mixtures(options))
        values = []
        for _ in range(10):
            item = next(drawn)
            voice = item["targets"][0, 0].numpy()
            music = item["mixture"][0].numpy() - voice
            sung = voice != 0
            values.append(np.corrcoef(voice[sung], music[sung])[0, 1])
        return np.array(values)

    np.testing.assert_allclose(likeness(False), 1, atol=1e-3)
    assert likeness(False, varispeed=1).min() > 0.9  # by the same ratio; onsets of the voice ring
    assert np.abs(likeness(True)).max() < 0.5


def test_balance_of_a_song_is_its_own_unless_it_is_changed(tree: Path) -> None:
    drawn = iter(mixtures(songs_only(tree, shuffle=False, augment=off())))
    for _ in range(5):
        item = next(drawn)
        sung = item["targets"][0] != 0
        ratio = item["mixture"][sung] / item["targets"][0][sung]
        assert ratio.median() == pytest.approx(1.5, abs=0.01)


def test_silent_part_of_a_song_is_taken_where_others_play(tree: Path) -> None:
    """With the vocals silent, the guitar is that of the first half, as the segment is not sung."""
    options = songs_only(tree, shuffle=False, augment=off(silent=1.0))
    drawn = iter(mixtures(options))
    intros = [
        soundfile.read(tree / "own" / "train" / f"song {number}" / "guitar.wav")[0][: 2 * RATE, 0]
        for number in (1, 2)
    ]
    for _ in range(6):
        mixture = next(drawn)["mixture"][0].numpy()
        found = max(np.abs(np.correlate(intro, mixture[:500])).max() for intro in intros)
        scale = np.linalg.norm(mixture[:500])
        assert found > 0.9 * scale * 0.05 * np.sqrt(500)


def test_unshuffled_training_takes_no_single_recordings(tree: Path) -> None:
    with pytest.raises(DataError, match=r"shuffle=false takes all stems from data.songs"):
        mixtures(config(tree, shuffle=False))


def test_silent_vocals_of_a_song_are_not_drawn(tree: Path) -> None:
    options = songs_only(tree, augment=off())
    folder = tree / "own" / "train" / "instrumental"
    write(folder / "vocals.wav", np.zeros((2, RATE), np.float32))
    write(folder / "guitar.wav", sine(440, 1))
    for shuffle in (True, False):
        options.shuffle = shuffle
        drawn = iter(mixtures(options))
        assert all(next(drawn)["targets"].any() for _ in range(10))


@pytest.mark.parametrize(
    ("stem", "seconds", "rate", "message"),
    [
        ("guitar", 3, RATE, "^data.songs.own: bad: stems of 3.0 s and 4.0 s"),
        ("guitar", 4, 22050, "^data.songs.own: bad: stems differ in sample rate"),
        ("vocal", 4, RATE, "^data.songs.own: bad: no file for the stem 'vocals'"),
    ],
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_song_that_does_not_match(
    tree: Path, shuffle: bool, stem: str, seconds: float, rate: int, message: str
) -> None:
    options = songs_only(tree, shuffle=shuffle)
    folder = tree / "own" / "train" / "bad"
    write(folder / f"{stem}.wav", sine(440, seconds, rate), rate)
    write(folder / ("vocals.wav" if stem == "guitar" else "bass.wav"), sine(440, 4))
    with pytest.raises(DataError, match=message):
        mixtures(options)


def test_damaged_song_is_told_with_its_source(tree: Path) -> None:
    options = songs_only(tree)
    path = tree / "own" / "train" / "song 1" / "guitar.wav"
    flac = write(path.with_suffix(".flac"), soundfile.read(path)[0].T)
    path.unlink()
    flac.write_bytes(flac.read_bytes()[:9999])
    with pytest.raises(DataError, match=r"^data\.songs\.own: .*guitar\.flac"):
        mixtures(options)


def test_validation_split_is_held_out(tree: Path) -> None:
    options = songs_only(tree)
    write(tree / "own" / "valid" / "third" / "vocals.wav", sine(440, 1))
    write(tree / "own" / "valid" / "third" / "guitar.wav", sine(220, 1))
    options.valid, options.valid_split = str(tree / "own"), "valid"
    options.instrumentals = []
    files = {file.parent.name for file in held_out(options)}
    assert files == {"third"}


def test_stem_file_is_no_single_recording(tree: Path) -> None:
    write_stem_file(tree / "voices" / "song.stem.mp4", [sine(440, 1)] * 5)
    with pytest.raises(DataError, match=r"song.stem.mp4: a song .* name its folder in data.songs"):
        mixtures(config(tree))
