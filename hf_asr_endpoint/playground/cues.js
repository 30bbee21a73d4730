/** Segments → subtitle cues that can be read, with the limits of the server's own subtitles. */

import { splitWords } from "./transcript.js";

const MAX_S = 7;
const MAX_LINE = 42;
const FULLWIDTH = 42 / 16; // A line has 42 characters, or 16 of Chinese, Japanese and Korean.
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/g;

/** By segment: its cues, and what they were made from. A long transcript is asked for at each correction. */
const made = new WeakMap();

/** Return cues `{start, end, text}`; `text` has at most two lines. */
export const cuesOf = (segments) => segments.flatMap(cuesOfOne);

function cuesOfOne(segment) {
  const known = made.get(segment);
  if (known?.text === segment.text && known.words === segment.words) return known.cues;
  const cues = cut(timed(segment)).map(toCue);
  made.set(segment, { text: segment.text, words: segment.words, cues });
  return cues;
}

export const width = (text) => text.length + (text.match(WIDE)?.length ?? 0) * (FULLWIDTH - 1);

/** Return a segment's words with times; without word times, by their share of the text. */
function timed(segment) {
  if (segment.words.length) return withSpaces(segment.text, segment.words);
  const words = splitWords(segment.text);
  const total = Math.max(1, words.reduce((sum, word) => sum + word.length, 0));
  let at = segment.start;
  const spread = words.map((word) => {
    const start = at;
    at += ((segment.end - segment.start) * word.length) / total;
    return { word, start, end: at };
  });
  return withSpaces(segment.text, spread);
}

/** Return the words with the space that is before each one in the text, so that joined they are the text. */
function withSpaces(text, words) {
  let at = 0;
  return words.map(({ word, start, end }) => {
    const found = Math.max(at, text.indexOf(word, at));
    const shown = text.slice(at, found + word.length);
    at = found + word.length;
    return { word: shown, start, end };
  });
}

const joined = (words) => words.map(({ word }) => word).join("").trim();

function cut(words) {
  if (!words.length) return [];
  const fits = width(joined(words)) <= 2 * MAX_LINE && words.at(-1).end - words[0].start <= MAX_S;
  if (fits || words.length === 1) return [words];
  const at = bestCut(words);
  return [...cut(words.slice(0, at)), ...cut(words.slice(at))];
}

/** Return where to cut: near the middle, and after punctuation where that gives parts of similar length. */
function bestCut(words) {
  const total = width(joined(words));
  let [best, cost, before] = [1, Infinity, 0];
  for (let at = 1; at < words.length; at++) {
    before += width(words[at - 1].word);
    const ends = /[.!?。！？…]["'”’)]*$/.test(words[at - 1].word) ? 0.35 : /[,;:、，；–—]$/.test(words[at - 1].word) ? 0.25 : 0;
    const own = Math.abs(before / total - 0.5) - ends;
    if (own < cost) [best, cost] = [at, own];
  }
  return best;
}

function toCue(words) {
  return { start: words[0].start, end: words.at(-1).end, text: breakLine(words) };
}

function breakLine(words) {
  const text = joined(words);
  if (width(text) <= MAX_LINE || words.length < 2) return text;
  const at = bestCut(words);
  return `${joined(words.slice(0, at))}\n${joined(words.slice(at))}`;
}
