"""Many songs: separates them one after another or at once; a bad one does not stop the rest."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from unbraid.allocator import keep_freed_memory
from unbraid.audio import probe
from unbraid.errors import UnbraidError, UnbraidWarning, describe
from unbraid.naming import forms_of
from unbraid.planning import Options, Result, Task, outputs_of

if TYPE_CHECKING:
    from unbraid.separator import Separator


SECONDS_TO_CLEAN_UP = 3.0  # of a worker whose parent was killed: a song under way leaves no file


def separate_songs(
    tasks: Sequence[Task],
    options: Options,
    make_separator: Callable[[], Separator],
    jobs: int = 1,
    on_progress: Callable[[Task, float], None] = lambda task, fraction: None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Separates songs; one that fails does not stop the rest.

    Args:
        tasks: from `plan`.
        options: what to write.
        make_separator: makes a Separator, once per process; can be pickled if `jobs` > 1.
        jobs: number of processes, which share the processor's cores.
        on_progress: gets a task and its fraction done, from 0 to 1.
        on_result: gets each result as soon as it is there.

    Returns:
        The results in order of completion.

    Raises:
        KeyboardInterrupt: interrupted; songs under way leave no file.
    """
    results: list[Result] = []

    def finish(result: Result) -> None:
        results.append(result)
        on_result(result)

    jobs = min(jobs, len(tasks))
    if jobs > 1:
        _separate_at_once(tasks, options, make_separator, jobs, on_progress, finish)
    elif tasks:
        separator = make_separator()
        for task in tasks:

            def report(fraction: float, task: Task = task) -> None:
                on_progress(task, fraction)

            finish(separate_song(separator, task, options, report))
    return results


def separate_song(
    separator: Separator, task: Task, options: Options, progress: Callable[[float], None]
) -> Result:
    """Separates a song; what goes wrong stands in the result.

    Args:
        separator: does it.
        task: from `plan`.
        options: what to write.
        progress: gets the fraction done, from 0 to 1; what it raises ends the separation.
    """
    song = task.song
    progress(0.0)
    start = time.perf_counter()
    try:
        targets = outputs_of(song, options)
        forms = {form for path in targets.values() for form in forms_of(path)}
        before = set(filter(os.path.lexists, forms))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UnbraidWarning)
            files = separator.separate_file(
                Path(song.path),
                Path(options.out_dir / song.folder),
                stems=options.stems,
                name=options.name,
                format=options.format,
                bit_depth=options.bit_depth,
                progress=progress,
            )
        elapsed = time.perf_counter() - start
        duration = probe(next(iter(files.values()))).duration or 0.0  # the song's own may be wrong
        if task.plot:
            from unbraid.plot import plot_files

            picture = Path(task.plot)
            plot_files(Path(song.path), files, picture)
            files = {**files, "plot": picture}
        replaced = _replaced(targets, files, before)
    except (UnbraidError, OSError) as error:
        return Result(song, "failed", error=describe(error))
    except Exception:
        return Result(song, "failed", error=traceback.format_exc())
    said = ["replaced what was there"] if replaced else []
    for warning in caught:
        if issubclass(warning.category, UnbraidWarning):
            said.append(str(warning.message))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return Result(song, "done", {**files}, duration, elapsed, tuple(said))


def _replaced(
    targets: Mapping[str, PurePath], files: Mapping[str, PurePath], before: set[PurePath]
) -> bool:
    """Whether files took the place of others; a FLAC that became float WAV takes both places."""
    stale = {path for stem, path in targets.items() if files[stem] != path} & before
    for path in stale:
        Path(path).unlink(missing_ok=True)
    return bool(stale or before.intersection(files.values()))


def _separate_at_once(
    tasks: Sequence[Task],
    options: Options,
    make_separator: Callable[[], Separator],
    jobs: int,
    on_progress: Callable[[Task, float], None],
    finish: Callable[[Result], None],
) -> None:
    make_separator()  # a model or device that cannot be had fails here, not in every worker
    import torch

    context = get_context("spawn")  # a fork of a process with torch's threads can hang
    fractions = context.SimpleQueue()
    cancelled = context.Event()
    threads = max(1, torch.get_num_threads() // jobs)
    pool = ProcessPoolExecutor(
        jobs, context, _start_worker, (make_separator, options, threads, fractions, cancelled)
    )
    try:
        with _signals_held():  # the first tasks start the workers
            pending: dict[Future[Result], Task] = {
                pool.submit(_work, number, task): task for number, task in enumerate(tasks)
            }
        while pending:
            done, _ = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
            while not fractions.empty():
                number, fraction = fractions.get()
                on_progress(tasks[number], fraction)
            for future in done:
                finish(_result_of(future, pending.pop(future)))
    finally:
        cancelled.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Holds what a terminal sends, also from processes that are started, which inherit this."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _result_of(future: Future[Result], task: Task) -> Result:
    try:
        return future.result()
    except BrokenProcessPool:
        error = "a worker process died, perhaps for want of memory: try fewer jobs"
        return Result(task.song, "failed", error=error)


_worker: dict[str, Any] = {}


def _start_worker(
    make_separator: Callable[[], Separator],
    options: Options,
    threads: int,
    fractions: Any,
    cancelled: Any,
) -> None:
    threading.Thread(target=_end_with_parent, args=(cancelled,), daemon=True).start()
    import torch

    keep_freed_memory()
    for name in ("SIGINT", "SIGHUP"):  # the parent gets them too, and sets `cancelled`
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore", UnbraidWarning)  # of the device, which the parent has said
    _worker.update(
        separator=make_separator(), options=options, fractions=fractions, cancelled=cancelled
    )


def _end_with_parent(cancelled: Any) -> None:
    """Ends this process once its parent is gone, which could be killed without a word."""
    parent = parent_process()
    assert parent is not None  # this runs in workers
    parent.join()
    cancelled.set()
    time.sleep(SECONDS_TO_CLEAN_UP)
    os._exit(1)


def _work(number: int, task: Task) -> Result:
    def report(fraction: float) -> None:
        if _worker["cancelled"].is_set():
            raise KeyboardInterrupt
        _worker["fractions"].put((number, fraction))

    return separate_song(_worker["separator"], task, _worker["options"], report)
