// What sounds from one clock needs: a context, and time to get everything ready.

export const AHEAD = 0.03; // seconds from a command until it sounds, the same for all that sounds

/** A context at a rate, so that nothing is resampled. @param {number} sampleRate - Hz */
export function openContext(sampleRate) {
  try {
    return new AudioContext({ sampleRate });
  } catch {
    return new AudioContext(); // a rate that this browser does not know
  }
}
