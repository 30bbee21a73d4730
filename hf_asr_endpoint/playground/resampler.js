/** Brings audio to another sample rate, block by block: a windowed sinc. Knows nothing of the page. */

const ZERO_CROSSINGS = 24; // of the sinc, on each side
const PASSED = 0.95; // of the band that the lower rate has; the filter falls off in the rest

export class Resampler {
  #kernels;
  #nTaps;
  #up;
  #down;
  #rest;
  #phase = 0;
  #index = 0; // in the next input, of the first sample under the kernel

  constructor(from, to) {
    const divisor = greatestDivisor(from, to);
    [this.#up, this.#down] = [to / divisor, from / divisor];
    const cutoff = PASSED * Math.min(1, to / from);
    const half = Math.ceil(ZERO_CROSSINGS / cutoff);
    this.#nTaps = 2 * half;
    this.#kernels = Array.from({ length: this.#up }, (_, phase) => kernel(phase / this.#up, half, cutoff));
    this.#rest = new Float32Array(half - 1); // Silence before the beginning, so that nothing is shifted.
  }

  /** Return the samples that can be computed now; the last millisecond waits for the next block. */
  push(block) {
    const input = new Float32Array(this.#rest.length + block.length);
    input.set(this.#rest);
    input.set(block, this.#rest.length);
    const output = [];
    while (this.#index + this.#nTaps <= input.length) {
      const weights = this.#kernels[this.#phase];
      let sum = 0;
      for (let tap = 0; tap < this.#nTaps; tap++) sum += input[this.#index + tap] * weights[tap];
      output.push(sum);
      this.#phase += this.#down;
      this.#index += Math.floor(this.#phase / this.#up);
      this.#phase %= this.#up;
    }
    const used = Math.min(this.#index, input.length);
    this.#rest = input.slice(used);
    this.#index -= used;
    return Float32Array.from(output);
  }
}

/** Return the weights of 2 * half samples around a place `fraction` behind the middle ones' first. */
function kernel(fraction, half, cutoff) {
  const weights = Float32Array.from({ length: 2 * half }, (_, tap) => {
    const at = tap - half + 1 - fraction;
    const x = Math.PI * cutoff * at;
    return (x === 0 ? 1 : Math.sin(x) / x) * Math.cos((Math.PI * at) / (2 * half)) ** 2;
  });
  const sum = weights.reduce((left, right) => left + right);
  return weights.map((weight) => weight / sum);
}

function greatestDivisor(left, right) {
  while (right) [left, right] = [right, left % right];
  return left;
}
