/** A transcript: segments with their words, and what people correct in them. Knows nothing of the page. */

/** Words below this probability are marked. */
export const UNCERTAIN = 0.5;

export class Transcript {
  segments = [];
  language = "";
  languageProbability = null;
  durationS = null;
  task = "transcribe";

  /** Add a segment as the server's events have it. Returns it. */
  add({ start, end, text, words = [], language = "" }) {
    const segment = { start, end, text: text.trim(), words: words.map((word) => ({ ...word })), language, isEdited: false };
    this.segments.push(segment);
    return segment;
  }

  /** Take over the fields that verbose_json and the stream's last event share. */
  finish({ language = "", language_probability: probability = null, duration = null }) {
    this.language = language;
    this.languageProbability = probability;
    this.durationS = duration;
  }

  /** Return the transcript of a whole verbose_json, whose words are beside the segments. */
  static from(document) {
    const made = new Transcript();
    const words = [...(document.words ?? [])];
    const segments = document.segments ?? [];
    made.task = document.task ?? made.task;
    segments.forEach((segment, index) => {
      const next = segments[index + 1];
      const own = [];
      let at = 0;
      // Words are in order, and each is in its segment's text: times alone do not tell at a shared border.
      while (words.length && (!next || words[0].start < next.start || segment.text.includes(words[0].word, at))) {
        if (words[0].start > segment.end) break;
        const found = segment.text.indexOf(words[0].word, at);
        if (found < 0) break;
        at = found + words[0].word.length;
        own.push(words.shift());
      }
      made.add({ ...segment, words: own });
    });
    made.finish(document);
    return made;
  }

  get text() {
    return this.segments.map((segment) => segment.text).filter(Boolean).join(" ");
  }

  /** Return the index of the last segment that begins at or before a time; -1 before the first. */
  indexAt(seconds) {
    let [low, high] = [0, this.segments.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.segments[middle].start <= seconds + 0.01) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  countUncertain() {
    return this.segments.reduce((sum, segment) => sum + segment.words.filter(isUncertain).length, 0);
  }
}

export const isUncertain = (word) => word.probability !== null && word.probability < UNCERTAIN;

/** Return a segment's text as parts: each a word with the signs around it that belong to no word, in order. */
export function partsOf(segment) {
  const parts = [];
  let at = 0;
  for (const word of segment.words) {
    const found = segment.text.indexOf(word.word, at);
    if (found < 0) continue;
    if (found > at) parts.push({ text: segment.text.slice(at, found), word: null });
    parts.push({ text: word.word, word });
    at = found + word.word.length;
  }
  if (at < segment.text.length) parts.push({ text: segment.text.slice(at), word: null });
  return parts;
}

/** Replace a segment's text. Words that stay keep their times; new ones share the time between those. */
export function correct(segment, text) {
  segment.text = text.replace(/\s+/g, " ").trim();
  segment.isEdited = true;
  if (!segment.words.length) return;
  const tokens = splitWords(segment.text);
  const kept = align(segment.words.map((word) => plain(word.word)), tokens.map(plain));
  const words = tokens.map((token, index) =>
    kept[index] === -1
      ? { word: token, start: null, end: null, probability: null }
      : { ...segment.words[kept[index]], word: token },
  );
  spread(words, segment);
  segment.words = words;
}

const plain = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "") || word;

/** Split at spaces; where a language has none between words, at its words. */
export function splitWords(text) {
  const words = text.split(/\s+/).filter(Boolean);
  const needsSegmenter = words.some((word) => word.length > 1 && /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Thai}]/u.test(word));
  if (!needsSegmenter) return words;
  return [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)]
    .map(({ segment }) => segment)
    .filter((part) => part.trim());
}

/** Return for each new word the index of the old one that it is, or -1: a longest common subsequence. */
function align(old, fresh) {
  const lengths = Array.from({ length: old.length + 1 }, () => new Uint16Array(fresh.length + 1));
  for (let i = old.length - 1; i >= 0; i--)
    for (let j = fresh.length - 1; j >= 0; j--)
      lengths[i][j] = old[i] === fresh[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
  const found = new Array(fresh.length).fill(-1);
  for (let i = 0, j = 0; i < old.length && j < fresh.length; ) {
    if (old[i] === fresh[j]) found[j++] = i++;
    else if (lengths[i + 1][j] >= lengths[i][j + 1]) i++;
    else j++;
  }
  return found;
}

/** Give words without times equal shares of the time between their neighbours. */
function spread(words, segment) {
  for (let first = 0; first < words.length; first++) {
    if (words[first].start !== null) continue;
    let last = first;
    while (last + 1 < words.length && words[last + 1].start === null) last++;
    const begin = first ? words[first - 1].end : segment.start;
    const end = Math.max(begin, last + 1 < words.length ? words[last + 1].start : segment.end);
    const share = (end - begin) / (last - first + 1);
    for (let index = first; index <= last; index++) {
      words[index].start = begin + share * (index - first);
      words[index].end = begin + share * (index - first + 1);
    }
  }
}
