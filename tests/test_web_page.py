"""The page in a real browser: what a musician does, from the file to the download."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from browser import needs_browser, playwright, running_browser, watched
from unbraid.audio import load_audio, save_audio
from web_server import make_song, serving

SONG = Path(str(files("unbraid.web") / "example" / "lithium.ogg"))

pytestmark = [pytest.mark.slow, needs_browser]

# modules are one instance for the page and for the test: this is the player that is heard
LEVELS = """async () => {
  const { player } = await import("/static/mixer.js");
  const levels = { vocals: 0, accompaniment: 0 };
  for (let i = 0; i < 12; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const stem in levels) levels[stem] = Math.max(levels[stem], player.level(stem));
  }
  return levels;
}"""

# the largest part of its height that any waveform fills
TALLEST = """() => Math.max(...[...document.querySelectorAll(".wave > div")].flatMap((wave) =>
  [...wave.shadowRoot.querySelectorAll(".canvases canvas")].map((canvas) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const drawn = [...Array(height).keys()].filter((y) =>
      data.subarray(4 * width * y, 4 * width * (y + 1)).some((value) => value > 0));
    return drawn.length / height;
  })))"""


@pytest.fixture(scope="module")
def url(tmp_path_factory, model):
    with serving(tmp_path_factory.mktemp("paged"), model) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser, url):
    """The page with the song's mixer, after an upload through the form."""
    page = watched(browser.new_page())
    page.goto(url)
    page.wait_for_selector("#home", state="visible")
    page.set_input_files("#file", SONG)
    page.get_by_role("button", name="Play").wait_for(timeout=60_000)
    return page


def position(page) -> float:
    return page.evaluate("async () => (await import('/static/mixer.js')).player.position")


def test_the_title_is_read_out_but_not_framed(page):
    focused = page.evaluate("document.activeElement.id")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert (focused, outline) == ("title", "none")


def test_a_soloed_stem_sounds_and_the_others_do_not(page):
    page.get_by_role("button", name="Play").click()
    both = page.evaluate(LEVELS)
    page.get_by_role("button", name="Solo vocals").click()
    page.wait_for_timeout(200)
    solo = page.evaluate(LEVELS)
    page.keyboard.press("1")
    page.get_by_role("button", name="Mute vocals").click()
    page.wait_for_timeout(200)
    muted = page.evaluate(LEVELS)
    page.get_by_role("button", name="Original").click()

    assert min(both.values()) > 1e-4
    assert solo["vocals"] > 1e-4 > 1e-6 > solo["accompaniment"]
    assert muted["accompaniment"] > 1e-4 > 1e-6 > muted["vocals"]


def test_keys_seek_loop_and_pause(page):
    page.locator("#title").focus()
    if page.locator("#play.playing").count():
        page.keyboard.press("Space")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert position(page) == pytest.approx(5)
    page.keyboard.press("[")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("]")
    assert page.locator("#loop-text").inner_text() == "0:05 to 0:10"
    page.evaluate("async () => (await import('/static/mixer.js')).player.seek(9.8)")
    page.keyboard.press("Space")
    page.wait_for_timeout(700)
    page.keyboard.press("Space")
    assert 5 <= position(page) < 7
    page.keyboard.press("l")
    page.keyboard.press("k")
    karaoke = page.get_by_role("button", name="Karaoke")
    assert karaoke.get_attribute("aria-pressed") == "true"
    assert page.get_by_role("button", name="Mute vocals").get_attribute("aria-pressed") == "true"
    page.keyboard.press("o")


def test_a_loop_that_is_drawn_too_short_stays_as_it_was(page):
    page.keyboard.press("l")
    drawn = page.locator(".row .wave").first.locator("[part~=region]")
    playwright.expect(drawn).to_have_count(1)
    box, middle = drawn.bounding_box(), page.locator(".row .wave").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 1, middle["y"] + 40)  # at its end
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5, middle["y"] + 40, steps=5)
    page.mouse.up()
    page.wait_for_timeout(200)

    assert page.locator("#loop-text").inner_text() == "0:05 to 0:10"
    assert drawn.bounding_box()["width"] == pytest.approx(box["width"], abs=2)
    page.keyboard.press("l")


def test_keys_go_on_after_the_mouse(page):
    """What was clicked keeps the focus, but no keys that do something in the whole page."""
    karaoke = page.get_by_role("button", name="Karaoke")
    speed = page.get_by_label("Speed")
    speed.click()
    speed.select_option("0.9")
    page.keyboard.press("k")
    assert karaoke.get_attribute("aria-pressed") == "true"
    page.keyboard.press("o")
    speed.focus()
    page.keyboard.press("ArrowDown")
    playwright.expect(speed).to_be_focused()  # chosen by keys, of which it may need more
    speed.select_option("1")

    page.locator("#seek").click(position={"x": 1, "y": 5})
    page.keyboard.press("Home")
    for key, place in [("ArrowRight", 5), ("ArrowUp", 10), ("ArrowDown", 5), ("ArrowLeft", 0)]:
        page.keyboard.press(key)
        assert position(page) == pytest.approx(place)
    page.get_by_label("Volume of vocals").focus()
    page.keyboard.press("ArrowLeft")
    assert page.get_by_label("Volume of vocals").input_value() == "0.99"
    page.keyboard.press("o")
    page.locator("#title").focus()


@pytest.mark.parametrize("modifiers", ["Alt", "Control+Alt"])
def test_brackets_that_need_other_keys_loop_too(page, modifiers):
    page.evaluate("async () => (await import('/static/mixer.js')).player.seek(5)")
    page.keyboard.press(f"{modifiers}+[")
    page.evaluate("async () => (await import('/static/mixer.js')).player.seek(7)")
    page.keyboard.press(f"{modifiers}+]")
    assert page.locator("#loop-text").inner_text() == "0:05 to 0:07"
    page.keyboard.press(f"{modifiers}+l")
    assert page.locator("#loop-text").inner_text() == "0:05 to 0:07"
    page.keyboard.press("l")


@pytest.mark.parametrize("width", [320, 375])
def test_nothing_of_a_song_sticks_out_on_a_phone(page, width):
    before = page.viewport_size
    page.set_viewport_size({"width": width, "height": 800})
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    page.set_viewport_size(before)


def test_another_speed_keeps_the_pitch_and_the_stems_in_phase(page):
    """A tone keeps its frequency, and stems that sum to a song still do after stretching."""
    measured = page.evaluate(
        """async () => {
          const { stretch } = await import("/static/stretch.js");
          const rate = 44100;
          const wave = (shape) => Float32Array.from({ length: rate }, (_, i) => shape(i));
          const tone = wave((i) => Math.sin(2 * Math.PI * 440 * i / rate));
          const other = wave((i) => Math.sin(0.3 * i) * Math.sin(9 * i / rate));
          const sum = tone.map((sample, i) => sample + other[i]);
          const [a, b, c] = stretch([tone, other, sum], 0.8, rate);
          let crossings = 0, worst = 0;
          for (let i = 5001; i < a.length - 5000; i++) {
            crossings += a[i - 1] < 0 && a[i] >= 0;
            worst = Math.max(worst, Math.abs(a[i] + b[i] - c[i]));
          }
          const same = stretch([tone], 1, rate)[0];
          const change = Math.max(...same.map((sample, i) => Math.abs(sample - tone[i])));
          return { length: a.length, hz: crossings / ((a.length - 10000) / rate), worst, change };
        }"""
    )
    assert measured["length"] == 55125
    assert measured["hz"] == pytest.approx(440, rel=0.02)
    assert measured["worst"] < 1e-5
    assert measured["change"] < 1e-5

    page.get_by_label("Speed").select_option("0.5")
    playwright.expect(page.locator("#speed-text")).to_be_empty(timeout=30_000)
    lengths = page.evaluate(
        """async () => {
          const { player } = await import("/static/mixer.js");
          return [...player.stems.values()].map((stem) => stem.shown.duration);
        }"""
    )
    assert lengths == pytest.approx([56, 56])
    page.get_by_label("Speed").select_option("1")


def test_a_downloaded_stem_is_what_the_command_line_writes(
    page, model, tmp_path, unbraid, one_thread
):
    flags = ["-o", tmp_path, "--model", model, "--device", "cpu"]
    assert unbraid("separate", SONG, *flags).returncode == 0

    for stem in ("vocals", "accompaniment"):
        with page.expect_download() as download:
            page.get_by_label(f"Download {stem} as WAV").click()
        expected = (tmp_path / SONG.stem / f"{stem}.wav").read_bytes()
        assert Path(download.value.path()).read_bytes() == expected


def test_a_reload_shows_the_song_again_and_the_list_deletes_it(page):
    page.reload()
    page.get_by_role("button", name="Play").wait_for(timeout=20_000)
    page.get_by_role("button", name="Spectrogram").click()
    assert page.locator(".spectrogram canvas").count() >= 2
    page.get_by_role("link", name="← Songs").click()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete lithium").click()
    page.locator("#songs li").wait_for(state="detached")
    assert page.evaluate("fetch('/api/jobs').then((answer) => answer.json())") == []


def test_only_formats_that_can_hold_a_stem_are_offered(page, url, tmp_path):
    page.goto(url)
    page.wait_for_selector("#home", state="visible")
    page.set_input_files("#file", make_song(tmp_path / "fast.wav", rate=96_000))
    page.get_by_role("button", name="Play").wait_for(timeout=60_000)
    offered = page.get_by_label("Download vocals as").all_inner_texts()
    assert offered == ["WAV", "FLAC"]
    assert page.get_by_label("Download all stems as").all_inner_texts() == ["WAV", "FLAC", "MP3"]


def test_the_loudest_waveform_fills_its_height(page, url, tmp_path):
    """Of a quiet song too, in whichever channel it is."""
    sounds, rate = load_audio(make_song(tmp_path / "loud.wav"))
    page.goto(url)
    page.wait_for_selector("#home", state="visible")
    page.set_input_files("#file", save_audio(tmp_path / "quiet.wav", sounds * [[0], [0.1]], rate))
    page.get_by_role("button", name="Play").wait_for(timeout=60_000)
    playwright.expect(page.locator(".row .wave")).to_have_count(2)
    assert page.evaluate(TALLEST) == pytest.approx(1, abs=0.05)


def test_the_page_asks_no_other_machine_and_breaks_no_rule_of_its_own(page, url):
    assert page.requested
    own = (url, "blob:", "data:")
    assert [request for request in page.requested if not request.startswith(own)] == []
    assert page.errors == []


def test_a_file_that_is_no_song_is_named_and_keeps_no_other_from_coming(browser, url, tmp_path):
    page = browser.new_page()
    page.goto(url)
    page.wait_for_load_state("networkidle")
    before = page.locator("#songs li").count()
    for name in ("notes.wav", "Notes.mp3"):
        (tmp_path / name).write_text("nothing to hear")
    page.set_input_files("#file", [tmp_path / "notes.wav", SONG, tmp_path / "Notes.mp3"])
    page.locator("#sending").wait_for(state="hidden", timeout=20_000)
    said = page.locator("#refused").text_content().splitlines()
    assert [line.partition("”")[0] for line in said] == ["“notes.wav", "“Notes.mp3"]
    page.locator("#songs li").nth(before).wait_for(timeout=20_000)
    assert page.locator("#songs li").count() == before + 1
    page.close()
