"""`unbraid report`: one page that needs nothing else, and the tables as text."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from unbraid.audio import save_audio
from unbraid.cli import app
from unbraid.errors import DataError
from unbraid.evaluation import TrackScores, write_scores
from unbraid.evaluation.report import write_report
from unbraid.evaluation.run import evaluate, select_tracks
from unbraid.evaluation.systems import make_systems

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
    for words in ["<b>first<b>", "second & third", "Песня", "best", "median", "worst"]:
        assert words in page.text


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
    assert "1 track; 2 that only some systems have are left out" in markdown


def test_folders_without_scores_or_with_equal_names_are_refused(scores, tmp_path):
    with pytest.raises(DataError, match="no scores here"):
        write_report([tmp_path], tmp_path)
    with pytest.raises(DataError, match="systems of one name"):
        write_report([scores, scores], tmp_path)
    assert not list(tmp_path.iterdir())
