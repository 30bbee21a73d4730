/** What went wrong, in words for people, and what they may do. */

import { $ } from "./dom.js";

const NOT_AUDIO = "This is not a recording";

const TITLES = {
  0: "No answer",
  200: "The transcription broke off",
  401: "An API key is needed",
  408: "The upload stopped",
  413: "The recording is too large",
  415: NOT_AUDIO,
  429: "The server is busy",
  504: "It took too long",
  507: "The server's disk is full",
};

/** error: a RequestFailed, or another Error, which may have a title. again: what "Try again" does; null: there is no such button. */
export function showProblem(error, again) {
  const { status, title, parameter = "", requestId = "", retryAfterS = 0, message } = error;
  $("problem-title").textContent = title || titleOf(status, parameter);
  $("problem-text").textContent = message.charAt(0).toUpperCase() + message.slice(1);
  $("problem-id").textContent = [retryAfterS ? `Try again in ${retryAfterS} s.` : "", requestId ? `Request ${requestId}` : ""]
    .filter(Boolean)
    .join(" ");
  $("retry").hidden = again === null;
  $("retry").onclick = again;
  requestAnimationFrame(() => $("problem").scrollIntoView({ block: "nearest" })); // On a phone it is below the options.
}

function titleOf(status, parameter) {
  if (status === undefined) return "That did not work";
  if (status === 400 && parameter === "file") return NOT_AUDIO;
  return TITLES[status] ?? (status >= 500 ? "The server failed" : parameter ? "An option cannot be used" : "The server refused this");
}
