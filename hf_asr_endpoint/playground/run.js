/** One transcription from the file to the last event: what the page shows of it meanwhile. */

import { transcribe } from "./api.js";
import { $, announce, clock, mebibytes, percent, rounded } from "./dom.js";
import { Transcript } from "./transcript.js";

const ANNOUNCED_EVERY = 0.25;

export class Run {
  transcript = new Transcript();
  #cancelled = new AbortController();
  #lengthS = null;
  #answeredAt = 0;
  #announced = 0;

  /** onSegment: called with the index of each segment that comes. */
  constructor(file, options, onSegment) {
    this.file = file;
    this.options = options;
    this.onSegment = onSegment;
    this.transcript.task = options.task;
  }

  /** The length as the browser knows it, in seconds. */
  set length(seconds) {
    this.#lengthS = seconds;
  }

  cancel() {
    this.#cancelled.abort();
  }

  /** Return when all text is there. Raises RequestFailed, or an AbortError. */
  async go() {
    $("status").hidden = false;
    this.#showUpload(0);
    await transcribe(this.file, this.options, {
      signal: this.#cancelled.signal,
      onUpload: (fraction) => this.#showUpload(fraction),
      onEvent: (event) => this.#take(event),
    });
    this.#showEnd();
  }

  #showUpload(fraction) {
    if (fraction < 1) {
      $("progress").value = fraction;
      $("status-text").textContent = "Sending";
      $("status-facts").textContent = `${percent(fraction)} of ${mebibytes(this.file.size)}`;
      return;
    }
    this.#answeredAt = performance.now();
    $("progress").removeAttribute("value");
    $("status-text").textContent = "Listening";
    $("status-facts").textContent = "";
    announce("Transcribing");
  }

  #take(event) {
    if (event.type === "transcript.text.segment") {
      this.transcript.add(event);
      this.onSegment(this.transcript.segments.length - 1);
    } else if (event.type === "transcript.progress") {
      this.#lengthS = event.duration_s ?? this.#lengthS; // The server knows more formats than the browser.
      this.#showProgress(event.done_s);
    } else if (event.type === "transcript.text.done") this.transcript.finish(event);
  }

  #showProgress(doneS) {
    $("status-text").textContent = "Transcribing";
    const facts = [`${this.#speed(doneS)}× real time`];
    if (this.#lengthS) {
      const fraction = Math.min(1, doneS / this.#lengthS);
      $("progress").value = fraction;
      facts.unshift(percent(fraction));
      if (fraction - this.#announced >= ANNOUNCED_EVERY) announce(percent((this.#announced = fraction)));
    } else facts.unshift(`${clock(doneS)} so far`);
    $("status-facts").textContent = facts.join(" · ");
  }

  #speed(doneS) {
    return rounded((doneS * 1000) / Math.max(1, performance.now() - this.#answeredAt));
  }

  #showEnd() {
    const seconds = (performance.now() - this.#answeredAt) / 1000;
    $("progress").value = 1;
    $("status-text").textContent = "Done";
    $("status-facts").textContent = `in ${seconds < 60 ? `${rounded(Math.max(0.1, seconds))} s` : clock(seconds)} · ${this.#speed(this.transcript.durationS ?? 0)}× real time`;
    announce(`Done, ${this.transcript.segments.length} segments`);
  }
}
