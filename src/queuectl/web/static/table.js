// Selects rows of a table, and acts on them or on all jobs that match the filter.

import { actOn, ask, call, counted, say, sayDone } from "./talk.js";

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
  document.getElementById("bulk-count").textContent =
    whole ? "All that match" : `${chosen.size.toLocaleString("en")} selected`;
  document.getElementById("bulk-whole").hidden = whole;
}

function clear() {
  chosen.clear();
  whole = false;
  show();
}

function selection() {
  if (!whole) return { ids: [...chosen] };
  const selector = JSON.parse(bulk.dataset.selector);
  return { selector: Object.keys(selector).length ? selector : { all: true } };
}

const WARNINGS = {
  delete: "Their history and output go with them. This cannot be undone.",
  purge: "Their history and output go with them. This cannot be undone.",
  cancel: "Running commands are ended.",
};
const PAST = { retry: "retried", cancel: "cancelled", hold: "held", release: "released", delete: "deleted", purge: "purged" };

async function act(verb) {
  const path = `${bulk.dataset.base}/${verb}`;
  let total = chosen.size;
  if (whole) { // how many it would be, before it is done
    try { total = (await call("POST", path, { ...selection(), dry_run: true })).matched; }
    catch (error) { say(error.message, true); return; }
    if (!total) { say(`there is nothing to ${verb}`); return; }
  }
  const word = verb[0].toUpperCase() + verb.slice(1);
  const where = whole ? "All jobs that match the filter, on every page. " : "";
  let done = null;
  const run = async (told, stopped) => { done = await actOn(path, selection(), told, stopped); };
  await ask(`${word} ${counted(total)}?`, where + (WARNINGS[verb] ?? ""), `${word} ${counted(total)}`, { danger: verb in WARNINGS, act: run, total });
  if (!done) return;
  sayDone(PAST[verb], done);
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
  for (const button of bulk.querySelectorAll("[data-verb]")) {
    button.addEventListener("click", async () => {
      button.disabled = true; // while they are being counted
      try { await act(button.dataset.verb); } finally { button.disabled = false; }
    });
  }
  document.addEventListener("fresh", show);
  show();
}
