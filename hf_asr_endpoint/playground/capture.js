/** Runs beside the page, in the audio thread: what the microphone hears, as 16-bit samples at another rate. */

import { Resampler } from "./resampler.js";

const BLOCK_S = 0.05;

class Capture extends AudioWorkletProcessor {
  #resampler;
  #block = new Float32Array(Math.ceil((sampleRate * BLOCK_S) / 128) * 128);
  #n = 0;

  constructor({ processorOptions: { rate } }) {
    super();
    this.#resampler = new Resampler(sampleRate, rate);
    this.port.onmessage = () => {
      this.#pass();
      this.port.postMessage(null); // Nothing before it is missing.
    };
  }

  process([[samples]]) {
    if (samples) this.#take(samples);
    return true;
  }

  #take(samples) {
    this.#block.set(samples, this.#n);
    this.#n += samples.length;
    if (this.#n + samples.length > this.#block.length) this.#pass();
  }

  #pass() {
    const resampled = this.#resampler.push(this.#block.subarray(0, this.#n));
    const pcm = Int16Array.from(resampled, (sample) => Math.round(32_767 * Math.min(1, Math.max(-1, sample))));
    if (pcm.length) this.port.postMessage(pcm, [pcm.buffer]);
    this.#n = 0;
  }
}

registerProcessor("capture", Capture);
