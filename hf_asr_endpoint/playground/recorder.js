/** Records the microphone into a file. */

import { $, clock, element } from "./dom.js";

const KINDS = [["audio/webm;codecs=opus", "webm"], ["audio/ogg;codecs=opus", "ogg"], ["audio/mp4", "m4a"]];
const N_BARS = 40;
const INTERVAL_MS = 60;

const REASONS = {
  NotAllowedError: "The browser does not let this page use the microphone. Allow it in the address bar, then try again.",
  NotFoundError: "There is no microphone.",
  NotReadableError: "The microphone cannot be used; another program may have it.",
};

/** Record until somebody presses Stop. Returns the file. Raises an Error with a sentence for people. */
export async function record() {
  if (!navigator.mediaDevices)
    throw new Error("Browsers record only on pages with https, or on localhost. Choose a file instead.");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false } });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `The microphone cannot be used: ${error.message}`);
  }
  const [type, extension] = KINDS.find(([kind]) => MediaRecorder.isTypeSupported(kind)) ?? ["", "webm"];
  const recorder = new MediaRecorder(stream, type ? { mimeType: type } : {});
  const pieces = [];
  recorder.addEventListener("dataavailable", ({ data }) => pieces.push(data));
  const stopped = new Promise((resolve) => recorder.addEventListener("stop", resolve, { once: true }));
  const stop = () => recorder.state !== "inactive" && recorder.stop();
  stream.getTracks()[0].addEventListener("ended", stop); // Somebody has unplugged it.
  $("stop").addEventListener("click", stop, { once: true });
  recorder.start();
  const hide = showLevel(stream);
  await stopped;
  hide();
  for (const track of stream.getTracks()) track.stop();
  const time = new Date().toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
  return new File(pieces, `recording-${time}.${extension}`, { type: recorder.mimeType.split(";")[0] });
}

/** Show how loud it is and how long it has been. Returns a function that ends that. */
function showLevel(stream) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const bars = Array.from({ length: N_BARS }, () => element("i"));
  $("level").replaceChildren(...bars);
  const levels = new Array(N_BARS).fill(0);
  const began = performance.now();
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    levels.push(Math.min(1, Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length) * 5));
    levels.shift();
    bars.forEach((bar, index) => bar.style.setProperty("--level", levels[index].toFixed(2)));
    $("recorded").textContent = clock((performance.now() - began) / 1000);
  }, INTERVAL_MS);
  return () => {
    clearInterval(timer);
    context.close();
  };
}
