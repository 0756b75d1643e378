// The theme button, and the reader's place across the reloads of a watched report.
(() => {
  "use strict";
  const root = document.documentElement;
  const kept = (storage, key, value) => {
    try {
      if (value === undefined) return storage.getItem(key);
      storage.setItem(key, value);
    } catch { /* a browser may forbid storage to local files: then nothing is remembered */ }
    return null;
  };

  const theme = kept(localStorage, "sigjepa-theme");
  if (theme) root.dataset.theme = theme;
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = getComputedStyle(root).colorScheme === "dark";
    root.dataset.theme = dark ? "light" : "dark";
    kept(localStorage, "sigjepa-theme", root.dataset.theme);
  });

  const key = `sigjepa-place ${location.pathname}`;
  addEventListener("pagehide", () => {
    const { name, selectionStart } = document.activeElement ?? {};
    kept(sessionStorage, key, JSON.stringify({ top: scrollY, name, caret: selectionStart }));
  });
  addEventListener("load", () => {
    if (performance.getEntriesByType("navigation")[0]?.type !== "reload") return;
    const { top, name, caret } = JSON.parse(kept(sessionStorage, key) ?? "{}");
    const field = name ? document.getElementsByName(name)[0] : null;
    if (field?.type === "search") {
      field.focus({ preventScroll: true });
      field.setSelectionRange(caret, caret);
    }
    if (top) scrollTo({ top, behavior: "instant" });
  });
})();
