"""Separates a catalogue on Ray: workers that die are replaced, and nothing is done twice."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path, PurePath
from typing import Any

from unbraid.fleet.cluster import connected, size
from unbraid.fleet.crew import Crew
from unbraid.fleet.manifest import Manifest
from unbraid.fleet.places import HIDDEN, Store, absolute, list_songs
from unbraid.fleet.worker import Job, MakeSeparator, Report
from unbraid.models.checkpoint import read_info
from unbraid.planning import Options, Result, Task, plan


def separate_catalogue(
    inputs: Sequence[PurePath],
    options: Options,
    weights: Path,
    make_separator: MakeSeparator,
    *,
    settings: Mapping[str, object] | None = None,
    device: str = "auto",
    jobs: int | None = None,
    address: str | None = None,
    on_progress: Callable[[Task, float], None] = lambda task, fraction: None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> Counter[str]:
    """Separates songs on the workers of a Ray cluster; one that fails does not stop the rest.

    Songs that the manifest in the output folder has with the same content, model and options, and
    whose stems are there, are skipped.

    Args:
        inputs: files and folders, as Path (which every machine must see) or Url.
        options: what to write, checked by `check_options`; `out_dir` may be a Url.
        weights: the weight file.
        make_separator: makes a Separator of a weight file, in every worker; can be pickled.
        settings: what else `make_separator` was told that changes the stems.
        device: `cpu`, `cuda`, or `auto` for the GPUs of a cluster that has any.
        jobs: number of workers; None for as many as the cluster has room for.
        address: of a Ray cluster: `auto`, `host:port` or `ray://host:port`; None starts one here.
        on_progress: gets a task and its fraction done, from 0 to 1.
        on_result: gets each result as soon as it is there.

    Returns:
        How many songs were done, skipped and failed.

    Raises:
        AudioError: a folder holds no song.
        ModelError: the weights cannot be used.
        UnbraidError: the output folder cannot be written to, or the cluster cannot be reached or
            lacks a GPU that was asked for.
        KeyboardInterrupt: interrupted; songs under way leave no file.
    """
    info = read_info(weights)
    model = info.sha256
    lists = list_songs(inputs, options.out_dir)
    lists = chain([next(lists)], lists)  # no songs, no cluster
    store = Store(options.out_dir)
    store.check()
    tally: Counter[str] = Counter()
    asked = _as_json(options, {**(settings or {}), "network": info.config})

    def finish(result: Result) -> None:
        tally[result.status] += 1
        on_result(result)

    def jobs_of(manifest: Manifest) -> Iterator[Job]:
        def is_there(path: PurePath) -> bool:
            return store.exists("/".join(path.relative_to(options.out_dir).parts))

        for songs in lists:
            tasks, known = plan(songs, options, is_there)
            for result in known:
                if result.status == "failed":
                    song = Job(Task(result.song, None, None), absolute(result.song.path))
                    manifest.add(_as_row(song, Report("failed", error=result.error), model, asked))
                finish(result)
            for task in tasks:
                place = absolute(task.song.path)
                row = manifest.done(str(place), model, asked)
                past = (row["sha256"], dict(row["outputs"])) if row else (None, {})
                yield Job(task, place, *past)

    with connected(address):
        room = size(device, jobs)
        manifest = Manifest(store)

        def report(job: Job, said: Report) -> None:
            finish(_as_result(job, said, options.out_dir))
            if said.status != "skipped":
                manifest.add(_as_row(job, said, model, asked))

        crew = Crew(room, weights, make_separator, options, store)
        try:
            crew.work_off(jobs_of(manifest), on_progress, report)
        finally:
            for job, said in crew.dismiss():
                report(job, said)
            manifest.close()
            store.remove(HIDDEN)
    return tally


def _as_json(options: Options, settings: Mapping[str, object]) -> str:
    """What decides how the stems of a song come out, apart from the weights."""
    asked = dataclasses.asdict(options)
    for not_of_a_song in ("out_dir", "skip_existing"):
        del asked[not_of_a_song]
    return json.dumps({**asked, **settings}, sort_keys=True)


def _as_result(job: Job, said: Report, out_dir: PurePath) -> Result:
    files = {stem: out_dir / name for stem, name in said.outputs.items()}
    facts = (said.duration, said.elapsed, said.warnings, said.error)
    return Result(job.task.song, said.status, files, *facts)


def _as_row(job: Job, said: Report, model: str, asked: str) -> dict[str, Any]:
    return {
        "path": str(job.place),
        "model": model,
        "options": asked,
        "attempts": job.attempt,
        "finished": datetime.now(timezone.utc),
        **vars(said),
        "outputs": list(said.outputs.items()),
    }
