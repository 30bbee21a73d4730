/** What the server takes: a file at once, as a job, or not at all. */

import { mebibytes } from "./dom.js";

/**
 * Return {atOnce, asJob, advice, rest}: whether the server takes a file of this size either way, what people may do if not
 * at once, and what they may do with a recording whose live text broke off. info: the server's /info, or null.
 */
export function waysFor(size, info, { isRecorded, isWav }) {
  if (!info) return { atOnce: true, asJob: false, advice: "", rest: "" };
  const { max_audio_bytes: most, openai_max_audio_bytes: mostAtOnce } = info.limits;
  const atOnce = size <= Math.min(most, mostAtOnce);
  const asJob = info.job_limits !== null && size <= most;
  if (atOnce) return { atOnce, asJob, advice: "", rest: "transcribe it again for the rest." };
  if (asJob) {
    const advice = `Files above ${mebibytes(mostAtOnce)} go as a job: it appears below when it is done.`;
    return { atOnce, asJob, advice, rest: "submit it as a job for the rest." };
  }
  const limit = mebibytes(info.job_limits ? most : Math.min(most, mostAtOnce));
  const smaller = isWav ? "save it; as Opus or MP3 it is a tenth of its size." : "save it, and send it in parts.";
  const advice = `The file is larger than this server takes, ${limit}.${isRecorded ? ` To transcribe it, ${smaller}` : ""}`;
  return { atOnce, asJob, advice, rest: `for the rest, ${smaller}` };
}
