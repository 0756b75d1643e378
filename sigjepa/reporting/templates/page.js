// The theme button, sections that fold, tables that filter, and the reader's place across the reloads of a watched report.
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

  const folds = [...document.querySelectorAll("details.section, details.more")];
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details");
    if (!target || target.open) return;
    target.open = true;
    target.scrollIntoView({ behavior: "instant" });
  };
  addEventListener("hashchange", unfold);
  document.querySelector("nav").addEventListener("click", () => setTimeout(unfold)); // a link that was followed before
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = folds.filter((each) => !each.open);
    for (const each of closed) each.open = true;
  });
  addEventListener("afterprint", () => closed.forEach((each) => { each.open = false; }));

  const filters = [...document.querySelectorAll(".filter")];
  const filter = (field) => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of field.nextElementSibling.querySelectorAll("tbody tr")) {
      row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    }
  };
  filters.forEach((field, at) => {
    Object.assign(field, { hidden: false, ariaLabel: field.placeholder, name: `filter-${at}` });
    field.addEventListener("input", () => filter(field));
  });

  const key = `sigjepa-place ${location.pathname}`;
  addEventListener("pagehide", () => {
    const { name, selectionStart } = document.activeElement ?? {};
    const open = folds.map((each) => each.open), words = filters.map((each) => each.value);
    kept(sessionStorage, key, JSON.stringify({ top: scrollY, name, caret: selectionStart, open, words }));
  });
  const place = performance.getEntriesByType("navigation")[0]?.type === "reload" ? JSON.parse(kept(sessionStorage, key) ?? "{}") : {};
  if (place.open?.length === folds.length) folds.forEach((each, at) => { each.open = place.open[at]; });
  if (place.words?.length === filters.length) {
    filters.forEach((field, at) => {
      field.value = place.words[at];
      filter(field);
    });
  }
  addEventListener("load", () => {
    const field = place.name ? document.getElementsByName(place.name)[0] : null;
    if (field?.type === "search") {
      field.focus({ preventScroll: true });
      field.setSelectionRange(place.caret, place.caret);
    }
    if (!place.top) unfold();
    else requestAnimationFrame(() => requestAnimationFrame(() => scrollTo({ top: place.top, behavior: "instant" }))); // plots are drawn by then
  });
})();
