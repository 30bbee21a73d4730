/** Asks the server. Addresses are relative to this file's, so they hold behind a proxy's path too. */

import { EventParser } from "./sse.js";
import { formFields, pathOf } from "./request.js";

export const ROOT = new URL("../", import.meta.url);
const KEY = "hf-asr.key";

/** What went wrong, in words for people. `status` is 0 where no answer came. title: "" is the status's own. */
export class RequestFailed extends Error {
  constructor(message, { status = 0, title = "", parameter = "", requestId = "", retryAfterS = 0 } = {}) {
    super(message);
    Object.assign(this, { status, title, parameter, requestId, retryAfterS });
  }
}

export const UNREACHABLE = "The server does not answer. Is it running, and is this machine connected to it?";

let key = sessionStorage.getItem(KEY) ?? "";

export const hasKey = () => key !== "";

/** Keep the key until the tab is closed. */
export function setKey(value) {
  key = value.trim();
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

const headers = () => (key ? { Authorization: `Bearer ${key}` } : {});

/** Return the JSON of a response. Raises RequestFailed. */
export async function ask(path, init = {}) {
  const response = await open(path, init);
  return response.json();
}

async function open(path, init) {
  let response;
  try {
    response = await fetch(new URL(path, ROOT), { ...init, headers: headers(), cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestFailed(UNREACHABLE);
  }
  if (response.ok) return response;
  throw failure(response.status, await response.text(), (name) => response.headers.get(name));
}

/** Return whether the model is ready, or what the server waits for. A server that says nothing is taken as ready. */
export async function health() {
  const response = await fetch(new URL("health", ROOT), { headers: headers(), cache: "no-store" });
  return response.status === 401 ? { status: "ready" } : response.json();
}

function failure(status, text, header) {
  let message = text;
  let parameter = "";
  try {
    const { error, detail } = JSON.parse(text);
    message = error?.message ?? error ?? detail?.[0]?.msg ?? text;
    parameter = error?.param ?? "";
  } catch {
    // A proxy's page, or nothing.
  }
  return new RequestFailed(String(message).slice(0, 2000) || `The server answered with status ${status}.`, {
    status,
    parameter,
    requestId: header("x-request-id") ?? "",
    retryAfterS: Number(header("retry-after")) || 0,
  });
}

/**
 * Send a file and pass on the events of its transcription as they come.
 *
 * onUpload: called with 0 to 1; at 1 the server has everything. XMLHttpRequest, because fetch does not tell how
 * far an upload is. Raises RequestFailed, and an AbortError when `signal` says so.
 */
export function transcribe(file, options, { signal, onUpload, onEvent }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const parser = new EventParser();
    let read = 0;
    const pass = () => {
      if (request.status !== 200) return;
      for (const { name, data } of parser.push(request.responseText.slice(read))) {
        if (name === "error") reject(failure(200, JSON.stringify(data), (name) => request.getResponseHeader(name)));
        else onEvent(data);
      }
      read = request.responseText.length;
    };
    request.open("POST", new URL(pathOf(options.task), ROOT));
    request.setRequestHeader("Accept", "text/event-stream; progress=true");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onUpload(total ? loaded / total : 0);
    request.upload.onload = () => onUpload(1);
    request.onprogress = pass;
    request.onload = () => {
      pass();
      if (request.status === 200) resolve();
      else reject(failure(request.status, request.responseText, (name) => request.getResponseHeader(name)));
    };
    request.onerror = () => reject(new RequestFailed(UNREACHABLE));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form(file, [...formFields(options), ["stream", "true"]]));
  });
}

function form(file, fields) {
  const made = new FormData();
  for (const [name, value] of fields) made.append(name, value);
  made.append("file", file, file.name);
  return made;
}

/** Submit a job and return its id. */
export async function submitJob(file, options) {
  const body = form(file, [...formFields(options), ["task", options.task]]);
  return (await ask("v1/jobs", { method: "POST", body })).request_id;
}

export const readJob = (id) => ask(`v1/requests/${id}`);
export const endJob = (id) => ask(`v1/requests/${id}`, { method: "DELETE" });

/** Open a WebSocket. The secret goes as OpenAI's clients in browsers send it: a socket has no headers. */
export function openSocket(path, secret) {
  const address = new URL(path, ROOT);
  address.protocol = address.protocol.replace("http", "ws");
  return new WebSocket(address, ["realtime", `openai-insecure-api-key.${secret}`]);
}

/** Yield a job's events. Not an EventSource, which cannot send a key. */
export async function* watchJob(id, signal) {
  const response = await open(`v1/requests/${id}/events`, { signal });
  const parser = new EventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield* parser.push(value);
  }
}
