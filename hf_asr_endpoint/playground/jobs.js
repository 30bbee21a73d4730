/** The jobs that this browser has submitted. It keeps their ids and names; the server has the rest. */

import { endJob, readJob, submitJob, watchJob } from "./api.js";
import { $, announce, clock, element, icon, percent } from "./dom.js";

const STORED = "hf-asr.jobs";
const MAX_KEPT = 50;

/** Browsers have six connections to a server, and other requests need some. */
const MAX_WATCHED = 3;

const WORDS = { queued: "Waiting", running: "Running", succeeded: "Done", failed: "Failed", cancelled: "Cancelled" };

const RETRY_MS = 3000;
const FINAL = ["succeeded", "failed", "cancelled"];

export class Jobs {
  #jobs;
  #onOpen;
  #files = new Map();

  /** onOpen: ({name, file, results}) of a job that somebody wants to see. file: null if it is not at hand. */
  constructor(onOpen) {
    this.#onOpen = onOpen;
    this.#jobs = stored().map((job) => ({ ...job, state: null, watch: null }));
    this.#draw();
  }

  /** Follow jobs that have not ended, the oldest first, as the server works on them. */
  resume() {
    const waiting = this.#jobs.filter((job) => !job.watch && !FINAL.includes(job.state?.status));
    const free = MAX_WATCHED - this.#jobs.filter((job) => job.watch).length;
    for (const job of free > 0 ? waiting.slice(-free) : []) this.#follow(job);
  }

  async submit(file, options) {
    const id = await submitJob(file, options);
    this.#files.set(id, file);
    const job = { id, name: file.name, state: { status: "queued" }, watch: null };
    this.#jobs = [job, ...this.#jobs].slice(0, MAX_KEPT);
    this.#keep();
    this.#draw();
    this.resume();
  }

  async #follow(job) {
    job.watch = new AbortController();
    try {
      for await (const { data } of watchJob(job.id, job.watch.signal)) {
        if (data.type === "job.progress") job.state = data;
        else if (data.type === "job.done") this.#finish(job, data);
        this.#draw();
      }
    } catch (error) {
      if (error.status === 404) this.#forget(job); // The server keeps jobs for a while only.
      else if (error.status) job.state = { status: "failed", error: error.message };
      this.#draw();
    }
    job.watch = null;
    // A connection that has broken off says nothing about the job: ask again later.
    setTimeout(() => this.resume(), FINAL.includes(job.state?.status) ? 0 : RETRY_MS);
  }

  #finish(job, document) {
    const wasSeen = job.state !== null;
    job.state = { ...document, status: document.inference_status.status };
    if (wasSeen) announce(`Job ${job.name}: ${WORDS[job.state.status]}`);
  }

  async #open(job) {
    const document = job.state.results ? job.state : await readJob(job.id);
    this.#onOpen({ name: job.name, file: this.#files.get(job.id) ?? null, results: document.results });
  }

  async #end(job) {
    try {
      const document = await endJob(job.id);
      if (!document.deleted && job.state?.status !== "cancelled") {
        job.state = { ...document, status: document.inference_status.status };
        return this.#draw();
      }
    } catch (error) {
      if (error.status !== 404) return;
    }
    this.#forget(job);
  }

  #forget(job) {
    job.watch?.abort();
    this.#files.delete(job.id);
    this.#jobs = this.#jobs.filter((other) => other !== job);
    this.#keep();
    this.#draw();
  }

  #keep() {
    try {
      localStorage.setItem(STORED, JSON.stringify(this.#jobs.map(({ id, name }) => ({ id, name }))));
    } catch {
      // Storage may be forbidden: then the list ends with the page.
    }
  }

  #draw() {
    $("jobs").hidden = !this.#jobs.length;
    const focused = document.activeElement?.dataset?.focus;
    $("job-list").replaceChildren(...this.#jobs.map((job) => this.#row(job)));
    if (focused) $("job-list").querySelector(`[data-focus="${focused}"]`)?.focus();
  }

  #row(job) {
    const { status = "", progress = null, estimated_remaining_s: rest = null, error = "" } = job.state ?? {};
    const isOpen = status === "queued" || status === "running";
    const facts = [WORDS[status] ?? "Asking…"];
    if (status === "running" && progress !== null) facts.push(percent(progress));
    if (status === "running" && rest !== null) facts.push(`${clock(rest)} left`);
    const bar = element("progress", { max: 1, "aria-label": `Progress of ${job.name}`, hidden: !isOpen });
    if (progress !== null) bar.value = progress;
    const name = status === "succeeded"
      ? element("button", { class: "job-name", type: "button", text: job.name, title: "Show the transcript", data: { focus: `open-${job.id}` }, onclick: () => this.#open(job) })
      : element("span", { class: "job-name", text: job.name });
    const label = isOpen ? `Cancel ${job.name}` : `Remove ${job.name}`;
    const end = element("button", { class: "quiet square", type: "button", "aria-label": label, title: label, data: { focus: `end-${job.id}` }, onclick: () => this.#end(job) }, icon("close"));
    const message = status === "failed" ? element("p", { class: "wrong", text: messageOf(error), title: messageOf(error) }) : "";
    return element("li", { data: { status } }, name, element("span", { class: "hint", text: facts.join(" · ") }), end, bar, message);
  }
}

/** The error of a job in either form that results have. */
const messageOf = (error) => (typeof error === "string" ? error : error?.message ?? "");

function stored() {
  try {
    const jobs = JSON.parse(localStorage.getItem(STORED) ?? "[]");
    return Array.isArray(jobs) ? jobs.filter(({ id, name }) => typeof id === "string" && typeof name === "string") : [];
  } catch {
    return [];
  }
}
