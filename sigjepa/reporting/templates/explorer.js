(() => {
  "use strict";

  const CUT = 40; // lines of a body that are shown at once
  const PREFIX = "#explorer:";
  const KEY = `sigjepa-explorer ${location.pathname}`;
  const WORD = /[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+/g; // sigjepa.corpus.words
  const SILENT = new Set(["self", "cls", "def", "async", "none"]); // in most signatures, so they say nothing
  const DEFAULTS = { search: "", kind: "all", run: "", rank: "any", sort: "worst" };
  const KINDS = { hardest: "hardest", easiest: "easiest", changed: "changed" };
  const RANKS = {
    any: () => true,
    first: (rank) => rank <= 1,
    ten: (rank) => rank > 1 && rank <= 10,
    beyond: (rank) => rank > 10,
  };

  const element = (tag, className, ...children) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };
  const joined = (tokens) => tokens.map(([, text]) => text).join("");
  const wordsOf = (text) => (text.match(WORD) ?? []).map((word) => word.toLowerCase());
  const expected = (answer) => (answer.optimistic + answer.pessimistic) / 2;
  const rankText = ({ optimistic, pessimistic }) =>
    optimistic === pessimistic ? `${optimistic}` : `${optimistic}–${pessimistic}`;
  const scoreText = (value, measure) => `${measure} ${value.toFixed(measure === "cosine" ? 3 : 1)}`;
  const literal = (term) => term.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

  /** What is marked in code: the search's terms, and words that the query's signature has too. */
  function flagged(text, terms, words) {
    const flags = new Uint8Array(text.length);
    for (const term of terms) {
      for (const found of text.matchAll(term)) {
        flags.fill(1, found.index, found.index + found[0].length);
      }
    }
    if (words) {
      for (const found of text.matchAll(WORD)) {
        if (!words.has(found[0].toLowerCase())) continue;
        for (let at = found.index; at < found.index + found[0].length; at += 1) flags[at] |= 2;
      }
    }
    return flags;
  }

  /** Append `tokens` as spans, up to `end` characters: text only, whatever it holds. */
  function appendTokens(parent, tokens, terms, words, end = Infinity) {
    const flags = flagged(joined(tokens), terms, words);
    let at = 0;
    for (const [kind, text] of tokens) {
      if (at >= end) break;
      const stop = Math.min(at + text.length, end);
      const target = kind ? element("span", `token-${kind}`) : parent;
      const mask = kind === "k" ? 1 : 3; // a keyword is nobody's choice of word
      for (let from = at; from < stop; ) {
        const flag = flags[from] & mask;
        let to = from + 1;
        while (to < stop && (flags[to] & mask) === flag) to += 1;
        const piece = text.slice(from - at, to - at);
        let node = document.createTextNode(piece);
        if (flag & 2) node = element("span", "shared", node);
        if (flag & 1) node = element("mark", "", node);
        target.append(node);
        from = to;
      }
      if (kind) parent.append(target);
      at += text.length;
    }
  }

  function markedText(text, terms) {
    const parent = document.createDocumentFragment();
    appendTokens(parent, [["", text]], terms, null);
    return parent;
  }

  /** A scrolling box of code; a long one is cut until it is asked for or a search finds something further down. */
  function codeBox(tokens, label, terms, words) {
    const text = joined(tokens);
    let end = -1;
    for (let line = 0; line < CUT; line += 1) {
      end = text.indexOf("\n", end + 1);
      if (end < 0) break;
    }
    const lines = text.split("\n").length;
    const found = flagged(text, terms, null).lastIndexOf(1);
    const code = element("code", "");
    const box = element("pre", "code", code);
    box.tabIndex = 0; // so that keys can scroll it
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", label);
    if (end < 0 || found >= end) {
      appendTokens(code, tokens, terms, words);
      return [box];
    }
    appendTokens(code, tokens, terms, words, end);
    const button = element("button", "show-all", `Show all ${lines} lines`);
    button.type = "button";
    button.addEventListener("click", () => {
      code.replaceChildren();
      appendTokens(code, tokens, terms, words);
      button.remove();
      box.focus({ preventScroll: true });
    });
    return [box, button];
  }

  function start() {
    const source = document.getElementById("explorer-data");
    if (!source) return;
    const data = JSON.parse(source.textContent);
    const app = document.getElementById("explorer-app");
    const form = document.getElementById("explorer-form");
    const list = document.getElementById("explorer-list");
    const count = document.getElementById("explorer-count");
    const reset = document.getElementById("explorer-reset");
    const fields = form.elements;
    DEFAULTS.run = data.runs[0];
    const open = new Set();
    let terms = [];
    let state = { ...DEFAULTS };

    const items = data.queries.map((query) => {
      const own = data.functions[query.id];
      const signature = joined(own.signature);
      const details = element("details", "query");
      details.dataset.id = query.id;
      const item = {
        query,
        own,
        signature,
        details,
        summary: element("summary", ""),
        inside: element("div", "query-inside"),
        built: false,
        text: [own.qualname, own.repository, own.path, signature, joined(own.body)].join("\n"),
        words: new Set(
          own.signature.filter(([kind]) => kind !== "k").flatMap(([, text]) => wordsOf(text))
            .filter((word) => word.length > 1 && !SILENT.has(word)),
        ),
      };
      details.append(item.summary, item.inside);
      details.addEventListener("toggle", () => {
        const was = open.has(query.id);
        if (details.open === was) return;
        if (details.open) open.add(query.id);
        else open.delete(query.id);
        build(item);
        remember();
      });
      return item;
    });

    const runIndex = () => data.runs.indexOf(state.run);
    const measure = () => data.measures[runIndex()];
    const rankOf = (item) => expected(item.query.answers[runIndex()]);

    function buildSummary(item) {
      const { query, own } = item;
      const line = item.signature.split("\n").find((text) => /^(async\s+)?def\b/.test(text)) ?? item.signature;
      const head = element("span", "query-head", element("span", "query-name", markedText(own.qualname, terms)), " ");
      head.append(element("span", "query-place", markedText(own.repository, terms)));
      for (const kind of query.kinds) head.append(" ", element("span", "query-kind", KINDS[kind]));
      if (query.change) {
        const times = 2 ** Math.abs(query.change);
        const better = query.change > 0;
        const text = `${times.toFixed(times < 10 ? 1 : 0)}× ${better ? "better" : "worse"}`;
        const change = element("span", `query-change ${better ? "is-good" : "is-bad"}`, text);
        change.title = `rank with ${data.compared[1]} against rank with ${data.compared[0]}`;
        head.append(" ", change);
      }
      const ranks = element("span", "query-ranks");
      query.answers.forEach((answer, index) => {
        const rank = expected(answer);
        const level = rank <= 1 ? "is-good" : rank > 10 ? "is-bad" : "";
        const chip = element("span", `rank ${level}`, element("span", "rank-run", data.runs[index]), " ");
        chip.append(element("b", "", rankText(answer)));
        if (index === runIndex()) chip.classList.add("is-shown");
        chip.title = `rank of the true body with ${data.runs[index]}`;
        ranks.append(chip);
      });
      item.summary.replaceChildren(head, element("code", "query-signature", markedText(line, terms)), ranks);
    }

    function retrievedItem(item, one, place) {
      const found = data.functions[one.id];
      const made = element("li", one.match ? `retrieved is-${one.match}` : "retrieved");
      const head = element("div", "retrieved-head");
      const score = element("b", "retrieved-score", scoreText(one.score, measure()));
      score.title = `${measure()} of the prediction and this body`;
      head.append(element("span", "retrieved-place", `${place}`), score);
      if (one.match !== "true") {
        const teacher = element("span", "retrieved-teacher", `teacher to true body ${one.teacher_cosine.toFixed(3)}`);
        teacher.title = "the teacher's cosine of this body and the true body";
        head.append(teacher);
      }
      if (one.match) {
        head.append(element("span", "retrieved-match", one.match === "true" ? "true body" : "copy of the true body"));
      }
      const from = element("div", "retrieved-from", element("span", "retrieved-name", markedText(found.qualname, terms)));
      from.append(" ", element("span", "query-place", markedText(found.repository, terms)));
      from.title = found.path;
      head.append(from);
      if (one.why) head.append(element("div", "retrieved-why", `why: ${one.why}`));
      made.append(head, ...codeBox(found.body, `Retrieved body ${place}, ${found.qualname}`, terms, item.words));
      return made;
    }

    function build(item) {
      if (!item.details.open) {
        item.inside.replaceChildren();
        item.built = false;
        return;
      }
      if (item.built) return;
      item.built = true;
      const { query, own } = item;
      const answer = query.answers[runIndex()];
      const place = element("span", "query-place", markedText(`${own.repository} · ${own.path}`, terms));
      const asked = element("div", "asked", element("h4", "", "Signature"));
      asked.append(...codeBox(own.signature, "Signature", terms, null), element("h4", "", "True body"));
      asked.append(...codeBox(own.body, "True body", terms, item.words), place);
      const ranked = element("ol", "retrieved-list", ...answer.retrieved.map((one, at) => retrievedItem(item, one, at + 1)));
      const answered = element("div", "answered", element("h4", "", `Retrieved first by ${state.run}`), ranked);
      if (!answer.retrieved.some((one) => one.match === "true")) {
        answered.append(element("p", "explorer-note",
          `The true body is at rank ${rankText(answer)} of ${data.pool}, with ${scoreText(answer.score, measure())}.`));
        if (answer.why) answered.append(element("p", "retrieved-why", `why: ${answer.why}`));
      }
      item.inside.replaceChildren(asked, answered);
    }

    function compare(first, second) {
      const [one, other] = [first.own.qualname.toLowerCase(), second.own.qualname.toLowerCase()];
      const byName = one === other ? first.query.id - second.query.id : one < other ? -1 : 1;
      if (state.sort === "name") return byName;
      if (state.sort === "change") return Math.abs(second.query.change) - Math.abs(first.query.change) || byName;
      const byRank = rankOf(second) - rankOf(first);
      return (state.sort === "worst" ? byRank : -byRank) || byName;
    }

    function render() {
      terms = state.search.split(/\s+/).filter(Boolean).map((term) => new RegExp(literal(term), "gi"));
      let shown = 0;
      for (const item of items) {
        const wanted = (state.kind === "all" || item.query.kinds.includes(state.kind))
          && RANKS[state.rank](rankOf(item))
          && terms.every((term) => item.text.search(term) >= 0);
        item.details.hidden = !wanted;
        shown += wanted ? 1 : 0;
        buildSummary(item);
        item.details.open = open.has(item.query.id);
        item.built = false;
        build(item);
      }
      const ordered = [...items].sort(compare).map((item) => item.details);
      if (ordered.some((details, at) => list.children[at] !== details)) list.replaceChildren(...ordered);
      count.textContent = `${shown} of ${items.length} queries`;
      reset.hidden = !["search", "kind", "rank"].some((name) => state[name] !== DEFAULTS[name]);
    }

    function view() {
      const view = new URLSearchParams();
      for (const [name, value] of Object.entries(state)) if (value !== DEFAULTS[name]) view.set(name, value);
      if (open.size) view.set("open", [...open].join(","));
      return view.toString();
    }

    function remember() {
      const hash = view() ? PREFIX + view() : "";
      if (hash === location.hash || (!hash && !location.hash.startsWith(PREFIX))) return;
      history.replaceState(history.state, "", hash || location.pathname + location.search);
    }

    /** Show a view; what it names and this page does not have is left at its default. */
    function recall(text) {
      const view = new URLSearchParams(text);
      for (const [name, value] of Object.entries(DEFAULTS)) {
        fields[name].value = view.get(name) ?? value;
        if (!fields[name].value) fields[name].value = value;
        state[name] = fields[name].value;
      }
      const known = new Set(data.queries.map((query) => query.id));
      open.clear();
      for (const id of (view.get("open") ?? "").split(",").filter(Boolean).map(Number)) if (known.has(id)) open.add(id);
      render();
    }

    function changed() {
      state = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, fields[name].value]));
      render();
      remember();
    }

    form.addEventListener("input", changed);
    form.addEventListener("submit", (event) => event.preventDefault());
    reset.addEventListener("click", () => {
      for (const name of ["search", "kind", "rank"]) fields[name].value = DEFAULTS[name];
      changed();
      fields.search.focus();
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest?.("input, select, textarea, [contenteditable]");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      fields.search.focus();
    });
    const linked = () => location.hash.startsWith(PREFIX);
    window.addEventListener("hashchange", () => {
      if (linked()) recall(location.hash.slice(PREFIX.length));
    });
    window.addEventListener("pagehide", () => keep(view()));
    document.getElementById("explorer-unavailable").remove();
    app.hidden = false;
    // A page that refreshes itself loses the part of its address that was set here, so the view is kept apart.
    const again = performance.getEntriesByType("navigation")[0]?.type === "reload";
    const kept = again ? keep() : null;
    recall(kept ?? (linked() ? location.hash.slice(PREFIX.length) : ""));
    if (kept) remember();
    if (linked() && !again) app.scrollIntoView({ behavior: "instant" }); // page.js keeps the place of a reload
  }

  /** Keep a view for the next load of this page in this tab, or give the one that is kept. */
  function keep(view) {
    try {
      if (view === undefined) return sessionStorage.getItem(KEY);
      sessionStorage.setItem(KEY, view);
    } catch {
      // A browser may forbid storage to local files: then the address alone has the view.
    }
    return null;
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
