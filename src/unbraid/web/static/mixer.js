// The mixer of a separated song: transport, a row a stem, and its keys.

import * as api from "./api.js";
import { listen } from "./keys.js";
import { $, announce, downloadLinks } from "./page.js";
import { patiently } from "./patience.js";
import { Player } from "./player.js";
import { Row } from "./row.js";
import { clock, spoken, titled } from "./text.js";

const SPEEDS = [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.25, 1.5];
const SHORTEST = 0.1; // seconds of a loop
const FAINTEST = 1e-4; // peak of a song whose waveforms fill the height

/** The player of the song in view, or null. */
export let player = null;

/** Load a song's stems and show them. Returns a function that ends it, or null if no longer wanted. */
export async function mixer(job, formats, wanted) {
  const mine = new Player(job.sample_rate);
  const load = async (stem) => mine.add(stem, await patiently(() => api.stem(job.id, stem)));
  try {
    await Promise.all(job.stems.map(load));
  } catch (error) {
    mine.close();
    throw error;
  }
  if (!wanted()) {
    mine.close();
    return null;
  }
  player = mine;

  $("mixer").hidden = false;
  const rows = job.stems.map((stem) => {
    const row = new Row(player, stem, setLoop);
    downloadLinks(row.element.querySelector(".formats"), job.formats[stem], (format) => api.stemUrl(job.id, stem, format), stem);
    $("rows").append(row.element);
    return row;
  });
  const loudest = Math.max(FAINTEST, ...rows.map((row) => row.peak));
  for (const row of rows) row.draw(loudest);
  downloadLinks($("zips"), formats, (format) => api.zipUrl(job.id, format), "all stems");
  $("end").textContent = clock(player.duration);
  $("seek").max = player.duration;
  $("speed").replaceChildren(...SPEEDS.map((speed) => new Option(`${Math.round(speed * 100)} %`, speed)));

  const voice = job.stems.includes("vocals") ? "vocals" : job.stems[0];
  const presets = {
    original: () => true,
    karaoke: (stem) => stem !== voice,
    practice: (stem) => stem === voice,
  };
  function preset(name) {
    for (const stem of job.stems) mine.set(stem, { volume: 1, solo: false, muted: !presets[name](stem) });
    announce(`${titled(name)}: ${job.stems.filter(presets[name]).join(" and ")}`);
  }

  let lastLoop = null;
  function setLoop(loop) {
    if (loop && loop.end - loop.start < SHORTEST) {
      show(); // what was drawn goes
      return;
    }
    lastLoop = loop ?? lastLoop;
    mine.setLoop(loop);
  }
  const toggle = () => (mine.playing ? mine.pause() : mine.play());
  const toggleLoop = () => setLoop(mine.loop ? null : (lastLoop ?? { start: 0, end: mine.duration }));
  const loopFrom = () => setLoop({ start: mine.position, end: mine.loop && mine.loop.end > mine.position ? mine.loop.end : mine.duration });
  const loopTo = () => setLoop({ start: mine.loop && mine.loop.start < mine.position ? mine.loop.start : 0, end: mine.position });
  const setSpeed = (speed) => mine.setSpeed(Number(speed));
  const faster = (steps) => {
    const at = SPEEDS.indexOf(mine.wantedSpeed) + steps;
    if (SPEEDS[at]) setSpeed(SPEEDS[at]);
  };
  const toggleSpectrogram = () => {
    const wish = $("spectrogram").getAttribute("aria-pressed") !== "true";
    $("spectrogram").setAttribute("aria-pressed", wish);
    for (const row of rows) row.showSpectrogram(wish);
  };
  const mute = () => {
    const row = rows.find((one) => one.element.contains(document.activeElement)) ?? rows[job.stems.indexOf(voice)];
    row.toggle("muted");
  };

  $("play").onclick = toggle;
  $("seek").oninput = () => mine.seek(Number($("seek").value));
  $("loop").onclick = toggleLoop;
  $("loop-start").onclick = loopFrom;
  $("loop-end").onclick = loopTo;
  $("speed").onchange = () => setSpeed($("speed").value);
  $("spectrogram").onclick = toggleSpectrogram;
  $("spectrogram").setAttribute("aria-pressed", false);
  for (const button of document.querySelectorAll("[data-preset]")) button.onclick = () => preset(button.dataset.preset);

  const unlisten = listen({
    " ": toggle,
    ArrowLeft: () => mine.seek(mine.position - 5),
    ArrowRight: () => mine.seek(mine.position + 5),
    Home: () => mine.seek(0),
    ...Object.fromEntries(rows.map((row, i) => [String(i + 1), () => row.toggle("solo")])),
    m: mute,
    o: () => preset("original"),
    k: () => preset("karaoke"),
    p: () => preset("practice"),
    l: toggleLoop,
    "[": loopFrom,
    "]": loopTo,
    "-": () => faster(-1),
    "+": () => faster(1),
    "=": () => faster(1),
    s: toggleSpectrogram,
  });

  function show() {
    $("play").setAttribute("aria-label", mine.playing ? "Pause" : "Play");
    $("play").classList.toggle("playing", mine.playing);
    $("loop").setAttribute("aria-pressed", mine.loop !== null);
    $("loop-text").textContent = mine.loop ? `${clock(mine.loop.start)} to ${clock(mine.loop.end)}` : "";
    $("speed").value = mine.wantedSpeed;
    $("speed-text").textContent = mine.wantedSpeed === mine.speed ? "" : "preparing…";
    for (const button of document.querySelectorAll("[data-preset]")) {
      const pressed = job.stems.every((stem) => {
        const { volume } = mine.stems.get(stem);
        return mine.sounds(stem) === presets[button.dataset.preset](stem) && (volume === 1 || !mine.sounds(stem));
      });
      button.setAttribute("aria-pressed", pressed);
    }
    for (const row of rows) row.update();
    follow();
  }

  let frame = 0;
  function follow() {
    cancelAnimationFrame(frame);
    const { position } = mine;
    $("now").textContent = clock(position);
    $("seek").value = position;
    $("seek").style.setProperty("--done", `${(100 * position) / mine.duration}%`);
    $("seek").setAttribute("aria-valuetext", `${spoken(position)} of ${spoken(mine.duration)}`);
    for (const row of rows) row.follow(position);
    if (mine.playing) frame = requestAnimationFrame(follow);
  }
  mine.addEventListener("change", show);
  show();
  announce("The stems are ready");

  return () => {
    unlisten();
    cancelAnimationFrame(frame);
    mine.removeEventListener("change", show);
    mine.close();
    player = null;
    for (const row of rows) row.destroy();
    $("mixer").hidden = true;
  };
}
