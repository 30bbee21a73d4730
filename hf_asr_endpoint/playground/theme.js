// Runs before the page is drawn, so that it never flashes in the other theme. Not a module for that reason.
(() => {
  const STORED = "hf-asr.theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem(STORED);
  } catch {
    // Storage may be forbidden: then the theme is the system's at each visit.
  }
  const show = () => (root.dataset.theme = chosen ?? (system.matches ? "dark" : "light"));
  show();
  system.addEventListener("change", show);
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => button.setAttribute("aria-pressed", String(root.dataset.theme === "dark"));
    label();
    system.addEventListener("change", label);
    button.addEventListener("click", () => {
      chosen = root.dataset.theme === "dark" ? "light" : "dark";
      try {
        localStorage.setItem(STORED, chosen);
      } catch {
        // As above.
      }
      show();
      label();
    });
  });
})();
