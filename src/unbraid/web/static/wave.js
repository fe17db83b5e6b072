// What waveforms have in common: colours of the page, and peaks.

const BUCKETS = 1500; // peaks of a waveform

export function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return {
    waveColor: value("--wave"), progressColor: value("--accent"), cursorColor: value("--ink"), loopColor: value("--loop"), labelColor: value("--label"),
  };
}

/** Largest samples of a buffer, from all channels. */
export function peaks(buffer) {
  const count = Math.min(BUCKETS, buffer.length);
  const result = new Float32Array(count);
  for (let c = 0; c < buffer.numberOfChannels; c++) {
    const samples = buffer.getChannelData(c);
    for (let i = 0; i < samples.length; i++) {
      const bucket = Math.floor((i * count) / samples.length);
      result[bucket] = Math.max(result[bucket], Math.abs(samples[i]));
    }
  }
  return result;
}
