"""The listening test in a real browser: what a listener does, from the name to the last rating."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import soundfile

from browser import needs_browser, playwright, running_browser, watched
from listening_trees import RATE, make_test
from unbraid.listening.ratings import read_ratings
from web_server import serving_with

pytestmark = [pytest.mark.slow, needs_browser]

SECONDS = 3.0
# modules are one instance for the page and for the test: this is what is heard
CLOCKS = """async () => {
  const { switcher } = await import("/static/trial.js");
  let at, time;
  do { // the clock goes on between the two readings
    [time, at] = [switcher.context.currentTime, switcher.position];
  } while (time !== switcher.context.currentTime);
  return { at, time };
}"""
# level of each sound behind its gain, and of all together, over 250 ms
HEARD = """async () => {
  const { switcher } = await import("/static/trial.js");
  const listenTo = (node) => {
    const analyser = new AnalyserNode(switcher.context, { fftSize: 8192 });
    node.connect(analyser);
    return analyser;
  };
  const meters = [...switcher.playing.gains].map(([id, gain]) => [id, listenTo(gain)]);
  await new Promise((resolve) => setTimeout(resolve, 700));
  const level = (meter) => {
    const samples = new Float32Array(8192);
    meter.getFloatTimeDomainData(samples);
    return Math.max(...samples.map(Math.abs));
  };
  return Object.fromEntries(meters.map(([id, meter]) => [id, level(meter)]));
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_test(tmp_path_factory.mktemp("listened"), songs=1, seconds=SECONDS)


@pytest.fixture(scope="module")
def url(folder):
    with serving_with("--listen", folder) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with running_browser() as browser:
        yield browser


def begin(browser, url: str, name: str, **settings):
    page = watched(browser.new_page(**settings))
    page.goto(url)
    page.get_by_label("Your name").fill(name)
    page.keyboard.press("Enter")
    page.locator("#desk").wait_for()
    return page


def sounds_of(page) -> list[str]:
    """Ids of a page's sounds, in the order of the rows."""
    session = page.evaluate("location.hash.slice(1)")
    return page.evaluate(f"fetch('/api/sessions/{session}').then((a) => a.json())")["page"]


def test_switching_keeps_the_place_in_the_loop_and_changes_what_is_heard(browser, url):
    page = begin(browser, url, "Switcher")
    now = sounds_of(page)
    page.keyboard.press("Space")
    page.wait_for_timeout(300)
    sources = "async () => (await import('/static/trial.js')).switcher.playing.sources"
    before, first = page.evaluate(CLOCKS), page.evaluate_handle(sources)
    heard = {}
    for key, sound in [("0", now["reference"]), *zip("1234", now["sounds"], strict=True)]:
        page.keyboard.press(key)
        levels = page.evaluate(HEARD)
        assert levels.pop(sound) > 1e-3
        assert max(levels.values()) < 1e-6
        heard[key] = page.evaluate(CLOCKS)

    for later in heard.values():
        passed = (later["at"] - before["at"] - (later["time"] - before["time"])) % SECONDS
        assert min(passed, SECONDS - passed) < 1e-3
    same = page.evaluate("([a, b]) => a === b", [first, page.evaluate_handle(sources)])
    assert same  # nothing was started anew: no gap
    assert page.errors == []
    page.close()


# the last samples that were heard, when they end, and nothing of the loop's ends in them
SAMPLES = """async () => {
  const { switcher } = await import("/static/trial.js");
  const { context, loop } = switcher;
  const analyser = new AnalyserNode(context, { fftSize: 4096 });
  switcher.playing.out.connect(new ChannelSplitterNode(context)).connect(analyser, 0);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const samples = new Float32Array(4096);
  let at, time;
  do {
    await new Promise((resolve) => setTimeout(resolve, 7));
    time = context.currentTime;
    at = switcher.position;
    analyser.getFloatTimeDomainData(samples);
  } while (at - loop.start < 0.5 || loop.end - at < 0.1 || time !== context.currentTime);
  return { at, samples: [...samples] };
}"""


def test_all_sounds_run_in_step(browser, url):
    """What is heard after switching is, sample by sample, the other sound at the clock's place."""
    page = begin(browser, url, "Step")
    now = sounds_of(page)
    session = page.evaluate("location.hash.slice(1)")
    page.evaluate(
        """async () => {
          const { switcher } = await import("/static/trial.js");
          switcher.setLoop({ start: 0.5, end: 2.5 });
        }"""
    )
    for key, sound in {"0": now["reference"], "1": now["sounds"][0]}.items():
        page.keyboard.press(key)
        page.wait_for_timeout(1000)
        got = page.evaluate(SAMPLES)
        wav = page.request.get(f"{url}/api/sessions/{session}/sounds/{sound}.wav").body()
        expected = soundfile.read(io.BytesIO(wav))[0][:, 0]
        ends = round(got["at"] * RATE) + np.arange(-1024, 1025)  # the clock moves in steps
        errors = [np.abs(expected[end - 4096 : end] - got["samples"]).max() for end in ends]
        assert min(errors) < 1e-4 < np.median(errors)
    page.close()


def test_a_listener_rates_everything_and_the_file_has_exactly_that(browser, url, folder):
    page = begin(browser, url, "Ann")
    told = page.locator("#problem")
    rng = np.random.default_rng(0)
    sent = {}
    for number in range(1, 5):
        playwright.expect(page.locator("#where")).to_have_text(f"Page {number} of 4")
        page.locator("#desk").wait_for()
        scale = "quality" if "quality" in page.locator("#title").inner_text() else "interference"
        stem = page.locator("#title").inner_text().split()[-1]
        page.get_by_role("button", name="Reference").click()
        for place in range(1, 5):
            if place == 4:
                page.locator("#next").click()
                assert told.inner_text() == "Not rated yet: 4."
            sent[number, place] = scale, stem, int(rng.integers(0, 101))
            page.get_by_role("button", name=f"Sound {place}").click()
            slider = page.get_by_label(f"Rating of sound {place}")
            playwright.expect(slider).to_be_focused()
            slider.fill(str(sent[number, place][2]))
        assert told.is_hidden()
        if number == 2:
            page.reload()  # what was rated before it is still there
            page.locator("#desk").wait_for()
        page.locator("#next").click()
    page.get_by_role("heading", name="Thank you").wait_for()

    written = [rating for rating in read_ratings(folder / "ratings") if rating.listener == "Ann"]
    assert {(r.page, r.order): (r.scale, r.stem, r.rating) for r in written} == sent
    assert len(written) == len(sent) == 16
    assert len({(r.stem, r.scale, r.system) for r in written}) == 16
    own = (url, "blob:", "data:")
    assert [request for request in page.requested if not request.startswith(own)] == []
    assert not [name for name in ("alpha", "beta", "anchor") if name in json.dumps(page.requested)]
    assert page.errors == []
    page.close()


def test_keys_alone_rate_a_page(browser, url, folder):
    page = begin(browser, url, "Keys")
    for place in range(1, 5):
        page.keyboard.press(str(place))
        page.keyboard.press("End")
        for _ in range(place):
            page.keyboard.press("ArrowLeft")
    page.locator("#next").focus()
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#where")).to_have_text("Page 2 of 4")

    ratings = [rating for rating in read_ratings(folder / "ratings") if rating.listener == "Keys"]
    assert [rating.rating for rating in ratings] == [99, 98, 97, 96]
    page.close()


def test_a_part_too_short_to_repeat_does_not_stay_drawn(browser, url):
    page = begin(browser, url, "Short")
    wave, drawn = page.locator("#wave").bounding_box(), page.locator("#wave [part~=region]")

    def drag(start: float, end: float) -> None:
        """Over the waveform, in parts of its width."""
        page.mouse.move(wave["x"] + start * wave["width"], wave["y"] + 20)
        page.mouse.down()
        page.mouse.move(wave["x"] + end * wave["width"], wave["y"] + 20, steps=5)
        page.mouse.up()

    drag(0.8, 0.85)
    playwright.expect(drawn).to_have_count(0)
    drag(0.1, 0.5)
    playwright.expect(drawn).to_have_count(1)
    told = page.locator("#loop-text").inner_text()
    assert told == "Repeats 0.3 to 1.5 s"
    drag(0.8, 0.85)
    playwright.expect(drawn).to_have_count(1)
    assert page.locator("#loop-text").inner_text() == told
    drag(0.6, 0.9)
    playwright.expect(page.locator("#loop-text")).to_have_text("Repeats 1.8 to 2.7 s")
    playwright.expect(drawn).to_have_count(1)
    page.close()


def test_only_keys_that_work_are_told(browser, url):
    page = browser.new_page()

    def thrice(route):
        session = route.fetch().json()
        session["page"]["sounds"] *= 3
        route.fulfill(status=201, json=session)

    page.route("**/api/sessions", thrice)
    page.goto(url)
    page.get_by_label("Your name").fill("Many")
    page.keyboard.press("Enter")
    page.locator("#desk").wait_for()
    buttons = page.locator("#sounds button").all()
    keys = [button.get_attribute("aria-keyshortcuts") for button in buttons]
    assert keys == [*"123456789", None, None, None]
    page.close()


def test_ratings_whose_answer_is_lost_are_sent_again_and_there_once(browser, url, folder):
    page = begin(browser, url, "Lost")
    answers = []

    def lose_the_first(route):
        answers.append(route.fetch())
        if len(answers) > 1:
            route.fulfill(response=answers[-1])
        else:
            route.abort()

    page.route("**/pages/1", lose_the_first)
    for place in range(1, 5):
        page.get_by_label(f"Rating of sound {place}").fill("50")
    page.locator("#next").click()
    playwright.expect(page.locator("#where")).to_have_text("Page 2 of 4")
    assert [answer.status for answer in answers] == [200, 200]
    assert page.locator("#problem").is_hidden()

    written = [rating for rating in read_ratings(folder / "ratings") if rating.listener == "Lost"]
    assert [rating.order for rating in written] == [1, 2, 3, 4]
    page.close()


def test_nothing_sticks_out_on_a_phone(browser, url):
    page = begin(browser, url, "Phone", viewport={"width": 390, "height": 844})

    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#sounds input").first.bounding_box()["height"] >= 44
    page.close()


def test_a_broken_connection_is_tried_again_and_then_told(browser, url):
    broken = []

    def break_off(route):
        broken.append(route.request.url)
        if len(broken) > 1:
            route.continue_()
        else:
            route.abort()

    page = browser.new_page()
    page.route("**/sounds/*.wav", break_off)
    page.goto(url)
    page.get_by_label("Your name").fill("Unlucky")
    page.keyboard.press("Enter")
    page.locator("#desk").wait_for()
    assert broken[0] == broken[1]

    page.unroute("**/sounds/*.wav")
    page.route("**/sounds/*.wav", lambda route: route.abort())
    page.reload()
    page.locator("#problem").wait_for()
    said = "The connection to the server broke; reload the page to try again."
    assert page.locator("#problem").inner_text() == said
    assert page.locator("#loading").inner_text() == ""
    page.close()
