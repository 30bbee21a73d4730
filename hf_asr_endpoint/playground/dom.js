/** Elements and the words of the page. The Content-Security-Policy allows no markup in strings. */

export const $ = (id) => document.getElementById(id);

/** Return an element. attributes: `text` is its text, `on…` its listeners, `data` its dataset. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") made.textContent = value;
    else if (key === "data") Object.assign(made.dataset, value);
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Return one of the icons that index.html defines. */
export const icon = (name) => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));

/** 75.4 → "1:15". */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${hours ? String(minutes).padStart(2, "0") : minutes}:${String(rest).padStart(2, "0")}`;
  return hours ? `${hours}:${tail}` : tail;
}

export const percent = (fraction) => `${Math.round(fraction * 100)} %`;

/** 8.4 → "8.4", 84.2 → "84". */
export const rounded = (number) => (number < 10 ? number.toFixed(1) : String(Math.round(number)));

export const mebibytes = (bytes) => (bytes < 2 ** 20 ? `${Math.ceil(bytes / 1024)} KiB` : `${rounded(bytes / 2 ** 20)} MiB`);

/** Tell people who listen to the page, without moving their focus. */
export function announce(text) {
  $("announcer").textContent = text;
}

/** Return a function that does something once in the next frame, however often it is called before. */
export function oncePerFrame(act) {
  let isComing = false;
  return () => {
    if (isComing) return;
    isComing = true;
    requestAnimationFrame(() => {
      isComing = false;
      act();
    });
  };
}

export function save(name, content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Copy a text, and say so on the button for a moment. */
export async function copy(text, button) {
  const label = button.querySelector(".label");
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(text);
    label.textContent = "Copied";
  } catch {
    label.textContent = "Cannot copy"; // Browsers allow it on https and localhost alone.
  }
  announce(label.textContent);
  setTimeout(() => (label.textContent = before), 1600);
}
