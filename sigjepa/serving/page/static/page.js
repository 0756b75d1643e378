// The page works without this: it adds keys, and a choice of dark and light.
"use strict";
const root = document.documentElement;
const field = document.getElementById("q");
const saved = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
if (saved()) root.dataset.theme = saved();
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a choice for this page alone */ }
});
const fit = () => {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
};
field.addEventListener("input", fit);
fit();
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    field.form.requestSubmit();
  }
  if (event.key === "Escape") field.blur();
});
const results = [...document.querySelectorAll(".results .result")];
const move = (step) => {
  const now = results.indexOf(document.activeElement.closest?.(".result"));
  const next = results[Math.min(results.length - 1, Math.max(0, now + step))];
  if (next) { next.focus({ preventScroll: true }); next.scrollIntoView({ block: "nearest" }); }
};
document.addEventListener("keydown", (event) => {
  if (event.target === field || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); field.focus(); field.select(); }
  if (event.key === "j") move(1);
  if (event.key === "k") move(-1);
  if (event.key === "o") document.activeElement.closest?.(".result")?.querySelector("h2 a")?.click();
});
if (location.pathname === "/" && !field.value) field.focus();
