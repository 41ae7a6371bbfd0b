// Selecting rows of a table, and acting on them or on all that the filter matches.

import { ask, post, say } from "./app.js";

const bulk = document.getElementById("bulk");
const chosen = new Set();
let whole = false;

function boxes() { return [...document.querySelectorAll("[data-row] input[name=id]")]; }

function show() {
  for (const box of boxes()) {
    box.checked = whole || chosen.has(box.value);
    box.closest("[data-row]").classList.toggle("chosen", box.checked);
  }
  const all = document.getElementById("pick-all");
  if (all) {
    const here = boxes();
    all.checked = here.length > 0 && here.every((box) => box.checked);
    all.indeterminate = !all.checked && here.some((box) => box.checked);
  }
  bulk.hidden = !whole && !chosen.size;
  const total = bulk.dataset.total;
  document.getElementById("bulk-count").textContent =
    whole ? (total ? `All ${Number(total).toLocaleString("en")} that match` : "All that match") : `${chosen.size.toLocaleString("en")} selected`;
  document.getElementById("bulk-whole").hidden = whole;
}

function clear() {
  chosen.clear();
  whole = false;
  show();
}

function form(verb, more = {}) {
  const data = new URLSearchParams({ verb, ...more });
  if (whole) data.set("where", bulk.dataset.where);
  else for (const id of chosen) data.append("id", id);
  return data;
}

const TITLES = { retry: "Retry", cancel: "Cancel", hold: "Hold", release: "Release", delete: "Delete" };
const WARNINGS = {
  delete: "Their history and output go with them. This cannot be undone.",
  cancel: "The commands of running ones are ended.",
};

async function act(verb) {
  let asked;
  try { asked = await (await post("/jobs/ask", form(verb))).json(); }
  catch (error) { say(error.message, true); return; }
  if (!asked.count) { say(`nothing there to ${asked.verb}`); return; }
  const jobs = `${asked.count.toLocaleString("en")} job${asked.count === 1 ? "" : "s"}`;
  const title = `${TITLES[asked.verb]} ${jobs}?`;
  let changed = 0, refused = 0, why = [];
  const run = async (progress, closed) => {
    let next = 0;
    do {
      const more = whole ? { after: next, until: asked.until } : {};
      const done = await (await post("/jobs/act", form(verb, more))).json();
      changed += done.changed;
      refused += done.refused;
      why = why.concat(done.why).slice(0, 3);
      next = done.next;
      if (next !== null) progress(changed + refused, asked.count);
    } while (next !== null && !closed());
  };
  const where = whole ? "All that the filter matches, on every page. " : "";
  if (!await ask(title, where + (WARNINGS[asked.verb] ?? ""), `${TITLES[asked.verb]} ${jobs}`, { danger: asked.verb === "delete" || asked.verb === "cancel", act: run })) return;
  const told = `${asked.done} ${changed.toLocaleString("en")} job${changed === 1 ? "" : "s"}`;
  say(refused ? `${told}; ${refused} refused: ${why.join("; ")}` : told, refused > 0);
  clear();
  document.dispatchEvent(new Event("refresh"));
}

if (bulk) {
  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.id === "pick-all") for (const each of boxes()) box.checked ? chosen.add(each.value) : chosen.delete(each.value);
    else if (box.matches("[data-row] input[name=id]")) {
      if (whole) for (const each of boxes()) chosen.add(each.value);
      box.checked ? chosen.add(box.value) : chosen.delete(box.value);
    } else return;
    whole = false;
    show();
  });
  document.getElementById("bulk-whole").addEventListener("click", () => { whole = true; show(); });
  document.getElementById("bulk-none").addEventListener("click", clear);
  for (const button of bulk.querySelectorAll("[data-verb]")) button.addEventListener("click", () => act(button.dataset.verb));
  document.addEventListener("fresh", show);
  show();
}
