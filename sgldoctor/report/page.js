"use strict";
(() => {
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));
  const byId = (id) => document.getElementById(id);

  // ---- copying a command
  const say = (text) => { byId("said").textContent = text; };
  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { // a page opened from a file may have no clipboard of its own
      const area = document.createElement("textarea");
      area.value = text;
      area.setAttribute("readonly", "");
      area.className = "skip";
      document.body.append(area);
      area.select();
      let done = false;
      try { done = document.execCommand("copy"); } catch { done = false; }
      area.remove();
      return done;
    }
  };
  for (const button of all("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const done = await copied(button.parentElement.querySelector("pre").textContent);
      button.textContent = done ? "Copied" : "Select it";
      say(done ? "Command copied" : "Copying is not allowed here");
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // ---- folding
  const folds = all("main details");
  const fold = byId("fold");
  fold.hidden = folds.length === 0;
  fold.addEventListener("click", () => {
    const open = fold.getAttribute("aria-pressed") !== "true";
    fold.setAttribute("aria-pressed", String(open));
    fold.textContent = open ? "Fold all" : "Unfold all";
    for (const entry of folds) entry.open = open;
  });
  let before = [];
  addEventListener("beforeprint", () => { before = folds.map((entry) => entry.open); for (const entry of folds) if (!entry.closest("#facts")) entry.open = true; });
  addEventListener("afterprint", () => { folds.forEach((entry, index) => { entry.open = before[index]; }); });

  // ---- light and dark
  const theme = byId("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    theme.textContent = dark ? "Dark" : "Light";
  });

  // ---- searching the facts
  const field = byId("search");
  if (field) {
    byId("find").hidden = false;
    const tables = all("#facts details").map((fold) => ({
      fold,
      name: fold.dataset.name.toLowerCase(),
      rows: all("tbody tr", fold).map((row) => ({ row, text: Array.from(row.cells, (cell) => cell.textContent).join(" ").toLowerCase() })),
    }));
    const search = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let found = 0;
      for (const table of tables) {
        let here = 0;
        for (const entry of table.rows) {
          const fits = words.every((word) => entry.text.includes(word) || table.name.includes(word));
          entry.row.hidden = !fits;
          here += fits;
        }
        const named = words.every((word) => table.name.includes(word));
        table.fold.hidden = words.length > 0 && here === 0 && !named;
        table.fold.open = words.length > 0 && here > 0;
        found += here;
      }
      byId("count").textContent = words.length ? `${found} ${found === 1 ? "row" : "rows"}` : "";
    };
    field.addEventListener("input", search);
    field.addEventListener("keydown", (event) => { if (event.key === "Escape") { field.value = ""; search(); } });
  }

  // ---- nodes of a fleet
  const which = byId("node-search");
  if (which) {
    byId("node-find").hidden = false;
    const cells = all(".grid li");
    const rows = all("#node-table tbody tr").map((row) => ({ row, text: row.textContent.toLowerCase() }));
    which.addEventListener("input", () => {
      const word = which.value.trim().toLowerCase();
      let found = 0;
      for (const cell of cells) {
        const fits = cell.title.toLowerCase().includes(word);
        cell.classList.toggle("off", !fits);
        found += fits;
      }
      for (const entry of rows) entry.row.hidden = !entry.text.includes(word);
      byId("node-count").textContent = word ? `${found} of ${cells.length} nodes` : "";
    });
  }
})();
