// Shared by all pages: colours, menu, running times, messages, opening the console, keys.

import { address, login, problemOf, say } from "./talk.js";
import { choose, moment, zone } from "./times.js";

const $ = (id) => document.getElementById(id);

// --- colours -------------------------------------------------------------------------------

const THEMES = { "": "as the system", light: "light", dark: "dark" };

function showTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  const label = `Colours: ${THEMES[theme]}`;
  $("theme").setAttribute("aria-label", label);
  $("theme").title = label;
  document.dispatchEvent(new Event("theme"));
}

if ($("theme")) {
  showTheme(document.documentElement.dataset.theme ?? "");
  $("theme").addEventListener("click", () => {
    const order = Object.keys(THEMES);
    const next = order[(order.indexOf(document.documentElement.dataset.theme ?? "") + 1) % order.length];
    try { localStorage.setItem("queuectl-theme", next); } catch { /* lasts as long as the page */ }
    showTheme(next);
  });
}

// --- menu ----------------------------------------------------------------------------------

$("menu")?.addEventListener("click", () => {
  const open = $("side").classList.toggle("open");
  $("menu").setAttribute("aria-expanded", String(open));
});

// --- times ---------------------------------------------------------------------------------

// As `format_duration` in wire/times.py, for whole seconds.
function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}s`;
  for (const [size, unit, small, smallUnit] of [[86400, "d", 3600, "h"], [3600, "h", 60, "m"], [60, "m", 1, "s"]]) {
    if (whole < size) continue;
    const rest = Math.floor((whole % size) / small);
    return `${Math.floor(whole / size)}${unit}` + (rest ? String(rest).padStart(2, "0") + smallUnit : "");
  }
}

function tick() {
  const now = Date.now() / 1000;
  for (const time of document.querySelectorAll("time[data-age], time[data-left]")) {
    const at = Date.parse(time.dateTime) / 1000;
    const text = age("age" in time.dataset ? now - at : at - now);
    if (time.textContent !== text) time.textContent = text;
    const title = moment(at * 1000);
    if (time.title !== title) time.title = title;
  }
  for (const time of document.querySelectorAll("time[data-local]")) {
    const text = moment(Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
    if (time.title !== time.dateTime) time.title = time.dateTime;
  }
  for (const drawing of document.querySelectorAll("svg[data-moment]")) {
    const text = moment(Date.parse(drawing.dataset.moment)), title = drawing.querySelector("title");
    if (title.textContent !== text) { title.textContent = text; drawing.setAttribute("aria-label", text); }
  }
}

function showZone() {
  const button = $("zone");
  if (!button) return;
  const text = zone() === "UTC" ? "UTC" : zone().replaceAll("_", " ");
  button.textContent = text;
  button.title = `Times are in ${text}; switch to ${zone() === "UTC" ? "the browser's zone" : "UTC"}`;
  button.setAttribute("aria-pressed", String(zone() === "UTC"));
}
$("zone")?.addEventListener("click", () => choose(zone() !== "UTC"));
document.addEventListener("zone", () => { showZone(); tick(); });
showZone();
tick();
setInterval(() => { if (!document.hidden) tick(); }, 1000);
document.addEventListener("fresh", tick);

// --- messages ------------------------------------------------------------------------------

// What an open page shows was deleted by somebody else: it stays, and says so.
function isGone(element) {
  if ("gone" in element.dataset) return;
  element.dataset.gone = "";
  const note = document.createElement("p");
  note.className = "notice bad";
  note.setAttribute("role", "alert");
  note.textContent = "This job has been deleted. What is shown here was its last state.";
  element.prepend(note);
  for (const button of element.querySelectorAll(".page-head button, .page-head a.button")) button.remove();
}
document.body.addEventListener("htmx:beforeRequest", (event) => { if ("gone" in event.detail.elt.dataset) event.preventDefault(); });

document.body.addEventListener("htmx:responseError", (event) => {
  const { status, responseText } = event.detail.xhr;
  if (status === 404 && event.detail.elt.id === "job") { isGone(event.detail.elt); return; }
  if (status === 401) { login(); return; }
  problemOf(new Response(responseText, { status: status || 500 })).then((text) => say(text, true));
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.dataset.copy || $(button.dataset.copyFrom)?.textContent || "";
  try {
    await navigator.clipboard.writeText(text);
    say("copied");
  } catch { say(text); }
});

// --- console -------------------------------------------------------------------------------

// Its code is loaded when it is first opened, so that no page waits for it.
async function openConsole(line) {
  try { (await import("./console.js")).open(line); }
  catch { say("the server cannot be reached", true); }
}

document.addEventListener("click", async (event) => {
  const { console: line } = event.target.closest("[data-console]:not(html)")?.dataset ?? {};
  if (line === undefined) return;
  if (!line && "console" in document.documentElement.dataset) (await import("./console.js")).close();
  else openConsole(line);
});
if ("console" in document.documentElement.dataset) import("./console.js");
else if (location.hash === "#console") { history.replaceState(null, "", location.pathname); openConsole(); }

// Logging out removes the typed lines. The console saves them when a page is left, so this runs after that.
document.querySelector("form[action$='/logout']")?.addEventListener("submit", () => addEventListener("pagehide", () => {
  try {
    for (const kept of [sessionStorage, localStorage]) {
      for (const key of Object.keys(kept)) if (key.startsWith("queuectl-console")) kept.removeItem(key);
    }
  } catch { /* nothing was kept */ }
}));

// A form that only searches leaves empty fields out of the address.
document.addEventListener("formdata", ({ target, formData }) => {
  if (target.method === "get") for (const [name, value] of [...formData]) if (!value) formData.delete(name);
});
if (location.href.endsWith("?")) history.replaceState(history.state, "", location.pathname); // it left out all

// --- keys ----------------------------------------------------------------------------------

let afterG = 0;

function rows() { return [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent); }

function move(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.classList.contains("here"));
  const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by))];
  for (const row of all) row.classList.toggle("here", row === next);
  (next.querySelector("a[data-open]") ?? next).focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (event.key === "Escape" && typing) { typing.blur(); return; }
  if (typing || event.target.closest("#console") || document.querySelector("dialog[open]")) return;
  if (Date.now() - afterG < 1500) {
    afterG = 0;
    const link = document.querySelector(`.nav a[data-key="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  const here = document.querySelector("[data-row].here");
  switch (event.key) {
    case "/": {
      const search = document.querySelector("[data-search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); } else location.href = address("/jobs#search");
      break;
    }
    case "j": move(1); break;
    case "k": move(-1); break;
    case "x": here?.querySelector("input[type=checkbox]")?.click(); break;
    case "Enter": if (here && !event.target.closest("a, button, summary")) here.querySelector("a[data-open]")?.click(); break;
    case "g": afterG = Date.now(); break;
    case "c": case "`": event.preventDefault(); openConsole(); break;
    case "?": $("keys")?.showModal(); break;
  }
});
$("help")?.addEventListener("click", () => $("keys").showModal());
if (location.hash === "#search") document.querySelector("[data-search]")?.focus();
