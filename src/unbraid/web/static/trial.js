// One page of the test: the sounds of one stem, each with its slider.

import { bytes } from "./api.js";
import { listen } from "./keys.js";
import { LoopView } from "./loop-view.js";
import { $, announce, attempt, complain, fromTemplate } from "./page.js";
import { patiently } from "./patience.js";
import { Switcher } from "./switcher.js";

const OTHER = { vocals: "the instruments", accompaniment: "the voice" };
const SCALES = {
  quality: {
    title: (stem) => `Sound quality of the ${stem}`,
    task: (stem) => `How good does it sound beside the reference? Judge dullness, warbling, holes and noise, not how much of ${OTHER[stem]} is left.`,
    words: ["Bad", "Poor", "Fair", "Good", "Excellent"],
  },
  interference: {
    title: (stem) => `Interference in the ${stem}`,
    task: (stem) => `How much of ${OTHER[stem]} is left? Judge nothing else, not even how good the rest sounds. Nothing left: 100.`,
    words: ["Very strong", "Strong", "Medium", "Weak", "None"],
  },
};

const KEYS = 9; // sounds that have one

export let switcher = null;
let leaveTrial = () => {};

export function leave() {
  leaveTrial();
  leaveTrial = () => {};
}

/** @param {object} session - from the API @param {(ratings: object) => Promise} send */
export async function show(session, send) {
  const { page } = session;
  const scale = SCALES[page.scale];
  $("desk").hidden = true;
  $("done").max = session.pages;
  $("done").value = page.number - 1;
  $("title").textContent = document.title = scale.title(page.stem);
  $("task").textContent = scale.task(page.stem);
  $("scale").replaceChildren(words(scale.words));
  $("next").textContent = page.number < session.pages ? "Next page" : "Finish";
  $("title").focus({ preventScroll: true });

  const here = new Switcher(page.sample_rate);
  let open = true;
  leaveTrial = () => { open = false; here.close(); };
  await load(here, session, () => open);
  if (!open) return;
  switcher = here;

  const view = new Desk(page, here, send);
  $("desk").hidden = false;
  view.draw();
  leaveTrial = () => { open = false; view.destroy(); here.close(); };
}

async function load(into, { id, page }, open) {
  const all = [page.reference, ...page.sounds];
  try {
    for (const [number, sound] of all.entries()) {
      $("loading").textContent = `Loading sound ${number + 1} of ${all.length}`;
      const file = await patiently(() => bytes(`sessions/${id}/sounds/${sound}.wav`));
      if (!open()) return;
      await into.add(sound, file);
    }
  } catch (error) {
    if (open()) throw new Error(`${error.message}; reload the page to try again`);
  } finally {
    if (open()) $("loading").textContent = "";
  }
}

function words(all) {
  const row = document.createElement("div");
  row.append(...all.map((word) => Object.assign(document.createElement("span"), { textContent: word })));
  return row;
}

class Desk {
  constructor(page, player, send) {
    this.page = page;
    this.player = player;
    this.send = send;
    this.ratings = JSON.parse(sessionStorage.getItem(page.reference)) ?? {}; // of before a reload
    this.rows = page.sounds.map((id, i) => this.row(id, i + 1));
    $("sounds").replaceChildren(...this.rows);
    $("play").onclick = () => (player.playing ? player.pause() : player.play());
    $("reference").onclick = () => this.hear(page.reference);
    $("loop-start").onclick = () => player.setLoop({ ...player.loop, start: player.position });
    $("loop-end").onclick = () => player.setLoop({ ...player.loop, end: player.position });
    $("loop-whole").onclick = () => player.setLoop({ start: 0, end: player.duration });
    $("next").onclick = () => this.next();
    player.addEventListener("change", () => this.update());
  }

  draw() {
    this.wave = new LoopView($("wave"), this.player.sounds.get(this.page.reference), this.player);
    const numbers = this.page.sounds.slice(0, KEYS).map((id, i) => [String(i + 1), () => this.hear(id)]);
    this.unlisten = listen({
      " ": () => $("play").click(),
      0: () => this.hear(this.page.reference),
      "[": () => $("loop-start").click(),
      "]": () => $("loop-end").click(),
      l: () => $("loop-whole").click(),
      ArrowLeft: () => this.player.seek(this.player.position - 1),
      ArrowRight: () => this.player.seek(this.player.position + 1),
      ...Object.fromEntries(numbers),
    });
    const follow = () => {
      $("now").textContent = this.player.position.toFixed(1);
      this.wave.follow(this.player.position);
      this.frame = requestAnimationFrame(follow);
    };
    follow();
    this.update();
  }

  row(id, number) {
    const item = fromTemplate("sound");
    const [button, slider] = [item.querySelector("button"), item.querySelector("input")];
    button.textContent = number;
    button.setAttribute("aria-label", `Sound ${number}`);
    if (number <= KEYS) button.setAttribute("aria-keyshortcuts", number);
    slider.setAttribute("aria-label", `Rating of sound ${number}`);
    button.onclick = () => this.hear(id);
    // a click on the middle changes nothing, and is a rating all the same
    slider.oninput = slider.onclick = () => this.rate(id, Number(slider.value));
    return item;
  }

  /** Switch to a sound, and start if nothing plays; its slider is ready for the keys. */
  hear(id) {
    this.player.select(id);
    this.player.play();
    const place = this.page.sounds.indexOf(id);
    if (place < 0) $("reference").focus();
    else this.rows[place].querySelector("input").focus({ preventScroll: true });
    announce(place < 0 ? "Reference" : `Sound ${place + 1}`);
  }

  rate(id, value) {
    this.ratings[id] = value;
    sessionStorage.setItem(this.page.reference, JSON.stringify(this.ratings));
    this.update();
  }

  unrated() {
    return this.page.sounds.filter((id) => !(id in this.ratings));
  }

  async next() {
    const [missing] = this.unrated();
    if (missing) {
      const numbers = this.unrated().map((id) => this.page.sounds.indexOf(id) + 1);
      complain(`not rated yet: ${numbers.join(", ")}`);
      this.rows[this.page.sounds.indexOf(missing)].querySelector("input").focus();
      return;
    }
    $("next").disabled = true; // a second click would rate the next page
    await attempt(async () => {
      await this.send(this.ratings);
      sessionStorage.removeItem(this.page.reference);
    });
    $("next").disabled = false;
  }

  update() {
    const { player, page } = this;
    $("play").classList.toggle("playing", player.playing !== null);
    $("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
    $("reference").setAttribute("aria-pressed", player.heard === page.reference);
    for (const [i, id] of page.sounds.entries()) {
      const [button, slider, output] = this.rows[i].children;
      const rated = id in this.ratings;
      button.setAttribute("aria-pressed", player.heard === id);
      this.rows[i].classList.toggle("unrated", !rated);
      slider.value = this.ratings[id] ?? 50;
      slider.setAttribute("aria-valuetext", rated ? this.ratings[id] : "not rated");
      output.textContent = rated ? this.ratings[id] : "–";
    }
    const { start, end } = player.loop;
    const whole = start === 0 && end === player.duration;
    $("loop-text").textContent = whole
      ? "Repeats the whole excerpt; drag over the waveform to repeat a part"
      : `Repeats ${start.toFixed(1)} to ${end.toFixed(1)} s`;
    $("loop-whole").disabled = whole;
    const left = this.unrated().length;
    $("rest").textContent = left ? `${left} still to rate` : "";
    if (!left) complain("");
    this.wave?.update();
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    this.unlisten();
    this.wave.destroy();
  }
}
