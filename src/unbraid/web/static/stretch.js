// Other speed, same pitch: waveform similarity overlap-add (WSOLA; Verhelst and Roelands, 1993).

const FRAME_SECONDS = 0.06;
const SEARCH_SECONDS = 0.012;
const COARSE = 8; // samples averaged into one for the first search

/**
 * Stretch all channels of all stems with the same cuts, so that they stay in phase with each other.
 *
 * @param {Float32Array[]} channels - of equal length
 * @param {number} speed - 0.5 plays twice as long
 * @param {number} rate - Hz
 * @returns {Float32Array[]} channels of `round(length / speed)` samples
 */
export function stretch(channels, speed, rate) {
  const length = channels[0].length;
  const hop = COARSE * Math.round((FRAME_SECONDS * rate) / 2 / COARSE);
  const reach = COARSE * Math.round((SEARCH_SECONDS * rate) / COARSE);
  const fine = mono(channels, 1);
  const coarse = mono(channels, COARSE);
  const total = Math.round(length / speed);
  const window = Float32Array.from({ length: 2 * hop }, (_, i) => Math.sin((Math.PI * (i + 0.5)) / (2 * hop)) ** 2);
  const outputs = channels.map(() => new Float32Array(total));

  let previous = 0; // where the frame before was cut out
  for (let at = -hop; at < total; at += hop) {
    const target = Math.round((at + hop) * speed) - hop;
    let cut = target;
    if (at >= 0) {
      const natural = previous + hop; // what would follow without a cut
      const rough = COARSE * best(coarse, natural / COARSE, target / COARSE, reach / COARSE, hop / COARSE);
      cut = best(fine, natural, rough, COARSE, hop);
    }
    for (let c = 0; c < channels.length; c++) {
      add(channels[c], cut, window, outputs[c], at);
    }
    previous = cut;
  }
  return outputs;
}

function add(input, cut, window, output, at) {
  const first = Math.max(0, -cut, -at);
  const last = Math.min(window.length, input.length - cut, output.length - at);
  for (let i = first; i < last; i++) output[at + i] += window[i] * input[cut + i];
}

/** Mean of the channels, with `step` samples averaged into one. */
function mono(channels, step) {
  const mixed = new Float32Array(Math.floor(channels[0].length / step));
  const scale = 1 / (channels.length * step);
  for (const channel of channels) {
    for (let i = 0; i < mixed.length; i++) {
      let sum = 0;
      for (let j = 0; j < step; j++) sum += channel[i * step + j];
      mixed[i] += sum * scale;
    }
  }
  return mixed;
}

/** Place within `reach` of `target` where the signal is most like that at `natural`. */
function best(signal, natural, target, reach, size) {
  const from = Math.round(natural);
  let winner = Math.round(target);
  let highest = -Infinity;
  for (let place = winner - reach, last = winner + reach; place <= last; place++) {
    const first = Math.max(0, -from, -place);
    const end = Math.min(size, signal.length - from, signal.length - place);
    let product = 0;
    let energy = 1e-9;
    for (let i = first; i < end; i++) {
      product += signal[from + i] * signal[place + i];
      energy += signal[place + i] * signal[place + i];
    }
    const likeness = product / Math.sqrt(energy);
    if (likeness > highest) {
      highest = likeness;
      winner = place;
    }
  }
  return winner;
}
