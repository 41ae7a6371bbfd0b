// The console: a line goes to the server, what the command prints comes back as it is printed.

import { Ansi } from "./ansi.js";
import { problemOf } from "./talk.js";

const HISTORY = "queuectl-console", HISTORY_MAX = 200, LINES_MAX = 5000;
const STATES = ["blocked", "pending", "processing", "failed", "completed", "dead", "cancelled"];

const $ = (id) => document.getElementById(id);
const box = $("console"), terminal = $("terminal"), field = $("line");
const entries = JSON.parse(box.dataset.entries), settings = JSON.parse(box.dataset.settings);
const mayWrite = document.body.dataset.mayWrite === "yes";

// --- history -------------------------------------------------------------------------------

let history = [];
try { history = JSON.parse(localStorage.getItem(HISTORY)) ?? []; } catch { history = []; }
let at = history.length, draft = "";

function remember(line) {
  if (history.at(-1) !== line) history.push(line);
  history = history.slice(-HISTORY_MAX);
  at = history.length;
  try { localStorage.setItem(HISTORY, JSON.stringify(history)); } catch { /* lasts as long as the page */ }
}

function recall(by) {
  if (at === history.length) draft = field.value;
  const next = Math.min(history.length, Math.max(0, at + by));
  if (next === at) return;
  at = next;
  field.value = at === history.length ? draft : history[at];
  field.setSelectionRange(field.value.length, field.value.length);
}

// --- what is printed -----------------------------------------------------------------------

let line = null, ansi = new Ansi();

function newLine(className = "") {
  line = document.createElement("div");
  line.className = `line ${className}`.trim();
  terminal.append(line);
  while (terminal.childElementCount > LINES_MAX) terminal.firstElementChild.remove();
  return line;
}

function print(text, className = "") {
  const down = terminal.scrollTop + terminal.clientHeight >= terminal.scrollHeight - 40;
  text.split("\n").forEach((part, number, parts) => {
    if (number === parts.length - 1 && !part) return;
    if (!line || !line.classList.contains("open") || (className && !line.classList.contains(className))) newLine(className);
    line.classList.add("open");
    ansi.render(part, line);
    if (number < parts.length - 1) { line.classList.remove("open"); line = null; ansi.endLine(); }
  });
  if (down) terminal.scrollTop = terminal.scrollHeight;
}

function tell(text, className = "meta") {
  ansi = new Ansi();
  line = null;
  newLine(className).textContent = text;
  line = null;
  terminal.scrollTop = terminal.scrollHeight;
}

// --- running -------------------------------------------------------------------------------

let running = null, question = null;

function width() {
  const probe = document.createElement("span");
  probe.textContent = "x".repeat(100);
  probe.className = "mono probe";
  terminal.append(probe);
  const columns = Math.floor((terminal.clientWidth - 32) / (probe.getBoundingClientRect().width / 100));
  probe.remove();
  return Math.max(40, columns);
}

const words = (text) => text.trim().replace(/^(\$\s+)?(queuectl\s+)?/, "").split(/\s+/).filter((word) => !word.startsWith("-"));

function entryOf(text) {
  const [first = "", second = ""] = words(text);
  return entries.find(({ name }) => name === `${first} ${second}`) ?? entries.find(({ name }) => name === first);
}

function reads(text) { const entry = entryOf(text); return !text.trim() || (entry?.reads ?? false) || !mayWrite; }

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const type = /^event: (.*)$/m.exec(part)?.[1], data = /^data: (.*)$/m.exec(part)?.[1];
      if (type) yield [type, JSON.parse(data)];
    }
  }
}

async function run(text, answer) {
  running = new AbortController();
  busy(true);
  try {
    const { signal } = running;
    const response = reads(text) && answer === undefined
      ? await fetch(`/console/run?${new URLSearchParams({ line: text, width: width() })}`, { signal })
      : await fetch("/console/run", {
        method: "POST", signal, headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ line: text, width: width(), ...(answer !== undefined && { answer }) }),
      });
    if (!response.ok) tell(`queuectl: ${await problemOf(response)}`, "err");
    else for await (const [type, data] of events(response)) {
      if (type === "output") print(data.text, data.stream === 2 ? "err" : "");
      else if (type === "question") { question = text; tell(data.text, "ask"); }
      else if (type === "end") {
        if (data.cut) tell("… there is more than fits here; say --limit, or use a terminal");
        if (data.code) tell(`exit code ${data.code}`);
      }
    }
  } catch (error) {
    tell(error.name === "AbortError" ? "cancelled" : "queuectl: the server cannot be reached", "err");
  }
  running = null;
  busy(false);
  document.dispatchEvent(new Event("refresh"));
}

function busy(is) {
  $("cancel").hidden = !is;
  $("send").hidden = is;
  field.readOnly = is;
  box.setAttribute("aria-busy", String(is));
  if (!is) field.focus({ preventScroll: true });
}

$("prompt").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return;
  const text = field.value;
  field.value = "";
  $("completions").textContent = "";
  if (question !== null) {
    const asked = question;
    question = null;
    tell(text, "typed-answer");
    if (/^y(es)?$/i.test(text.trim())) run(asked, "y");
    else tell("nothing was changed");
    return;
  }
  if (!text.trim()) return;
  remember(text);
  tell(text.trim().replace(/^(\$\s+)?queuectl(\s+|$)/, ""), "typed");
  if (text.trim() === "clear") { terminal.replaceChildren(); return; }
  run(text);
});
$("cancel").addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.key === "c" && running && !String(getSelection())) { event.preventDefault(); running.abort(); }
});

// --- completion ----------------------------------------------------------------------------

let ids = [];

async function jobIds() {
  try {
    const response = await fetch("/api/v1/jobs?limit=200");
    if (response.ok) ids = (await response.json()).jobs.map((job) => job.id);
  } catch { ids = []; }
  return ids;
}

async function candidates(before, word) {
  const typed = before.trim().replace(/^queuectl\s*/, "");
  const previous = typed.split(/\s+/).at(-1) ?? "";
  if (previous === "--state") return STATES;
  const entry = entryOf(typed);
  if (!entry || (entries.some(({ name }) => name.startsWith(`${typed} `)) && !word.startsWith("-"))) {
    const depth = typed ? typed.split(/\s+/).length : 0;
    const names = entries.map(({ name }) => name.split(" ")).filter((parts) => typed === parts.slice(0, depth).join(" "));
    return [...new Set(names.map((parts) => parts[depth]).filter(Boolean))];
  }
  if (word.startsWith("-")) return entry.flags;
  if (entry.words.startsWith("[ID")) return jobIds();
  if (entry.name.startsWith("config")) return settings;
  return [];
}

async function complete() {
  const end = field.selectionStart, text = field.value.slice(0, end);
  const word = /\S*$/.exec(text)[0], before = text.slice(0, text.length - word.length);
  const found = (await candidates(before, word)).filter((each) => each.startsWith(word));
  if (!found.length) { $("completions").textContent = ""; return; }
  let common = found[0];
  for (const each of found) while (!each.startsWith(common)) common = common.slice(0, -1);
  const put = found.length === 1 ? `${found[0]} ` : common;
  field.setRangeText(put, end - word.length, end, "end");
  $("completions").textContent = found.length > 1 ? found.slice(0, 60).join("  ") : "";
}

field.addEventListener("keydown", (event) => {
  if (event.key === "ArrowUp" || event.key === "ArrowDown") { event.preventDefault(); recall(event.key === "ArrowUp" ? -1 : 1); }
  else if (event.key === "Tab" && !event.shiftKey && field.value.trim()) { event.preventDefault(); complete(); }
});
for (const chip of document.querySelectorAll("[data-line]")) {
  chip.addEventListener("click", () => { field.value = chip.dataset.line; field.focus(); });
}
field.focus();
