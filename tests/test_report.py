"""`unbraid report`: one page that needs nothing else, and the tables as text."""

from __future__ import annotations

import re
from errno import ENOSPC
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from unbraid.audio import save_audio
from unbraid.cli import app
from unbraid.errors import AudioError, DataError
from unbraid.evaluation import TrackScores, write_scores
from unbraid.evaluation.report import write_report
from unbraid.evaluation.run import evaluate, select_tracks
from unbraid.evaluation.systems import make_systems
from unbraid.listening.ratings import SCALES, Rating, append_ratings

RATE = 16000
pytest.importorskip("scipy")
pytest.importorskip("PIL")
VOID = {"meta", "img"}  # drawings close theirs


class Page(HTMLParser):
    """Tags, their attributes that lead elsewhere, and the text of a page; tags must match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def scores(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    for number, name in enumerate(["<b>first</b>", "second & third", "Песня"]):
        (folder / "data" / name.replace("/", "")).mkdir(parents=True)
        for stem in ("vocals", "accompaniment"):
            audio = rng.normal(size=(2, 2 * RATE)) / (16 + 8 * number)
            path = folder / "data" / name.replace("/", "") / f"{stem}.wav"
            save_audio(path, audio.astype(np.float32), RATE, "16")
    evaluate(select_tracks(folder / "data"), make_systems(["irm2", "mixture"]), folder / "scores")
    return folder / "scores"


def test_the_page_holds_tables_drawings_pictures_and_sound(scores, tmp_path):
    done = CliRunner().invoke(app, ["report", str(scores), "-o", str(tmp_path)])

    assert done.exit_code == 0, done.output
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open in ([], ["html"])
    assert page.tags.count("table") == 3
    assert page.tags.count("svg") == 2 * 6 + 2
    assert page.tags.count("audio") == page.tags.count("img") == 3 * (1 + 3 * 2) - 3 * 2
    assert page.links and all(link.startswith("data:") for link in page.links)
    assert "http" not in text
    for words in ["<b>first<b>", "second & third", "Песня"]:
        assert words in page.text
    chosen = re.findall(r"(best|median|worst) for mixture: vocals (\S+) dB", page.text)
    assert [which for which, _ in chosen] == ["best", "median", "worst"]
    assert [sdr for _, sdr in chosen] == sorted((sdr for _, sdr in chosen), key=float)[::-1]
    assert len({sdr for _, sdr in chosen}) == 3


def test_the_mixture_adds_nothing_and_leaves_the_drawings_their_scale(scores, tmp_path):
    write_report([scores], tmp_path)
    rows = (tmp_path / "report.md").read_text(encoding="utf-8").splitlines()
    sar = {row.split(" | ")[5] for row in rows if row.startswith("| mixture")}
    assert sar == {"**∞**"}
    assert r"\textbf{$\infty$}" in (tmp_path / "report.tex").read_text(encoding="utf-8")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    ticks = {float(tick) for tick in re.findall(r'class="tick">([^<]+)<', page)}
    assert max(ticks) < 100


def test_the_tables_are_there_as_text(scores, tmp_path):
    write_report([scores], tmp_path)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| system | over tracks | SDR |" in markdown
    assert markdown.count("### ") == 3
    assert (tmp_path / "report.tex").read_text(encoding="utf-8").count(r"\begin{tabular}") == 3


def test_folders_are_put_side_by_side(scores, tmp_path):
    metrics = {metric: np.array([1.0]) for metric in ("SDR", "ISR", "SIR", "SAR")}
    (tmp_path / "theirs/other/test").mkdir(parents=True)
    path = tmp_path / "theirs/other/test/Песня.json"
    write_scores(TrackScores("Песня", {"vocals": metrics}), path)

    write_report([scores, tmp_path / "theirs"], tmp_path)

    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "other - irm2" in markdown
    assert "1 track; left out, without a score under some system: 2." in markdown


def test_folders_of_other_songs_are_refused_even_if_one_has_a_stem_alone(tmp_path):
    frames = {metric: np.array([1.0]) for metric in ("SDR", "ISR", "SIR", "SAR")}
    for track, targets in {"x": ("vocals", "bass"), "y": ("vocals",)}.items():
        folder = tmp_path / track / f"system {track}" / "test"
        folder.mkdir(parents=True)
        write_scores(TrackScores(track, dict.fromkeys(targets, frames)), folder / f"{track}.json")
    write_report([tmp_path / "x"], tmp_path / "out")

    with pytest.raises(DataError, match="no track has scores under every system"):
        write_report([tmp_path / "x", tmp_path / "y"], tmp_path / "out")


def scored_by(model: str, track: str, folder: Path) -> None:
    frames = {metric: np.array([1.0]) for metric in ("SDR", "ISR", "SIR", "SAR")}
    about = {"stamp": {"model": model}}
    folder.mkdir(parents=True, exist_ok=True)
    write_scores(TrackScores(track, {"vocals": frames}, {}, about), folder / f"{track}.json")


def test_scores_of_weights_that_were_trained_anew_since_are_not_mixed(tmp_path):
    place = tmp_path / "scores" / "st" / "test"
    scored_by("earlier", "t0", place)
    scored_by("later", "v0", place)
    with pytest.raises(DataError, match=r"'t0' and 'v0' are not of the same weights") as raised:
        write_report([tmp_path / "scores"], tmp_path)
    assert str(raised.value).startswith(f"{place}: ") and "\n" not in str(raised.value)
    assert "the same -o" in str(raised.value)

    scored_by("later", "t0", place)
    scored_by("other", "t0", tmp_path / "scores" / "other" / "test")
    write_report([tmp_path / "scores"], tmp_path)
    assert "1 track; left out, without a score under some system: 1." in (
        tmp_path / "report.md"
    ).read_text(encoding="utf-8")


def test_of_lossy_coded_tracks_it_is_said_that_filters_are_left_out(tmp_path):
    frames = {metric: np.array([1.0]) for metric in ("SDR", "ISR", "SIR", "SAR")}
    (tmp_path / "scores/one/test").mkdir(parents=True)
    scored = TrackScores("Песня", {"vocals": frames}, {}, {"lossy": True})
    write_scores(scored, tmp_path / "scores/one/test/Песня.json")
    write_report([tmp_path / "scores"], tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "lossy-coded; SIR, ISR and SAR mean nothing" in page.text
    assert "| SIR |" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def rated(folder: Path, listeners: int = 3, song: str = "Песня") -> Path:
    """Ratings of a listening test: each listener gives 2 more than the one before."""
    given = {"reference": 100, "irm2": 60, "<i>other</i>": 40, "anchor": 10}
    for number in range(listeners):
        name = f"listener {number}"
        ratings = [
            Rating(name, name, 1, song, stem, scale, 1, system, min(100, value + 2 * number), "now")
            for stem in ("vocals", "accompaniment")
            for scale in SCALES
            for system, value in given.items()
        ]
        append_ratings(folder / "ratings" / f"{number}.csv", ratings)
    return folder


def test_ratings_of_listeners_stand_beside_the_scores(scores, tmp_path):
    write_report([scores, rated(tmp_path / "test")], tmp_path)

    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    # standard deviation 2 over 3 listeners, t(0.975, 2) = 4.302653: 62 ± 4.97
    row = "| irm2 | **62.0** | 57.0 … 67.0 | **62.0** | 57.0 … 67.0 |"
    assert markdown.count(row) == 2
    assert "| reference | 100.0 | 100.0 … 100.0 |" in markdown
    rows = [line.split(" | ")[0] for line in markdown[markdown.index("Listening") :].splitlines()]
    order = ["| reference", "| <i>other</i>", "| irm2", "| anchor"]
    assert [row for row in rows if row in order] == 2 * order
    assert markdown.count("### ") == 5
    assert "3 listeners" in markdown and "Nobody is left out" in markdown
    assert (tmp_path / "report.tex").read_text(encoding="utf-8").count(r"\begin{tabular}") == 5
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open in ([], ["html"])
    assert page.tags.count("table") == 5
    assert page.tags.count("svg") == 2 * 6 + 2 + 4
    assert "<i>other</i>" in page.text and "<i>other</i>" not in text
    assert "listener 2: 64.0" in page.text


@pytest.mark.parametrize("given", ["", "ratings/0.csv"])
def test_ratings_alone_make_a_report(tmp_path, given):
    folder = rated(tmp_path / "test")

    done = CliRunner().invoke(app, ["report", str(folder / given)])

    assert done.exit_code == 0, done.output
    out = (folder / given).parent if given else folder
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert markdown.count("### ") == 2
    assert ("1 listener, of 1 song" if given else "3 listeners, of 1 song") in markdown
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    assert page.tags.count("svg") == 4
    assert "SDR" not in page.text


def test_who_left_after_the_first_scale_is_not_counted_in_the_second(tmp_path):
    folder = rated(tmp_path / "test")
    path = folder / "ratings" / "2.csv"
    rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(row for row in rows if "interference" not in row), encoding="utf-8")

    write_report([folder], tmp_path)

    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    counts = "3 listeners, of 1 song, for quality; 2 listeners, of 1 song, for interference"
    assert markdown.count(f"Means over {counts}; intervals") == 2
    assert "| irm2 | **62.0** | 57.0 … 67.0 | **61.0** |" in markdown


def test_who_misses_the_reference_is_counted_but_not_averaged(tmp_path):
    folder = rated(tmp_path / "test", listeners=1)
    text = (folder / "ratings" / "0.csv").read_text(encoding="utf-8")
    deaf = text.replace("reference,100", "reference,89").replace("listener 0", "deaf")
    (folder / "ratings" / "1.csv").write_text(deaf.replace("irm2,60", "irm2,0"), encoding="utf-8")

    write_report([folder], tmp_path)

    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Left out: 1 of 2 listeners" in markdown
    assert "Means over 1 listener, of 1 song;" in markdown
    assert "| irm2 | **60.0** | - | **60.0** | - |" in markdown
    (folder / "ratings" / "0.csv").unlink()
    write_report([folder], tmp_path)
    assert "Left out: 1 of 1 listener" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_what_can_not_be_written_is_told_with_its_place(scores, tmp_path, monkeypatch):
    def full(path: Path, *arguments: object, **more: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    (tmp_path / "file").touch()
    with pytest.raises(AudioError, match="is a file, not a folder; choose another"):
        write_report([scores], tmp_path / "file")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError) as failed:
        write_report([scores], tmp_path / "out")
    assert failed.value.filename == str(tmp_path / "out/report.html")


def test_folders_without_scores_or_with_equal_names_are_refused(scores, tmp_path):
    with pytest.raises(DataError, match="no scores here"):
        write_report([tmp_path], tmp_path)
    (tmp_path / "unheard" / "ratings").mkdir(parents=True)
    with pytest.raises(DataError, match="no ratings here yet"):
        write_report([tmp_path / "unheard"], tmp_path)
    with pytest.raises(DataError, match="systems of one name; rename one"):
        write_report([scores, scores], tmp_path)
    assert not list(tmp_path.glob("report.*"))
