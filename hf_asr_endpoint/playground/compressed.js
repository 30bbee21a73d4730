/** The microphone as a small file, encoded by the browser while somebody speaks. Knows nothing of the page. */

const TYPES = { "audio/webm;codecs=opus": "webm", "audio/ogg;codecs=opus": "ogg", "audio/mp4": "m4a" };
const BITS_PER_S = 32_000; // 0.24 MB a minute, an eighth of a wav
const PART_MS = 10_000; // then the browser may put what there is on the disk
const MAX_END_MS = 2_000;

export class CompressedRecording {
  #parts = [];
  #recorder;
  #extension;
  #isBroken = false;
  #ended;

  /** Begin to record a MediaStream. Raises what the browser raises that cannot. */
  constructor(stream) {
    const type = Object.keys(TYPES).find((one) => MediaRecorder.isTypeSupported(one));
    this.#extension = TYPES[type];
    this.#recorder = new MediaRecorder(stream, { mimeType: type, audioBitsPerSecond: BITS_PER_S });
    this.#ended = new Promise((resolve) => (this.#recorder.onstop = resolve));
    this.#recorder.ondataavailable = ({ data }) => this.#parts.push(data);
    this.#recorder.onerror = () => (this.#isBroken = true);
    this.#recorder.start(PART_MS);
  }

  /** End it. Returns a file, its name with an extension of its own, or null if the browser failed on the way. */
  async finish(name) {
    if (this.#recorder.state !== "inactive") this.#recorder.stop(); // It ends by itself with its stream.
    const late = new Promise((resolve) => setTimeout(resolve, MAX_END_MS, "late"));
    if ((await Promise.race([this.#ended, late])) === "late" || this.#isBroken) return null;
    const [type] = this.#recorder.mimeType.split(";");
    const file = new File(this.#parts, `${name}.${this.#extension}`, { type });
    return file.size ? file : null;
  }
}
