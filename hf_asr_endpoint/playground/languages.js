/** The languages of Whisper. Browsers know their names. */

const CODES =
  "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id " +
  "is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd " +
  "si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh";

const AS_BROWSERS_KNOW = { jw: "jv", no: "nb" };

const names = new Intl.DisplayNames("en", { type: "language" });
const nameOf = (code) => names.of(AS_BROWSERS_KNOW[code] ?? code);

/** "en" → "english", as the server's answers have it. */
export const languageName = (code) => (code ? nameOf(code).toLowerCase() : "");

/** Return [code, name] in the order of the names. */
export function languages() {
  return CODES.split(" ")
    .map((code) => [code, nameOf(code)])
    .sort((left, right) => left[1].localeCompare(right[1]));
}
