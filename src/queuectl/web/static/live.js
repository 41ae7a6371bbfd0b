// Keeps a page up to date: it hears of events while it is visible, and of none while it is hidden.
//
// The numbers of a snapshot are shown at once. The rest is fetched again from the server ("fresh"), at most every
// FRESH_MS. Only what differs is replaced, so that focus, selection and scrolling stay.

import { heard, listen } from "./listen.js";
import { login } from "./talk.js";

const FRESH_MS = 2000;
const AT_REST_MS = 1000 * (document.querySelector("[data-rest]")?.dataset.rest ?? 30);
const STALE_MS = 12000; // a snapshot comes at least every few seconds

const live = document.getElementById("live");
const WORDS = { live: "live", paused: "paused", held: "paused", offline: "offline", off: "" };

function tell(state) {
  if (!live || live.dataset.state === state) return;
  live.dataset.state = state;
  live.textContent = WORDS[state];
  live.title = state === "offline" ? "No connection to the server: this page may be out of date" : "";
  document.getElementById("main").classList.toggle("stale", state === "offline");
}

// --- replacing what differs ----------------------------------------------------------------

function keyOf(node) { return node.nodeType === 1 ? node.dataset.part || node.id || "" : ""; }

// What a list has as long as nobody has chosen anything else.
function initial(select) { return ([...select.options].find((each) => each.defaultSelected) ?? select.options[0])?.value; }

export function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || keyOf(old) !== keyOf(fresh)) { old.replaceWith(fresh); return; }
  if (old.nodeType !== 1) { old.nodeValue = fresh.nodeValue; return; }
  if (old.matches("input:not([type=checkbox])") && fresh.defaultValue !== old.defaultValue) { // what is being typed stays
    const untouched = old.value === old.defaultValue;
    old.defaultValue = fresh.defaultValue;
    if (untouched) old.value = fresh.defaultValue;
  }
  if (old.matches("select")) { // and what is being chosen
    const value = (old.value === initial(old) ? fresh : old).value;
    old.replaceChildren(...fresh.children);
    old.value = value;
  }
  if (old.matches("input, select, textarea, [data-kept]")) return;
  const kept = old.matches("[data-row]") ? ["class"] : old.matches("time") ? ["title"] : old.matches("details") ? ["open"] : [];
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value && !kept.includes(name)) old.setAttribute(name, value);
  morphChildren(old, fresh);
}

function isBlank(node) { return node.nodeType === 3 && !node.nodeValue.trim(); }

// Elements that stay are not moved if removing others suffices: a moved element loses the focus. An element stays the
// same when only the blanks before it have gone.
function morphChildren(old, fresh) {
  const known = new Map([...old.children].filter(keyOf).map((child) => [keyOf(child), child]));
  const wantedKeys = new Set([...fresh.children].map(keyOf));
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = keyOf(wanted);
    const here = at && isBlank(at) && wanted.nodeType === 1 ? at.nextSibling : at;
    const same = key ? known.get(key) : here && !keyOf(here) && here.nodeName === wanted.nodeName ? here : null;
    if (!same) { old.insertBefore(wanted, at); continue; }
    while (at !== same && at && !wantedKeys.has(keyOf(at) || null)) { const next = at.nextSibling; at.remove(); at = next; }
    if (same === at) at = at.nextSibling;
    else old.insertBefore(same, at);
    morph(same, wanted);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

htmx.defineExtension("keyed", {
  isInlineSwap: (style) => style === "keyed",
  handleSwap: (style, target, fragment) => {
    if (style !== "keyed") return false;
    target.dispatchEvent(new CustomEvent("swap", { bubbles: true, detail: fragment }));
    morphChildren(target, fragment);
    document.dispatchEvent(new Event("fresh"));
    return [target];
  },
});
document.body.setAttribute("hx-ext", "keyed");

// --- the stream ----------------------------------------------------------------------------

let lastHeard = 0, lastFresh = Date.now(), due = null, held = false;
let acted = false; // whether a person has done something since the page was held

function freshen(soon = false) {
  const wait = soon ? 0 : Math.max(0, lastFresh + FRESH_MS - Date.now());
  if ((due !== null || held) && !soon) return;
  acted = soon;
  clearTimeout(due);
  due = setTimeout(() => {
    due = null;
    if (document.hidden) return;
    lastFresh = Date.now();
    htmx.trigger(document.body, "fresh");
  }, wait);
}
document.addEventListener("refresh", () => freshen(true));

let shown = "";

function show(snapshot) {
  if (held) return;
  const { starting } = snapshot; // claimed, but nothing runs yet
  const numbers = { ...snapshot.counts, processing: Math.max(0, snapshot.counts.processing - starting) };
  for (const element of document.querySelectorAll("[data-starting]")) {
    const text = starting ? `+ ${starting.toLocaleString("en")} starting` : "";
    if (element.textContent !== text) element.textContent = text;
  }
  for (const element of document.querySelectorAll("[data-count]")) {
    const number = numbers[element.dataset.count];
    const text = number || !element.closest(".nav") ? Number(number).toLocaleString("en") : "";
    if (element.textContent !== text) element.textContent = text;
  }
  const { at, ...rest } = snapshot;
  const now = JSON.stringify(rest);
  if (now !== shown && shown) freshen();
  shown = now;
  document.dispatchEvent(new CustomEvent("snapshot", { detail: snapshot }));
}

function hear(type, data) {
  lastHeard = Date.now();
  tell(held ? "held" : "live");
  switch (type) {
    case "snapshot": show(data); break;
    case "job": document.dispatchEvent(new CustomEvent("job", { detail: data })); freshen(); break;
    case "deed": case "skipped": freshen(); break;
    case "trouble": tell("offline"); break;
  }
}

let listens = false;

function connect() { listens = true; listen(true); }
function disconnect() { listens = false; listen(false); }

heard.addEventListener("events", ({ detail: { state, type, data } }) => {
  if (!listens) return;
  if (type) hear(type, data);
  else if (state === "open") { lastHeard = Date.now(); tell(held ? "held" : "live"); freshen(); }
  else {
    tell("offline");
    if (state === "denied") login();
  }
});
document.addEventListener("login", () => freshen(true));

function look() {
  if (document.hidden) { disconnect(); tell("paused"); }
  else { connect(); lastHeard = Date.now(); freshen(!held); }
}
document.addEventListener("visibilitychange", look);
addEventListener("pagehide", disconnect);
addEventListener("pageshow", (event) => { if (event.persisted) look(); });
setInterval(() => {
  if (document.hidden) return;
  if (listens && Date.now() - lastHeard > STALE_MS) tell("offline");
  if (Date.now() - lastFresh > AT_REST_MS) freshen(); // what only time changes, such as a worker that has gone
}, 1000);

// A person may hold the page still as a whole. Then it shows what comes of the person's own acts, and nothing else: not
// what was being fetched, or was about to be, when it was held. A chart that is counted apart has to come once.
document.getElementById("hold")?.addEventListener("click", ({ currentTarget: button }) => {
  held = !held;
  acted = false;
  button.setAttribute("aria-pressed", String(held));
  button.title = held ? "Go on showing changes" : "Hold the page still";
  tell(held ? "held" : "live");
  clearTimeout(due);
  due = null;
  if (!held) freshen(true);
});
const stays = (elt) => held && (elt.matches("[hx-trigger*=every]") ? !elt.ariaBusy : !acted && elt.matches("[hx-trigger]"));
document.body.addEventListener("htmx:beforeRequest", (event) => { if (stays(event.detail.elt)) event.preventDefault(); });
document.body.addEventListener("htmx:beforeSwap", ({ detail }) => { if (stays(detail.elt)) detail.shouldSwap = false; });
document.body.addEventListener("htmx:afterSwap", ({ detail }) => { detail.elt.ariaBusy = null; });

if (document.hidden) tell("paused");
else { connect(); lastHeard = Date.now(); }
