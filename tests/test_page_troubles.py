"""The page in a real browser when something goes wrong: connections, full queues, strange files.

The server is a real one; what goes wrong is put into single answers of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from browser import needs_browser, playwright, running_browser, until
from web_server import serving

pytestmark = [pytest.mark.slow, needs_browser]

expect = playwright.expect
BROKEN = "The connection to the server broke"
UPLOADS = re.compile(r"/api/jobs\?name=")
SONGS = ("one.wav", "two.wav", "three.wav")


@pytest.fixture(scope="module")
def url(tmp_path_factory, model) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("troubled"), model) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def page(browser, url) -> Iterator[Any]:
    """A page of its own for each test, which changes what the server answers to it."""
    page = browser.new_page()
    page.set_default_timeout(10_000)
    yield page
    page.close()


@pytest.fixture
def songs(tmp_path) -> list[str]:
    for name in SONGS:
        (tmp_path / name).write_bytes(b"as good as a song")
    return [str(tmp_path / name) for name in SONGS]


def job(name: str = "song.wav", status: str = "running", **more: Any) -> dict[str, Any]:
    """A song as the API shows it."""
    state = {"id": name.partition(".")[0], "name": name, "status": status, "progress": 0.1}
    ended = {"expires": 2e9} if status in ("done", "failed") else {"expires": None}
    audio = {"duration": 60, "sample_rate": 44100, "channels": 2, "stems": [], "warnings": []}
    rest = {"before": 0, "seconds_left": None, "error": None, "model": "tiny"}
    return {**state, **ended, **audio, **rest, **more}


def answer(
    page, pattern: str | re.Pattern[str], given: Any, status: int = 200, method: str = "GET"
) -> None:
    """From now on the server answers so; None breaks the connection."""

    def handle(route):
        if route.request.method != method:
            route.fallback()
        elif given is None:
            route.abort("connectionrefused")
        elif isinstance(given, str):
            route.fulfill(status=status, body=given, content_type="text/event-stream")
        else:
            route.fulfill(status=status, json=given)

    page.route(pattern, handle)


def take_uploads(page) -> list[Any]:
    """Uploads from now on, in their order; each waits for an answer."""
    held: list[Any] = []
    page.route(UPLOADS, lambda route: held.append(route))
    return held


def alerts(page) -> list[str]:
    """Lines of what is said to have gone wrong."""
    texts = page.locator("[role=alert]:visible").all_text_contents()
    return [line for text in texts for line in text.splitlines()]


def focused(page) -> str:
    return page.evaluate(
        "document.activeElement.closest('[data-id]')?.dataset.id ?? document.activeElement.tagName"
    )


def event(state: dict[str, Any]) -> str:
    return f"data: {json.dumps(state)}\n\n"


def test_the_list_goes_on_after_a_broken_connection(page, url):
    page.clock.install()
    answer(page, "**/api/jobs", [job()])
    page.goto(url)
    expect(page.locator("#songs")).to_contain_text("separating, 10 %")
    answer(page, "**/api/jobs", None)
    page.clock.run_for(1600)
    expect(page.get_by_text(f"{BROKEN}; trying again.")).to_be_visible()
    answer(page, "**/api/jobs", [job(progress=0.5)])
    page.clock.run_for(1600)

    expect(page.locator("#songs")).to_contain_text("separating, 50 %")
    expect(page.get_by_text(BROKEN)).to_be_hidden()


def test_a_song_goes_on_after_a_broken_connection(page, url):
    page.clock.install()
    answer(page, "**/api/jobs/song", job())
    answer(page, "**/api/jobs/song/events", None)
    page.goto(f"{url}#song")
    expect(page.locator("#waiting-text")).to_contain_text("Separating · 10 %")
    answer(page, "**/api/jobs/song", None)
    page.clock.run_for(2100)  # asks for events again, which break again
    expect(page.get_by_text(f"{BROKEN}; trying again.")).to_be_visible()
    answer(page, "**/api/jobs/song", {"detail": "a token is needed"}, 401)
    page.clock.run_for(2100)
    expect(page.get_by_text("A token is needed; trying again.")).to_be_visible()

    answer(page, "**/api/jobs/song", job(progress=0.5))
    ended = job(status="failed", error="it is silent")
    answer(page, "**/api/jobs/song/events", event(ended))
    page.clock.run_for(2100)
    expect(page.get_by_text("trying again")).to_be_hidden()
    expect(page.locator("#waiting-text")).to_contain_text("50 %")
    page.clock.run_for(2100)
    until(page, lambda: alerts(page) == ["“song”: it is silent."])


def test_a_song_that_someone_deletes_leads_to_the_list(page, url):
    answer(page, "**/api/jobs/song", job())
    page.goto(url)
    answer(page, "**/api/jobs/song/events", "event: deleted\ndata: {}\n\n")
    page.route("**/api/jobs/song/events", lambda route: gone(page, route))
    page.evaluate("location.hash = 'song'")

    expect(page.locator("#home")).to_be_visible()
    assert alerts(page) == ["This song was deleted."]


def gone(page, route) -> None:
    answer(page, "**/api/jobs/song", {"detail": "no such song"}, 404)
    route.fallback()


@pytest.mark.parametrize("button", ["Cancel", "Delete"])
def test_who_deletes_leaves_only_when_it_is_deleted(page, url, button):
    state = job(status="done", stems=["vocals"]) if button == "Delete" else job()
    answer(page, "**/api/jobs/song", state)
    answer(page, "**/api/jobs/song/events", event(state))
    answer(page, "**/api/jobs/song", None, method="DELETE")
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{url}#song")
    if button == "Delete":  # without stems there is no mixer; the buttons do the same
        until(page, lambda: alerts(page))
    press = page.locator("#song").get_by_role("button", name=button)
    press.click()
    until(page, lambda: alerts(page) == [f"{BROKEN}."])
    assert page.url.endswith("#song")

    answer(page, "**/api/jobs/song", {}, 204, method="DELETE")
    press.click()
    expect(page.locator("#home")).to_be_visible()
    assert alerts(page) == []


def test_a_song_that_failed_can_be_deleted_where_it_says_so(page, url):
    state = job(status="failed", error="it is silent")
    answer(page, "**/api/jobs/song", state)
    answer(page, "**/api/jobs/song/events", event(state))
    answer(page, "**/api/jobs/song", {}, 204, method="DELETE")
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{url}#song")
    until(page, lambda: alerts(page) == ["“song”: it is silent."])
    page.locator("#song").get_by_role("button", name="Delete this song").click()
    expect(page.locator("#home")).to_be_visible()

    answer(page, "**/api/jobs/other", job("other.wav"))
    page.evaluate("location.hash = 'other'")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.get_by_role("button", name="Delete this song")).to_be_hidden()


def test_a_song_that_someone_deleted_is_as_good_as_deleted(page, url):
    state = job(status="failed", error="it is silent")
    page.route("**/api/jobs", lambda route: route.fulfill(json=[state]))
    answer(page, "**/api/jobs/song", state)
    answer(page, "**/api/jobs/song", {"detail": "no such song"}, 404, method="DELETE")
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{url}#song")
    page.get_by_role("button", name="Delete this song").click()
    expect(page.locator("#home")).to_be_visible()
    page.get_by_role("button", name="Delete song").click()
    expect(page.locator("#live")).to_have_text("Deleted")
    assert alerts(page) == []


def test_a_song_that_cannot_be_played_can_be_deleted_where_it_says_so(page, url):
    state = job(status="done", stems=["vocals"])
    answer(page, "**/api/jobs/song", state)
    answer(page, "**/api/jobs/song/events", event(state))
    answer(page, "**/api/jobs/song/stems/vocals.wav", "no samples")
    page.goto(f"{url}#song")
    said = "This browser cannot play the stem vocals: it is empty, or too long."
    until(page, lambda: alerts(page) == [said])
    expect(page.get_by_role("button", name="Delete this song")).to_be_visible()


def test_the_longest_song_is_told_as_it_is(page, url):
    limits = page.request.get(f"{url}/api/server").json()
    answer(page, "**/api/server", limits | {"max_seconds": 90})
    page.goto(url)
    expect(page.locator("#limits")).to_have_text("Up to 1.5 min and 500 MB")


def test_delete_stays_in_its_place_when_a_song_begins(page, url):
    state = job(status="queued")
    page.route("**/api/jobs", lambda route: route.fulfill(json=[state]))
    page.goto(url)
    button = page.get_by_role("button", name="Delete song")
    before = button.bounding_box()
    state |= job(status="running")
    expect(page.locator("#songs progress")).to_be_visible()
    assert button.bounding_box() == before


def test_what_is_asked_for_in_vain_is_told_in_plain_words(page, url):
    answer(page, "**/api/example?*", None, method="POST")
    page.goto(url)
    page.get_by_role("button", name="Try the example song").click()
    until(page, lambda: alerts(page) == [f"{BROKEN}."])


def test_no_such_song_is_said_in_its_view_only(page, url):
    page.goto(f"{url}#0000")
    until(page, lambda: alerts(page))
    page.get_by_role("link", name="← Songs").click()
    expect(page.get_by_role("heading", name="Take a song apart")).to_be_focused()
    assert alerts(page) == []


def test_the_focus_stays_in_the_list_when_a_song_is_deleted(page, url):
    left = [job(name, "done") for name in SONGS]
    page.route("**/api/jobs", lambda route: route.fulfill(json=left))

    def delete(route):
        left[:] = [one for one in left if not route.request.url.endswith(one["id"])]
        route.fulfill(status=204)

    page.route("**/api/jobs/*", delete)
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(url)
    for deleted, then in [("two", "three"), ("three", "one"), ("one", "H1")]:
        page.get_by_role("button", name=f"Delete {deleted}").click()
        page.locator(f"[data-id={deleted}]").wait_for(state="detached")
        assert focused(page) == then


def test_an_upload_that_ends_leaves_another_song_in_view(page, url, songs):
    held = take_uploads(page)
    answer(page, "**/api/jobs/other", job("other.wav", "failed", error="it is silent"))
    page.goto(url)
    expect(page.locator("#home")).to_be_visible()
    page.set_input_files("#file", songs[0])
    until(page, lambda: held)
    page.evaluate("location.hash = 'other'")
    expect(page.locator("#title")).to_have_text("other")
    held[0].fulfill(status=202, json=job("one.wav"))
    page.locator("#sending[hidden]").wait_for(state="attached")
    page.wait_for_timeout(100)
    assert page.url.endswith("#other")


def test_songs_on_their_way_keep_the_model_that_was_chosen_for_them(page, url, songs):
    held = take_uploads(page)
    page.goto(url)
    expect(page.locator("#home")).to_be_visible()
    page.set_input_files("#file", songs[:2])
    until(page, lambda: held)
    page.get_by_label("Model").select_option("dprnn")
    page.set_input_files("#file", songs[2])
    for place, model in enumerate(("tiny", "tiny", "dprnn")):
        until(page, lambda place=place: len(held) > place)
        assert held[place].request.url.endswith(f"&model={model}")
        held[place].fulfill(status=202, json=job(SONGS[place]))
    expect(page.locator("#sending")).to_be_hidden()


def test_songs_that_are_added_wait_for_those_on_their_way(page, url, songs):
    """All errors stay, and one button cancels all."""
    held = take_uploads(page)
    page.goto(url)
    expect(page.locator("#home")).to_be_visible()
    page.set_input_files("#file", songs[0])
    until(page, lambda: held)
    page.set_input_files("#file", songs[1])
    expect(page.locator("#sending")).to_contain_text("1 more after it")
    assert len(held) == 1
    held[0].fulfill(status=415, json={"detail": "no audio"})
    until(page, lambda: len(held) == 2)
    page.set_input_files("#file", songs[2])
    expect(page.locator("#sending-name")).to_have_text("two.wav")
    held[1].fulfill(status=415, json={"detail": "no sound"})
    until(page, lambda: len(held) == 3)
    page.set_input_files("#file", songs[:2])
    page.get_by_role("button", name="Cancel").click()

    expect(page.locator("#sending")).to_be_hidden()
    assert alerts(page) == ["“one.wav”: no audio.", "“two.wav”: no sound."]
    assert len(held) == 3


def test_songs_wait_while_the_queue_is_full(page, url, songs):
    held = take_uploads(page)
    page.goto(url)
    expect(page.locator("#home")).to_be_visible()
    page.set_input_files("#file", songs[:2])
    busy = {"detail": "busy, 3 before you: try again later", "before": 3}
    until(page, lambda: held)
    held[0].fulfill(status=503, json=busy, headers={"retry-after": "1"})
    expect(page.locator("#sending")).to_contain_text("waits, because the server is busy")
    for place, name in [(1, "one"), (2, "two")]:
        until(page, lambda place=place: len(held) > place)
        assert f"name={name}.wav" in held[place].request.url
        held[place].fulfill(status=202, json=job(f"{name}.wav"))
    expect(page.locator("#sending")).to_be_hidden()
    assert alerts(page) == []

    page.set_input_files("#file", songs[0])
    until(page, lambda: len(held) == 4)
    held[3].fulfill(status=503, json=busy, headers={"retry-after": "30"})
    expect(page.locator("#sending")).to_contain_text("next try in 30 s")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#sending")).to_be_hidden()


def test_songs_that_are_not_sent_are_named(page, url, songs):
    answer(page, UPLOADS, None, method="POST")
    page.goto(url)
    expect(page.locator("#home")).to_be_visible()
    page.set_input_files("#file", songs)
    told = [f"“one.wav”: {BROKEN[0].lower()}{BROKEN[1:]}."]
    until(page, lambda: alerts(page) == [*told, "“two.wav”: not sent.", "“three.wav”: not sent."])


def test_a_token_that_is_out_of_date_is_told_where_it_breaks_the_upload(page, url, songs):
    """Firefox and Safari hear no refusal while they send."""
    page.goto(url)
    expect(page.locator("#home")).to_be_visible()
    answer(page, UPLOADS, None, method="POST")
    answer(page, "**/api/server", {"detail": "a token is needed"}, status=401)
    page.set_input_files("#file", songs[0])
    until(page, lambda: alerts(page) == ["“one.wav”: a token is needed."])


def test_a_folder_is_named_and_what_is_dropped_beside_it_is_sent(page, url, songs, tmp_path):
    (tmp_path / "Album").mkdir()
    held = take_uploads(page)
    page.goto(url)
    place = page.locator("#drop").bounding_box()
    mouse = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(tmp_path / "Album"), songs[0]], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        at = {"x": place["x"] + 50, "y": place["y"] + 50}
        mouse.send("Input.dispatchDragEvent", {"type": kind, "data": data, **at})

    until(page, lambda: held)
    held[0].fulfill(status=202, json=job("one.wav"))
    expect(page.locator("#sending")).to_be_hidden()
    assert "name=one.wav" in held[0].request.url
    assert alerts(page) == ["“Album”: a folder; choose the songs in it."]


def test_a_file_that_is_gone_is_not_taken_for_a_broken_connection(page, url, songs, tmp_path):
    held = take_uploads(page)
    page.goto(url)
    expect(page.locator("#home")).to_be_visible()
    page.set_input_files("#file", songs[:2])
    until(page, lambda: held)
    (tmp_path / "two.wav").unlink()
    held[0].fulfill(status=202, json=job("one.wav"))
    until(page, lambda: len(held) == 2)
    held[1].continue_()
    until(page, lambda: alerts(page) == ["“two.wav”: it can't be read."])
