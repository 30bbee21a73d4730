/** The corrected transcript as files. Subtitles have cues, the other formats whole segments. */

import { cuesOf } from "./cues.js";

const pad = (number, digits = 2) => String(number).padStart(digits, "0");

/** 3661.5 → "01:01:01,500". */
function stamp(seconds, point) {
  const ms = Math.round(seconds * 1000);
  return `${pad(Math.floor(ms / 3_600_000))}:${pad(Math.floor(ms / 60_000) % 60)}:${pad(Math.floor(ms / 1000) % 60)}${point}${pad(ms % 1000, 3)}`;
}

function lyricsStamp(seconds) {
  const hundredths = Math.round(seconds * 100);
  return `[${pad(Math.floor(hundredths / 6000))}:${pad(Math.floor(hundredths / 100) % 60)}.${pad(hundredths % 100)}]`;
}

const spoken = (transcript) => transcript.segments.filter((segment) => segment.text);
const lines = (items) => items.map((item) => `${item}\n`).join("");
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function toJson(transcript) {
  const document = {
    task: transcript.task,
    language: transcript.language,
    ...(transcript.languageProbability === null ? {} : { language_probability: transcript.languageProbability }),
    duration: transcript.durationS,
    text: transcript.text,
    segments: spoken(transcript).map(({ start, end, text, words, language }, id) => ({
      id, start, end, text, ...(language ? { language } : {}), ...(words.length ? { words } : {}),
    })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

const srt = (transcript) =>
  cuesOf(spoken(transcript))
    .map(({ start, end, text }, index) => `${index + 1}\n${stamp(start, ",")} --> ${stamp(end, ",")}\n${text}\n`)
    .join("\n");

const vtt = (transcript) =>
  ["WEBVTT\n", ...cuesOf(spoken(transcript)).map(({ start, end, text }) => `${stamp(start, ".")} --> ${stamp(end, ".")}\n${escaped(text)}\n`)].join("\n");

const tsv = (transcript) =>
  `start\tend\ttext\n${lines(spoken(transcript).map(({ start, end, text }) => `${Math.round(start * 1000)}\t${Math.round(end * 1000)}\t${text.replaceAll("\t", " ")}`))}`;

const lrc = (transcript) => lines(cuesOf(spoken(transcript)).map(({ start, text }) => `${lyricsStamp(start)}${text.replaceAll("\n", " ")}`));

/** By extension: how a transcript is written, and its media type. */
export const FORMATS = {
  txt: { write: (transcript) => lines(spoken(transcript).map(({ text }) => text)), type: "text/plain" },
  srt: { write: srt, type: "application/x-subrip" },
  vtt: { write: vtt, type: "text/vtt" },
  json: { write: toJson, type: "application/json" },
  tsv: { write: tsv, type: "text/tab-separated-values" },
  lrc: { write: lrc, type: "text/plain" },
};
