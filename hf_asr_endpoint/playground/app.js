/** The page: what happens when, from an empty page to a corrected transcript. */

import { ROOT, hasKey } from "./api.js";
import { CodePanel } from "./codepanel.js";
import { $, announce, clock, copy, element, mebibytes, oncePerFrame, save } from "./dom.js";
import { Editor } from "./editor.js";
import { showFacts } from "./facts.js";
import { FORMATS } from "./formats.js";
import { onDrop, onSpace } from "./gestures.js";
import { Jobs } from "./jobs.js";
import { LiveRun } from "./liverun.js";
import { LiveText } from "./livetext.js";
import { Options } from "./options.js";
import { Player } from "./player.js";
import { showProblem } from "./problem.js";
import { Run } from "./run.js";
import { Server } from "./server.js";
import { waysFor } from "./size.js";
import { Transcript } from "./transcript.js";

let file = null;
let run = null; // a Run or a LiveRun, as long as it goes on
let transcript = null;
let recorded = null; // by this page: nobody else has it
let isUnsaved = false; // the recording or the text: leaving the page would lose it
let knownLengthS = null;

const editor = new Editor({ onSeek: (seconds) => player.seek(seconds), onChange: () => showCorrections() });
const player = new Player((seconds) => editor.follow(seconds, player.isPlaying));
const liveText = new LiveText();
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

/** What CSS shows and hides: empty, ready, busy, asking (for the microphone), live, done, cancelled or failed. */
function enter(phase) {
  document.body.dataset.phase = phase;
  const isBusy = phase === "busy";
  const isRecording = phase === "asking" || phase === "live";
  $("welcome").hidden = phase !== "empty" && (phase !== "asking" || file !== null || transcript !== null);
  $("problem").hidden = phase !== "failed";
  $("cancel").hidden = !isBusy;
  $("start").hidden = isBusy;
  $("source").classList.toggle("is-recording", isRecording);
  $("recording").hidden = !isRecording;
  $("allow").hidden = phase !== "asking";
  $("start").textContent = transcript ? "Transcribe again" : "Transcribe";
  $("segments").setAttribute("aria-busy", String(isBusy));
  for (const id of ["file", "record", "clear"]) $(id).disabled = isBusy;
  showRequest();
}

function showRequest() {
  const isBusy = run !== null;
  const { atOnce, asJob, advice } = ways();
  $("start").disabled = !file || isBusy || !atOnce;
  $("as-job").hidden = !server.info?.job_limits;
  $("as-job").disabled = !file || isBusy || !asJob;
  $("as-job").classList.toggle("primary", asJob && !atOnce);
  $("advice").hidden = !advice;
  $("advice").textContent = advice;
  code.show(options.values, { root: ROOT, file: file?.name ?? "audio.mp3", needsKey: hasKey() });
}

const ways = () => waysFor(file?.size ?? 0, server.info, { isRecorded: file === recorded, isWav: file?.type === "audio/wav" });

async function choose(chosen) {
  if (!chosen || run) return;
  file = chosen;
  clearResult();
  $("chosen").hidden = false;
  $("file-name").textContent = file.name;
  $("file-facts").textContent = mebibytes(file.size);
  $("save-recording").hidden = file !== recorded;
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

function forgetFile() {
  file = recorded = null;
  $("file").value = "";
  $("chosen").hidden = true;
  $("source").classList.remove("has-file");
  player.clear();
  clearResult();
}

function removeFile() {
  forgetFile();
  enter("empty");
  $("file").focus();
}

function clearResult() {
  isUnsaved &&= recorded !== null && file === recorded;
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
  const ended = (run = new Run(file, options.values, (index) => {
    $("result").hidden = false;
    editor.add(index);
    showGrowth();
  }));
  run.length = length;
  transcript = run.transcript;
  editor.show(transcript);
  enter("busy");
  $("cancel").focus({ preventScroll: true });
  let phase = "done";
  try {
    await ended.go();
  } catch (error) {
    phase = error.name === "AbortError" ? "cancelled" : "failed";
    if (phase === "failed") fail(error, start);
    else {
      $("status-text").textContent = "Cancelled";
      $("status-facts").textContent = transcript.segments.length ? "The text so far is kept." : "";
      announce("Cancelled");
    }
  }
  run = null;
  showResult(phase);
}

/** Segments come in bursts, one for each window. */
const showGrowth = oncePerFrame(() => {
  if (!run) return;
  player.show(transcript.segments, { isGrowing: true });
  showFacts(transcript);
});

function showResult(phase) {
  if (!transcript.segments.length && phase !== "done") transcript = null;
  $("result").hidden = transcript === null;
  $("status").hidden = phase === "failed";
  if (phase === "failed" && !knownLengthS) $("player").hidden = true; // Nobody can play it.
  $("no-speech").hidden = !(transcript && !transcript.segments.length);
  if (transcript?.durationS && !knownLengthS) player.duration = transcript.durationS;
  if (transcript) player.show(transcript.segments);
  showFacts(transcript);
  const hadFocus = document.activeElement === $("cancel");
  enter(phase);
  if (hadFocus) $("start").focus({ preventScroll: true });
}

function showCorrections() {
  isUnsaved = true;
  player.show(transcript.segments);
  showFacts(transcript);
}

/** Say what went wrong. `again` repeats it. */
function fail(error, again) {
  if (error.status === 401) server.askForKey(hasKey());
  showProblem(error, again);
  enter("failed");
}

/** Record, with live text; what was there goes once there is a microphone. */
async function speak() {
  const onRow = (index) => {
    editor.add(index);
    showFacts(transcript);
  };
  const live = (run = new LiveRun(options.values, { text: liveText, onRow, onProblem: showLiveProblem }));
  enter("asking");
  try {
    await live.open();
  } catch (error) {
    run = null;
    return fail(error, speak);
  }
  forgetFile();
  transcript = live.transcript;
  isUnsaved = true;
  editor.show(transcript);
  $("result").hidden = false;
  enter("live");
  $("stop").focus({ preventScroll: true });
  recorded = await live.go();
  run = null;
  isUnsaved = true;
  choose(recorded);
  if (live.isWhole || live.transcript.segments.length) showSpoken(live);
}

function showBesideRun(error, again) {
  $("problem").hidden = false;
  showProblem(error, again);
}

function showLiveProblem(error, again) {
  $("problem").hidden = true;
  if (!error) return;
  showBesideRun(error, again);
  $("problem-text").textContent = $("problem-text").textContent.replace(/\.?$/, ". The recording goes on.");
}

function showSpoken(live) {
  transcript = live.transcript;
  editor.show(transcript);
  showResult("done");
  $("status").hidden = live.isWhole;
  $("status-text").textContent = "The live text broke off.";
  $("status-facts").textContent = `The recording is whole: ${ways().rest}`;
  announce(live.isWhole ? "Done" : $("status").textContent);
}

async function submitJob() {
  const submitted = file;
  $("as-job").disabled = true;
  try {
    await jobs.submit(submitted, options.values);
    announce("The job is submitted");
  } catch (error) {
    // Uploads take long: people may have gone on, and a run keeps its own phase.
    if (run) showBesideRun(Object.assign(error, { title: `${submitted.name} was not submitted as a job` }), null);
    else fail(error, file === submitted ? submitJob : null);
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
  if (run || file !== kept) return; // While the file was decoded, people have gone on.
  transcript = Transcript.from(results);
  editor.show(transcript);
  $("status").hidden = true;
  showResult("done");
  if (!kept) player.duration = transcript.durationS ?? 0;
  $("result-title").scrollIntoView({ block: "nearest" });
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
$("cancel").addEventListener("click", () => run.cancel());
$("as-job").addEventListener("click", submitJob);
$("record").addEventListener("click", speak);
$("save-recording").addEventListener("click", () => {
  save(recorded.name, recorded, recorded.type);
  isUnsaved &&= transcript !== null;
});
$("uncertain").addEventListener("click", () => editor.showNextUncertain());
$("copy-text").addEventListener("click", ({ currentTarget }) => keep(() => copy(transcript.text, currentTarget)));
addEventListener("beforeunload", (event) => isUnsaved && event.preventDefault());
onDrop(choose, () => run === null);
onSpace(() => player.toggle());
enter("empty");
server.start();
