// The console: sends a line to the server and shows the command's output as it comes.
//
// A panel on every page. Its content and state follow from page to page within one tab; typed lines are kept for longer.

import { Screen } from "./screen.js";
import { address, problemOf } from "./talk.js";

const HISTORY = "queuectl-console", HISTORY_MAX = 200, LINES_MAX = 5000;
const OPEN = "queuectl-console-open", TEXT = "queuectl-console-text", KEPT_CHARACTERS_MAX = 200_000;
const STATES = ["blocked", "pending", "processing", "failed", "completed", "dead", "cancelled"];

const $ = (id) => document.getElementById(id);
const root = document.documentElement, box = $("console"), terminal = $("terminal"), field = $("line");
const mayWrite = document.body.dataset.mayWrite === "yes";

// --- open and closed -----------------------------------------------------------------------

let before = null; // what had the focus

function show(how) {
  if (how) root.dataset.console = how;
  else delete root.dataset.console;
  for (const button of document.querySelectorAll("[data-console=''][aria-expanded]")) button.setAttribute("aria-expanded", String(Boolean(how)));
  $("console-tall").setAttribute("aria-pressed", String(how === "tall"));
  try { sessionStorage.setItem(OPEN, how); } catch { /* it is closed on the next page */ }
}

// Opens the panel; a given line is typed in but not sent.
export function open(line) {
  if (!box.contains(document.activeElement)) before = document.activeElement;
  show(root.dataset.console || "open");
  if (line) field.value = line;
  field.focus({ preventScroll: true });
  down();
}

export function close() {
  show("");
  if (box.contains(document.activeElement) || document.activeElement === document.body) (before?.isConnected ? before : $("main")).focus({ preventScroll: true });
}

$("console-close").addEventListener("click", close);
$("console-tall").addEventListener("click", () => { show(root.dataset.console === "tall" ? "open" : "tall"); down(); });
$("console-clear").addEventListener("click", () => { clear(); field.focus(); });

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

// --- output --------------------------------------------------------------------------------

let said = [], characters = 0; // the panel's content, as [function, text, class]

function keep(how, text, className) {
  const last = said.at(-1);
  if (how === "print" && last?.[0] === how && last[2] === className && last[1].length < 4096) last[1] += text;
  else said.push([how, text, className]);
  characters += text.length;
  while (characters > KEPT_CHARACTERS_MAX && said.length > 1) characters -= said.shift()[1].length;
}

function clear() {
  terminal.replaceChildren();
  screen.reset();
  said = [];
  characters = 0;
}

function down() { terminal.scrollTop = terminal.scrollHeight; }

function newLine(className = "") {
  const line = document.createElement("div");
  line.className = `line ${className}`.trim();
  terminal.append(line);
  while (terminal.childElementCount > LINES_MAX) terminal.firstElementChild.remove();
  return line;
}

const screen = new Screen(newLine);

function print(text, className = "") {
  keep("print", text, className);
  const follows = terminal.scrollTop + terminal.clientHeight >= terminal.scrollHeight - 40;
  screen.write(text, className);
  if (follows) down();
}

function tell(text, className = "meta") {
  keep("tell", text, className);
  screen.reset();
  newLine(className).textContent = text;
  down();
}

// From page to page.
function save() {
  if (running) tell(`left with the page${/^run\b/.test(running.line) ? "; its job goes on" : ""}`);
  try { sessionStorage.setItem(TEXT, JSON.stringify(said)); } catch { /* the next page begins empty */ }
}

function restore() {
  let kept = [];
  try { kept = JSON.parse(sessionStorage.getItem(TEXT)) ?? []; } catch { kept = []; }
  clear();
  for (const [how, text, className] of kept) (how === "print" ? print : tell)(text, className);
}

addEventListener("pagehide", save);
addEventListener("pageshow", (event) => { if (event.persisted) restore(); });

// --- running -------------------------------------------------------------------------------

let running = null, question = null; // running: its line, abort, session once that has begun, and whether it is to stop

function width() {
  const probe = document.createElement("span");
  probe.textContent = "x".repeat(100);
  probe.className = "mono probe";
  terminal.append(probe);
  const columns = Math.floor((terminal.clientWidth - 32) / (probe.getBoundingClientRect().width / 100));
  probe.remove();
  return Math.max(40, columns);
}

const bare = (text) => text.trim().replace(/^(\$\s+)?(queuectl(\s+|$))?/, "");

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
  const abort = new AbortController(), { signal } = abort;
  running = { line: bare(text), abort, session: null, stopping: false };
  busy(true);
  try {
    const response = mayWrite
      ? await post("/console/run", { line: text, width: width(), ...(answer !== undefined && { answer }) }, signal)
      : await fetch(address(`/console/run?${new URLSearchParams({ line: text, width: width() })}`), { signal });
    if (!response.ok) tell(`queuectl: ${await problemOf(response)}`, "err");
    else for await (const [type, data] of events(response)) {
      if (type === "begin") { running.session = data.session; if (running.stopping) interrupt(); }
      else if (type === "output") print(data.text, data.stream === 2 ? "err" : "");
      else if (type === "question") { question = text; tell(data.text, "ask"); }
      else if (type === "end") {
        if (data.cut) tell("… the output is longer than the console shows; give --limit, or use a terminal");
        if (data.left) tell("… the console watches no longer; run the command again to go on");
        if (data.code) tell(`exit code ${data.code}`);
      }
    }
  } catch (error) {
    if (error.name === "AbortError") tell("left", "err");
    else {
      await new Promise((done) => setTimeout(done, 500)); // browsers end a stream before they say that the page is left
      tell("queuectl: the server cannot be reached", "err");
    }
  }
  running = null;
  busy(false);
  document.dispatchEvent(new Event("refresh"));
}

function post(path, document_, signal) {
  return fetch(address(path), { method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(document_) });
}

// Ctrl-C interrupts the command, which may still print. A second one does not wait for it.
function stop() {
  if (!running) return;
  if (running.stopping || !mayWrite) { running.abort.abort(); return; }
  running.stopping = true;
  tell("^C");
  if (running.session) interrupt();
}

function interrupt() {
  const { abort, session } = running;
  post("/console/stop", { session }).catch(() => abort.abort());
}

function busy(is) {
  $("stop").hidden = !is;
  $("send").hidden = is;
  field.readOnly = is;
  box.setAttribute("aria-busy", String(is));
}

$("prompt").addEventListener("submit", (event) => {
  event.preventDefault();
  field.focus();
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
  if (bare(text) === "clear") { clear(); return; }
  tell(bare(text), "typed");
  run(text);
});
$("stop").addEventListener("click", () => { stop(); field.focus(); });
box.addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.key === "c" && running && !String(getSelection())) { event.preventDefault(); stop(); }
  else if (event.ctrlKey && event.key === "l") { event.preventDefault(); clear(); }
  else if (event.key === "Escape") { event.preventDefault(); close(); }
});

// --- completion ----------------------------------------------------------------------------

let known = null, ids = [];

// The commands, asked for once.
async function commands() {
  if (!known) {
    const response = await fetch(address("/console/commands"));
    if (!response.ok) throw new Error(await problemOf(response));
    known = await response.json();
  }
  return known;
}

async function jobIds() {
  try {
    const response = await fetch(address("/api/v1/jobs?limit=200"));
    if (response.ok) ids = (await response.json()).jobs.map((job) => job.id);
  } catch { ids = []; }
  return ids;
}

async function candidates(before, word) {
  const { entries, settings } = await commands();
  const typed = bare(before);
  const previous = typed.split(/\s+/).at(-1) ?? "";
  if (previous === "--state") return STATES;
  const [first = "", second = ""] = typed.split(/\s+/).filter((each) => !each.startsWith("-"));
  const entry = entries.find(({ name }) => name === `${first} ${second}`) ?? entries.find(({ name }) => name === first);
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
  let found;
  try { found = (await candidates(before, word)).filter((each) => each.startsWith(word)); }
  catch (error) { $("completions").textContent = error.message; return; }
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
restore();
show(root.dataset.console ?? "");
field.readOnly = false; // until now a line that was sent would have been lost
