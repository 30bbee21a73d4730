/** One recording from the microphone, with text while somebody speaks, to the last word. */

import { keepAwake } from "./awake.js";
import { $, announce } from "./dom.js";
import { languageName } from "./languages.js";
import { LiveSession } from "./live.js";
import { Recorder } from "./recorder.js";
import { Transcript } from "./transcript.js";

const SPEAK = "Speak: the words appear here.";
const LATER = "Speak. When you stop, the recording can be transcribed.";

export class LiveRun {
  transcript = new Transcript();
  #recorder = new Recorder((samples) => this.#session?.push(samples));
  #session = null;
  #text;
  #onRow;
  #onProblem;

  /**
   * text: a LiveText. onRow: called with the index of each segment that comes. onProblem: (error, again), when there
   * is no more text, or null when there is again; the recording goes on.
   */
  constructor(options, { text, onRow, onProblem }) {
    this.options = options;
    this.#text = text;
    this.#onRow = onRow;
    this.#onProblem = onProblem;
    this.transcript.task = options.task;
  }

  /** Whether all that was recorded has its text. */
  get isWhole() {
    return this.#session !== null;
  }

  /** Begin to record. Raises MicrophoneFailed. */
  async open() {
    this.#text.tell("Waiting for the microphone");
    await this.#recorder.open();
  }

  /** Show the text as it comes. Returns the recording, once somebody has pressed Stop and the last word has come. */
  async go() {
    const letSleep = keepAwake();
    this.#text.open();
    if (this.options.task === "transcribe") this.#listen(0);
    else this.#text.tell("Recording", { hint: LATER }); // The live API does not translate.
    await this.#recorder.stopped;
    $("stop").disabled = true;
    this.#text.tell("Finishing", { isLive: this.#session !== null });
    await this.#session?.finish();
    $("stop").disabled = false;
    letSleep();
    this.#text.close();
    this.#finishTranscript();
    return this.#recorder.toFile();
  }

  /** Have the recording transcribed live from a time in seconds on. */
  #listen(fromS) {
    this.#text.tell("Connecting", { hint: SPEAK, isLive: true });
    this.#session = new LiveSession(this.options, {
      fromS,
      onOpen: () => this.#text.tell("Live", { hint: SPEAK, isLive: true }),
      onText: (turn) => this.#text.show(turn),
      onTurn: (segment) => this.#add(segment),
      onLost: (error) => this.#lose(error),
    });
    this.#session.push(this.#recorder.since(fromS));
  }

  #add({ words, language, ...segment }) {
    this.transcript.add({ ...segment, words: this.options.words ? words : [], language: languageName(language) });
    this.#text.add(segment, () => this.#onRow(this.transcript.segments.length - 1));
    announce(segment.text);
  }

  #lose(error) {
    this.#session = null;
    this.#text.show(null);
    this.#text.tell("Recording", { hint: LATER });
    this.#onProblem(error, () => {
      this.#onProblem(null);
      this.#listen(this.transcript.segments.at(-1)?.end ?? 0);
    });
  }

  /** A segment has a language only where it is not the recording's. */
  #finishTranscript() {
    const { segments } = this.transcript;
    const language = segments[0]?.language ?? "";
    this.transcript.finish({ language, duration: this.#recorder.durationS });
    for (const segment of segments) if (segment.language === language) segment.language = "";
  }
}
