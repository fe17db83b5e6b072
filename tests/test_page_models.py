"""The page in a real browser: a model for a song, and another for the same song."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from browser import needs_browser, playwright, running_browser, until, watched
from unbraid.models import build
from unbraid.models.checkpoint import save
from web_server import make_song, serving

pytestmark = [pytest.mark.slow, needs_browser]

expect = playwright.expect
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def url(tmp_path_factory, model) -> Iterator[str]:
    """A server whose user has added a model of three stems, and one with a long name."""
    added = tmp_path_factory.mktemp("added")
    long = added / f"{'long-name-' * 6}.safetensors"
    long.write_bytes(model.read_bytes())
    three = build(
        "bandsplit", features=4, hidden=4, blocks=1, targets=("vocals", "drums"), residual="rest"
    )
    save(three, added / "three.safetensors", architecture="bandsplit", licence="MIT", data="none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNBRAID_MODELS", str(added))
        with serving(tmp_path_factory.mktemp("paged"), model) as url:
            yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def page(browser, url) -> Iterator[Any]:
    page = watched(browser.new_page())
    page.set_default_timeout(20_000)
    yield page
    page.close()


def stems(page) -> list[str]:
    """Names of the stems in view, once they can be heard."""
    page.get_by_role("button", name="Play").wait_for()
    return page.locator(".row h2").all_inner_texts()


def test_a_model_is_chosen_and_another_one_afterwards(page, url, tmp_path):
    page.goto(url)
    choice = page.get_by_label("Model")
    expect(choice).to_have_value("tiny")
    assert choice.locator("option").first.inner_text() == "tiny, the default"
    choice.select_option("three")
    page.set_input_files("#file", make_song(tmp_path / "song.wav"))
    assert stems(page) == ["Vocals", "Drums", "Rest"]
    expect(page.locator("#model")).to_have_text("model three")

    first, asked = page.url, []
    page.route("**/again?*", lambda route: asked.append(route))
    page.get_by_role("button", name="Separate song again with tiny").focus()
    for _ in range(2):
        page.keyboard.press("Enter")
    until(page, lambda: asked)
    page.wait_for_timeout(50)
    (once,) = asked
    once.continue_()
    expect(page.locator("#model")).to_have_text("model tiny")
    assert page.url != first
    assert stems(page) == ["Vocals", "Accompaniment"]

    page.get_by_role("link", name="← Songs").click()
    expect(page.locator("#songs li .soft")).to_have_text(["0:01", "three · 0:01"])
    for which in ("song", "song by three"):
        expect(page.get_by_role("button", name=f"Delete {which}", exact=True)).to_be_visible()
    assert page.errors == []


def test_the_choice_is_remembered_and_the_default_is_whatever_the_server_takes(page, url):
    page.goto(url)
    choice = page.get_by_label("Model")
    choice.select_option("dprnn")
    page.reload()
    expect(choice).to_have_value("dprnn")
    choice.select_option("tiny")

    def later(route: Any) -> None:
        """The server after a restart, with another model as its own."""
        told = route.fetch().json()
        models = sorted(told["models"], key=lambda model: model["name"] != "unet")
        route.fulfill(json={**told, "model": "unet", "models": models})

    page.route("**/api/server", later)
    page.reload()
    expect(choice).to_have_value("unet")


def test_a_model_that_is_gone_is_forgotten(page, url):
    page.goto(url)
    page.evaluate("localStorage.setItem('model', 'yesterday')")
    page.reload()
    expect(page.get_by_label("Model")).to_have_value("tiny")


def test_a_browser_that_remembers_nothing_chooses_all_the_same(page, url):
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('forbidden'); } })"
    )
    page.goto(url)
    page.get_by_label("Model").select_option("three")
    page.get_by_role("button", name="Try the example song").click()
    expect(page.locator("#model")).to_have_text("model three")
    assert page.errors == []


def test_a_double_click_asks_for_one_song(page, url):
    asked: list[Any] = []
    page.route("**/api/example?*", lambda route: asked.append(route))
    page.goto(url)
    page.get_by_role("button", name="Try the example song").dblclick()
    until(page, lambda: asked)
    page.wait_for_timeout(50)
    assert len(asked) == 1


def test_one_model_is_no_choice(page, url):
    def answer(route: Any) -> None:
        told = route.fetch().json()
        route.fulfill(json={**told, "models": told["models"][:1]})

    page.route("**/api/server", answer)
    page.goto(url)
    expect(page.locator("#model")).to_have_text("model tiny")
    expect(page.get_by_label("Model")).to_be_hidden()
    page.get_by_role("button", name="Try the example song").click()
    assert stems(page) == ["Vocals", "Accompaniment"]
    expect(page.get_by_text("again with")).to_be_hidden()


@pytest.mark.parametrize("width", [320, 375])
def test_the_choice_fits_a_phone(page, url, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url)
    expect(page.get_by_label("Model")).to_be_visible()
    assert page.evaluate(FITS)
    page.get_by_role("button", name="Try the example song").click()
    stems(page)
    expect(page.get_by_role("button", name="again with long")).to_be_visible()
    assert page.evaluate(FITS)
