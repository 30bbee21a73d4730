/** The page: what happens when, from an empty page to a corrected transcript. */

import { RequestFailed, ROOT, hasKey } from "./api.js";
import { CodePanel } from "./codepanel.js";
import { $, announce, clock, copy, element, mebibytes, percent, save } from "./dom.js";
import { Editor } from "./editor.js";
import { FORMATS } from "./formats.js";
import { Jobs } from "./jobs.js";
import { Options } from "./options.js";
import { Player } from "./player.js";
import { record } from "./recorder.js";
import { Run } from "./run.js";
import { Server } from "./server.js";
import { Transcript } from "./transcript.js";

let file = null;
let run = null;
let transcript = null;
let isUnsaved = false;

const editor = new Editor({ onSeek: (seconds) => player.seek(seconds), onChange: () => showCorrections() });
const player = new Player((seconds) => editor.follow(seconds, player.isPlaying));
const code = new CodePanel();
const options = new Options(() => showRequest());
const jobs = new Jobs((job) => openJob(job));
const server = new Server({
  onInfo: (info) => {
    options.server = info;
    showRequest();
    jobs.resume();
  },
});

/** What CSS shows and hides: empty, ready, busy, done, cancelled or failed. */
function enter(phase) {
  document.body.dataset.phase = phase;
  const isBusy = phase === "busy";
  $("welcome").hidden = phase !== "empty";
  $("problem").hidden = phase !== "failed";
  $("cancel").hidden = !isBusy;
  $("start").hidden = isBusy;
  $("start").textContent = transcript ? "Transcribe again" : "Transcribe";
  $("segments").setAttribute("aria-busy", String(isBusy));
  for (const id of ["file", "record", "clear"]) $(id).disabled = isBusy;
  showRequest();
}

function showRequest() {
  const isBusy = run !== null;
  const isTooLarge = file && server.info && file.size > server.info.limits.max_audio_bytes;
  const isForJobs = file && !isTooLarge && server.info && file.size > server.info.limits.openai_max_audio_bytes;
  const hasJobs = server.info !== null && server.info.job_limits !== null;
  $("start").disabled = !file || isBusy || Boolean(isTooLarge || isForJobs);
  $("as-job").hidden = !hasJobs;
  $("as-job").disabled = !file || isBusy || Boolean(isTooLarge);
  $("as-job").classList.toggle("primary", Boolean(isForJobs));
  $("advice").hidden = !(isTooLarge || isForJobs);
  if (isTooLarge) $("advice").textContent = `The file is larger than this server takes, ${mebibytes(server.info.limits.max_audio_bytes)}.`;
  else if (isForJobs) $("advice").textContent = `Files above ${mebibytes(server.info.limits.openai_max_audio_bytes)} go as a job: it appears below when it is done.`;
  code.show(options.values, { root: ROOT, file: file?.name ?? "audio.mp3", needsKey: hasKey() });
}

async function choose(chosen) {
  if (!chosen || run) return;
  file = chosen;
  clearResult();
  $("chosen").hidden = false;
  $("file-name").textContent = file.name;
  $("file-facts").textContent = mebibytes(file.size);
  $("source").classList.add("has-file");
  enter("ready");
  $("start").focus({ preventScroll: true });
  announce(`${file.name} is chosen`);
  const lengthS = await player.load(file);
  if (file !== chosen || !lengthS) return;
  $("file-facts").textContent = `${clock(lengthS)} · ${mebibytes(file.size)}`;
  if (run) run.length = lengthS;
  knownLengthS = lengthS;
  if (transcript) player.show(transcript.segments);
}

let knownLengthS = null;

function removeFile() {
  file = null;
  $("file").value = "";
  $("chosen").hidden = true;
  $("source").classList.remove("has-file");
  player.clear();
  clearResult();
  enter("empty");
  $("file").focus();
}

function clearResult() {
  isUnsaved = false;
  transcript = null;
  knownLengthS = null;
  editor.show(null);
  $("result").hidden = true;
  $("status").hidden = true;
  $("no-speech").hidden = true;
}

async function start() {
  const length = knownLengthS;
  clearResult();
  knownLengthS = length;
  $("player").hidden = false;
  player.show([]);
  run = new Run(file, options.values, (index) => {
    $("result").hidden = false;
    editor.add(index);
    player.show(transcript.segments, { isGrowing: true });
    showFacts();
  });
  run.length = length;
  transcript = run.transcript;
  editor.show(transcript);
  enter("busy");
  $("cancel").focus({ preventScroll: true });
  const ended = run;
  let phase = "done";
  try {
    await ended.go();
  } catch (error) {
    phase = error.name === "AbortError" ? "cancelled" : "failed";
    if (phase === "failed") showProblem(error, start);
    else {
      $("status-text").textContent = "Cancelled";
      $("status-facts").textContent = transcript.segments.length ? "The text so far is kept." : "";
      announce("Cancelled");
    }
  }
  run = null;
  showResult(phase);
}

function showResult(phase) {
  if (!transcript.segments.length && phase !== "done") transcript = null;
  $("result").hidden = transcript === null;
  $("status").hidden = phase === "failed";
  if (phase === "failed" && !knownLengthS) $("player").hidden = true; // Nobody can play it.
  $("no-speech").hidden = !(transcript && !transcript.segments.length);
  if (transcript?.durationS && !knownLengthS) player.duration = transcript.durationS;
  if (transcript) player.show(transcript.segments);
  showFacts();
  const hadFocus = document.activeElement === $("cancel");
  enter(phase);
  if (hadFocus) $("start").focus({ preventScroll: true });
}

function showCorrections() {
  isUnsaved = true;
  player.show(transcript.segments);
  showFacts();
}

function showFacts() {
  const { language = "", languageProbability = null, durationS = null, segments = [] } = transcript ?? {};
  const spoken = language || (transcript?.task === "translate" ? "" : segments[0]?.language) || "";
  const facts = [];
  if (spoken) facts.push(`${spoken[0].toUpperCase()}${spoken.slice(1)}${languageProbability === null ? "" : ` ${percent(languageProbability)}`}`);
  if (durationS) facts.push(clock(durationS));
  const corrected = segments.filter((segment) => segment.isEdited).length;
  if (corrected) facts.push(`${corrected} corrected`);
  $("facts").textContent = facts.join(" · ");
  const n = transcript?.countUncertain() ?? 0;
  $("uncertain").hidden = n === 0;
  $("uncertain").querySelector(".label").textContent = `${n} uncertain ${n === 1 ? "word" : "words"}`;
}

/** Say what went wrong, and what may be done: `again` repeats it. */
function showProblem(error, again) {
  if (!(error instanceof RequestFailed) && !(error instanceof Error)) throw error;
  const { status = 0, parameter = "", requestId = "", retryAfterS = 0 } = error;
  if (status === 401) server.askForKey(hasKey());
  $("problem-title").textContent = titleOf(status, parameter);
  $("problem-text").textContent = error.message[0].toUpperCase() + error.message.slice(1);
  $("problem-id").textContent = [retryAfterS ? `Try again in ${retryAfterS} s.` : "", requestId ? `Request ${requestId}` : ""].filter(Boolean).join(" ");
  $("retry").hidden = !again;
  $("retry").onclick = () => again();
}

function titleOf(status, parameter) {
  if (status === 400 && parameter === "file") return TITLES[415];
  return TITLES[status] ?? (status >= 500 ? "The server failed" : parameter ? "An option cannot be used" : "The server refused this");
}

const TITLES = {
  0: "No answer",
  200: "The transcription broke off",
  401: "An API key is needed",
  408: "The upload stopped",
  413: "The recording is too large",
  415: "This is not a recording",
  429: "The server is busy",
  504: "It took too long",
  507: "The server's disk is full",
};

async function recordFile() {
  $("source").classList.add("is-recording");
  $("recording").hidden = false;
  $("stop").focus();
  let recorded = null;
  try {
    recorded = await record();
  } catch (error) {
    showProblem(Object.assign(error, { status: -1 }), null);
    $("problem-title").textContent = "No recording";
    enter("failed");
  }
  $("source").classList.remove("is-recording");
  $("recording").hidden = true;
  if (recorded) await choose(recorded);
}

async function submitJob() {
  $("as-job").disabled = true;
  try {
    await jobs.submit(file, options.values);
    announce("The job is submitted");
  } catch (error) {
    showProblem(error, submitJob);
    enter("failed");
  }
  showRequest();
}

async function openJob({ name, file: kept, results }) {
  if (run) return;
  if (kept) await choose(kept);
  else {
    removeFile();
    await player.load(null);
    $("file-name").textContent = name;
    $("file-facts").textContent = "Choose the file again to listen to it";
    $("chosen").hidden = false;
  }
  transcript = Transcript.from(results);
  editor.show(transcript);
  $("status").hidden = true;
  showResult("done");
  if (!kept) player.duration = transcript.durationS ?? 0;
  $("result-title").scrollIntoView({ block: "nearest" });
}

function listenForDrops() {
  let depth = 0;
  const show = (change) => {
    depth = Math.max(0, depth + change);
    $("curtain").classList.toggle("open", depth > 0 && run === null);
  };
  const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => hasFiles(event) && show(1));
  addEventListener("dragleave", (event) => hasFiles(event) && show(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    show(-depth);
    choose(event.dataTransfer.files[0]);
  });
}

/** The space bar plays, wherever it has no meaning of its own. */
function listenForKeys() {
  addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target.closest("button, input, select, textarea, summary, dialog")) return;
    if ($("player").hidden) return;
    event.preventDefault();
    player.toggle();
  });
}

/** After it, leaving the page loses no correction. */
function keep(how) {
  isUnsaved = false;
  return how();
}

const baseName = () => $("file-name").textContent.replace(/\.[^.]+$/, "") || "transcript";

for (const [extension, { write, type }] of Object.entries(FORMATS))
  $("downloads").append(
    element("button", {
      type: "button", text: extension, "aria-label": `Download ${extension}`,
      onclick: () => keep(() => save(`${baseName()}.${extension}`, write(transcript), type)),
    }),
  );
$("file").addEventListener("change", ({ target }) => choose(target.files[0]));
$("clear").addEventListener("click", removeFile);
$("start").addEventListener("click", start);
$("cancel").addEventListener("click", () => run?.cancel());
$("as-job").addEventListener("click", submitJob);
$("record").addEventListener("click", recordFile);
$("uncertain").addEventListener("click", () => editor.showNextUncertain());
$("copy-text").addEventListener("click", ({ currentTarget }) => keep(() => copy(transcript.text, currentTarget)));
addEventListener("beforeunload", (event) => isUnsaved && transcript && event.preventDefault());
listenForDrops();
listenForKeys();
enter("empty");
server.start();
