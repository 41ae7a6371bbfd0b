// Selects rows of a table, and acts on them or on all jobs that match the filter.

import { actOn, ask, call, counted, say, sayDone } from "./talk.js";

const bulk = document.getElementById("bulk"), table = document.getElementById("jobs");

// What is chosen stays so over the pages of one filter.
const filter = new URLSearchParams(location.search);
for (const name of ["before", "after", "skip", "sort", "size"]) filter.delete(name);
const KEPT = `queuectl-chosen ${location.pathname}?${filter}`;
const chosen = new Set(JSON.parse(sessionStorage.getItem(KEPT) ?? "[]"));
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
  const elsewhere = chosen.size - boxes().filter((box) => chosen.has(box.value)).length;
  document.getElementById("bulk-count").textContent = whole ? "All that match"
    : `${chosen.size.toLocaleString("en")} selected${elsewhere ? `, ${elsewhere.toLocaleString("en")} on other pages` : ""}`;
  if (chosen.size) sessionStorage.setItem(KEPT, JSON.stringify([...chosen]));
  else sessionStorage.removeItem(KEPT);
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

// How an act on rows of this page can be undone, or nothing. Rows that it does not change are left as they are.
function undoing(verb) {
  const rows = boxes().filter((box) => chosen.has(box.value)).map((box) => box.closest("[data-row]"));
  if (whole || !(verb in INVERSE) || rows.length < chosen.size) return undefined;
  const able = rows.filter((row) => row.dataset.undo.split(" ").includes(verb));
  if (!able.length || (verb === "cancel" && able.length < rows.length)) return undefined;
  const ids = able.map((row) => row.dataset.part);
  return async () => {
    sayDone(PAST[INVERSE[verb]], await actOn(`${bulk.dataset.base}/${INVERSE[verb]}`, { ids }));
    document.dispatchEvent(new Event("refresh"));
  };
}

const WARNINGS = {
  delete: "Their history and output go with them. This cannot be undone.",
  purge: "Their history and output go with them. This cannot be undone.",
  cancel: "Running commands are ended.",
};
const INVERSE = { hold: "release", release: "hold", cancel: "retry" };
const PAST = { retry: "retried", cancel: "cancelled", hold: "held", release: "released", delete: "deleted", purge: "purged" };

async function act(verb) {
  const path = `${bulk.dataset.base}/${verb}`, wanted = selection();
  let total = chosen.size;
  if (whole) { // how many it would be, before it is done
    try { total = (await call("POST", path, { ...wanted, dry_run: true })).matched; }
    catch (error) { say(error.message, true); return; }
    if (!total) { say(`there is nothing to ${verb}`); return; }
  }
  const word = verb[0].toUpperCase() + verb.slice(1);
  const where = whole ? "All jobs that match the filter, on every page. " : "";
  const undone = undoing(verb);
  let done = null;
  const run = async (told, stopped) => { done = await actOn(path, wanted, told, stopped); };
  await ask(`${word} ${counted(total)}?`, where + (WARNINGS[verb] ?? ""), `${word} ${counted(total)}`, { danger: verb in WARNINGS, act: run, total });
  if (!done) return;
  sayDone(PAST[verb], done, undone);
  clear();
  document.dispatchEvent(new Event("refresh"));
}

let last = null, shift = false;

// With Shift, all rows from the one that was clicked before.
function range(box) {
  const all = boxes(), from = all.findIndex((each) => each.value === last), to = all.indexOf(box);
  last = box.value;
  return shift && from >= 0 ? all.slice(Math.min(from, to), Math.max(from, to) + 1) : [box];
}

if (bulk) {
  document.addEventListener("click", (event) => { shift = event.shiftKey; }, true);
  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.id === "pick-all") for (const each of boxes()) box.checked ? chosen.add(each.value) : chosen.delete(each.value);
    else if (box.matches("[data-row] input[name=id]")) {
      if (whole) for (const each of boxes()) chosen.add(each.value);
      for (const each of range(box)) box.checked ? chosen.add(each.value) : chosen.delete(each.value);
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

// --- a table that holds still ---------------------------------------------------------------

// While somebody is at it, or on any page but the first, the rows stay, each as it is now, and new ones are counted.
function holds() {
  return "still" in table.dataset || chosen.size > 0 || scrollY > 120 || table.matches(":hover")
    || table.querySelector("tbody")?.contains(document.activeElement);
}

let asked = false;
document.body.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.elt !== table) return;
  const rows = [...table.querySelectorAll("[data-seq]")].map((row) => row.dataset.seq);
  asked = rows.length > 0 && holds();
  if (!asked) return;
  event.detail.parameters.rows = rows.join(",");
  event.detail.parameters.seen = table.querySelector("[data-seen]").dataset.seen;
});

// A row whose job is gone stays as well, unless they all are; and so does where the neighbouring pages begin.
document.addEventListener("swap", ({ target, detail: fresh }) => {
  if (target !== table || !asked) return;
  const rows = [...table.querySelectorAll("[data-row]")], now = ({ dataset: { seq } }) => fresh.querySelector(`[data-row][data-seq="${seq}"]`);
  for (const row of rows) if (!now(row)) chosen.delete(row.dataset.part);
  if (!rows.some(now)) return;
  let before = null;
  for (const row of rows) {
    const known = now(row);
    if (known) { before = known; continue; }
    const gone = row.cloneNode(true);
    for (const box of gone.querySelectorAll("input")) box.remove();
    gone.querySelector(".st, .why").innerHTML = "<span class=tag>deleted</span>";
    if (before) before.after(gone); else fresh.querySelector("tbody").prepend(gone);
    before = gone;
  }
  const pager = table.querySelector(".pager").cloneNode(true), total = fresh.querySelector("[data-total]");
  if (total) pager.querySelector("[data-total]")?.replaceWith(total);
  fresh.querySelector(".pager").replaceWith(pager);
});

// The numbers of the wanted queues by state, which no snapshot tells.
document.addEventListener("fresh", () => {
  const counts = JSON.parse(table.querySelector("[data-counts]")?.dataset.counts ?? "{}");
  for (const each of document.querySelectorAll("[data-own]")) {
    const text = counts[each.dataset.own];
    if (text !== undefined && each.textContent !== text) each.textContent = text;
  }
});
