/** What is known of a transcript, beside its title: language, length, corrections, uncertain words. */

import { $, clock, percent } from "./dom.js";

/** transcript: a Transcript, or null. */
export function showFacts(transcript) {
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
