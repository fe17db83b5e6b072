"""Scores and ratings on one self-contained page, and as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from string import Template

import numpy as np

from unbraid.errors import DataError
from unbraid.evaluation.charts import box_plot, colours, legend, track_bars
from unbraid.evaluation.compare import Common, on_common_tracks
from unbraid.evaluation.pictures import audio_url, level_of, picture_url
from unbraid.evaluation.run import REFERENCE
from unbraid.evaluation.scores import UNSHOWN, TrackScores, read_folder
from unbraid.evaluation.systems import ORACLES, PAIR
from unbraid.evaluation.tables import (
    METRICS,
    NOTHING_COMMON,
    Table,
    as_html,
    as_latex,
    as_markdown,
    tables,
    targets_of,
)
from unbraid.folders import check_folder
from unbraid.listening.ratings import RATINGS, Rating, read_ratings
from unbraid.listening.section import rating_plots, rating_tables, systems_of
from unbraid.replacing import replacing

_PAGE = Path(__file__).with_name("report.html")
_SCORES = Path(__file__).with_name("report_scores.html")
_CLIP = Template(
    """<figure class="clip" tabindex="0" role="button" aria-label="play $stem, $source">
<div class="view"><img alt="" src="$picture"><i></i></div>
<figcaption><b></b>$source</figcaption>
<audio preload="none" src="$audio"></audio></figure>"""
)


def write_report(folders: Sequence[Path], out: Path) -> list[Path]:
    """Writes `report.html`, `report.md` and `report.tex`, each whole or not at all.

    Args:
        folders: that `evaluate` wrote, whose systems are put side by side; those of listening
            tests, or one listener's CSV file.
        out: folder to write to.

    Returns:
        The files.

    Raises:
        DataError: if a folder holds neither scores nor ratings, two hold a system of one name, a
            system's scores are of different weights, or a file of ratings is damaged.
        AudioError: if `out` cannot be written to.
    """
    check_folder(out)
    ratings = _ratings(folders)
    places = find_systems([folder for folder in folders if not _only_rated(folder)])
    scores = {system: _of_one_model(place / "test") for system, place in places.items()}
    if not scores and not ratings:
        raise DataError(f"{folders[0]}: no ratings here yet; let somebody listen first")
    of_scores, of_ratings = tables(scores), rating_tables(ratings) if ratings else []
    made = of_scores + of_ratings
    palette = colours([*dict.fromkeys([*scores, *systems_of(ratings)])])
    body = _scores_body(scores, places, of_scores, palette) if scores else ""
    texts = {
        "report.html": Template(_PAGE.read_text(encoding="utf-8")).substitute(
            title=_title(scores),
            legend=legend(palette),
            body=body + (_ratings_body(ratings, of_ratings, palette) if ratings else ""),
            version=version("unbraid"),
        ),
        "report.md": "\n".join(map(as_markdown, made)),
        "report.tex": "\n".join(map(as_latex, made)),
    }
    for name, text in texts.items():
        with replacing(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [out / name for name in texts]


def _ratings(folders: Sequence[Path]) -> list[Rating]:
    places = [folder if folder.is_file() else folder / RATINGS for folder in folders]
    return [rating for place in places if place.exists() for rating in read_ratings(place)]


def _only_rated(folder: Path) -> bool:
    return folder.is_file() or ((folder / RATINGS).is_dir() and not any(folder.glob("*/test")))


def find_systems(folders: Sequence[Path]) -> dict[str, Path]:
    """Folder of each system; networks first, floors and oracles last.

    Raises:
        DataError: if a folder holds no scores, or two hold a system of one name.
    """
    places: dict[str, Path] = {}
    for folder in folders:
        found = sorted(test.parent for test in folder.glob("*/test") if test.is_dir())
        if not found:
            raise DataError(
                f"{folder}: no scores here; give the -o folder of `unbraid evaluate`, or a folder "
                "that listeners rated in `unbraid serve --listen`"
            )
        for place in found:
            if place.name in places:
                raise DataError(
                    f"{place} and {places[place.name]} are systems of one name; rename one"
                )
            places[place.name] = place
    order = [*ORACLES]
    return dict(
        sorted(places.items(), key=lambda item: order.index(item[0]) if item[0] in order else -1)
    )


def _of_one_model(folder: Path) -> list[TrackScores]:
    """Scores of a system; a DataError if an evaluation left some of weights that it had before."""
    tracks = read_folder(folder)
    models = {track.about.get("stamp", {}).get("model"): track.name for track in tracks}
    if len(models) > 1:
        first, second, *_ = sorted(models.values())
        raise DataError(
            f"{folder}: {first!r} and {second!r} are not of the same weights; evaluate all "
            "songs anew with the same -o, or remove the older files"
        )
    return tracks


def _common(scores: dict[str, list[TrackScores]]) -> dict[str, Common]:
    common = {target: on_common_tracks(scores, target) for target in targets_of(scores)}
    return {target: found for target, found in common.items() if found.tracks}


def _title(scores: dict[str, list[TrackScores]]) -> str:
    if not scores:
        return "Listening test"
    common = _common(scores)
    if not common or ("vocals" in targets_of(scores) and "vocals" not in common):
        raise DataError(f"{NOTHING_COMMON}: there is nothing to compare")
    tracks = max(len(found.tracks) for found in common.values())
    return f"Vocals and accompaniment on {tracks} {'track' if tracks == 1 else 'tracks'}"


def _scores_body(
    scores: dict[str, list[TrackScores]],
    places: dict[str, Path],
    made: list[Table],
    palette: dict[str, str],
) -> str:
    common = _common(scores)
    return Template(_SCORES.read_text(encoding="utf-8")).substitute(
        tables=_html(made),
        boxes="".join(_boxes(target, found, palette) for target, found in common.items()),
        bars="".join(
            f"<details{' open' if target == 'vocals' else ''}><summary>{escape(target)}</summary>"
            f"{track_bars(_column(found, 'SDR'), found.tracks, palette)}</details>"
            for target, found in common.items()
        ),
        listening=_listening(common, places),
        notes=_notes(scores),
    )


def _ratings_body(ratings: list[Rating], made: list[Table], palette: dict[str, str]) -> str:
    return (
        '<section class="card scroll"><h2>By ear: blind listening test</h2>'
        f"{rating_plots(ratings, palette)}"
        '<p class="note">Dot: mean over listeners; line: its 95 % interval; faint dots: each '
        f"listener's own mean. Hover for names and values.</p>{_html(made)}</section>"
    )


def _html(made: list[Table]) -> str:
    return "".join(f"<h3>{escape(table.title)}</h3>{as_html(table)}" for table in made)


def _column(common: Common, metric: str) -> dict[str, np.ndarray]:
    missing = np.full(len(common.tracks), np.nan)
    return {system: metrics.get(metric, missing) for system, metrics in common.values.items()}


def _boxes(target: str, common: Common, palette: dict[str, str]) -> str:
    drawn = "".join(
        box_plot(f"{metric} (dB)", _column(common, metric), common.tracks, palette)
        for metric in METRICS
    )
    return f'<h3>{escape(target.capitalize())}</h3><div class="boxes">{drawn}</div>'


def _listening(common: dict[str, Common], places: dict[str, Path]) -> str:
    """The best, the median and the worst track of the first system, to see and to hear."""
    if "vocals" not in common:
        return ""
    found = common["vocals"]
    first = next(iter(found.values))
    sdr = dict(zip(found.tracks, found.values[first]["SDR"], strict=True))
    ranked = [track for track in sorted(sdr, key=lambda name: -sdr[name]) if _clips(track, places)]
    if not ranked:
        return "<p class=note>No excerpts beside these scores.</p>"
    chosen = {ranked[0]: "best", ranked[len(ranked) // 2]: "median", ranked[-1]: "worst"}
    if len(ranked) < 3:
        chosen = dict.fromkeys(ranked, "")
    return "".join(
        f'<section class="song"><h3>{escape(track)} <small>{which} for {escape(first)}: '
        f"vocals {sdr[track]:.2f} dB</small></h3>{_clip_grid(track, places)}</section>"
        for track, which in chosen.items()
    )


def _clips(track: str, places: dict[str, Path]) -> dict[tuple[str, str], Path]:
    """(stem, source) -> file of an excerpt, for those that are there."""
    roots = {"true": next(iter(places.values())).parent / REFERENCE, **places}
    files = {
        (stem, source): root / "excerpts" / track / f"{stem}.ogg"
        for stem in ("mixture", *PAIR)
        for source, root in roots.items()
    }
    return {key: path for key, path in files.items() if path.is_file() and key[1] != "mixture"}


def _clip_grid(track: str, places: dict[str, Path]) -> str:
    clips = _clips(track, places)
    levels = {key: level_of(path) for key, path in clips.items()}
    brightest = 5 * np.ceil(max(float(level.max()) for level in levels.values()) / 5)
    columns = []
    for stem in ("mixture", *PAIR):
        figures = [
            _CLIP.substitute(
                source=escape("mixture" if stem == "mixture" else source),
                stem=stem,
                picture=picture_url(level, brightest),
                audio=audio_url(clips[stem, source]),
            )
            for (own, source), level in levels.items()
            if own == stem
        ]
        if figures:
            columns.append(f'<div class="column"><h4>{stem}</h4>{"".join(figures)}</div>')
    return f'<div class="clips">{"".join(columns)}</div>'


def _notes(scores: dict[str, list[TrackScores]]) -> str:
    """What evaluation said of tracks, each once for all systems that share it."""
    systems: dict[tuple[str, str], list[str]] = {}
    for system, tracks in scores.items():
        for track in tracks:
            for note in track.about.get("notes", ()):
                systems.setdefault((track.name, note), []).append(system)
    items = [
        f"<li><b>{escape(track)}</b> ({escape(', '.join(names))}): {escape(note)}</li>"
        for (track, note), names in systems.items()
    ]
    every = [track for tracks in scores.values() for track in tracks]
    lossy = {track.name for track in every if track.about.get("lossy")}
    if lossy:
        items.append(f"<li><b>{escape(', '.join(sorted(lossy)))}</b>: lossy-coded; {UNSHOWN}</li>")
    return f"<ul>{''.join(items)}</ul>" if items else "<p>None.</p>"
