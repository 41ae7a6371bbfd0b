// A job's output: read once if the job has ended, followed while it runs.
//
// Bounded for any output: limits for kept lines, for characters of a line, and for text that waits to be shown.

import * as listen from "./listen.js";
import { Screen } from "./screen.js";
import { address, call } from "./talk.js";

const LINES_MAX = 20000;
const CHUNK = 200;
const READ_MAX = 4 << 20;
const SLICE = 1 << 18; // characters shown in one frame
const PART = 1 << 17; // bytes read of what lies before the end
const GUTTER = 56; // where the numbers of lines stand

const $ = (id) => document.getElementById(id);
const job = $("job").dataset.id;
const path = `/api/v1/jobs/${encodeURIComponent(job)}`, pages = `/jobs/${encodeURIComponent(job)}`;
const box = $("log");
const size = (bytes) => bytes >= 1 << 20 ? `${(bytes / (1 << 20)).toFixed(1)} MiB` : `${Math.ceil(bytes / 1024)} KiB`;

// --- lines ---------------------------------------------------------------------------------

let lines = 0, waiting = [], waitingSigns = 0, frame = 0;
let isPart = false, number = 0; // of the last whole line, counted from the output's beginning

const screen = new Screen(newLine, (line) => mark(line), (className) => { if (className !== "meta") number++; });

function clear() {
  box.replaceChildren();
  waiting = [];
  waitingSigns = lines = 0;
  screen.reset();
  number = 0;
  $("log-note").hidden = true;
}

function newLine(className = "") {
  let chunk = box.lastElementChild;
  if (!chunk || chunk.childElementCount >= CHUNK) {
    chunk = document.createElement("div");
    chunk.className = "chunk";
    box.append(chunk);
  }
  const made = document.createElement("div");
  made.className = `line ${className}`.trim();
  if (className !== "meta") made.dataset.n = number + 1;
  chunk.append(made);
  if (++lines > LINES_MAX + CHUNK && !isPart) {
    lines -= box.firstElementChild.childElementCount;
    box.firstElementChild.remove();
    $("log-note").hidden = false;
  }
  return made;
}

// A line of the dashboard's own between those of the command.
function say(text) {
  screen.end();
  newLine("meta").textContent = text;
}

function append(text, className = "") {
  waiting.push([text, className]);
  waitingSigns += text.length;
  while (waitingSigns > READ_MAX && waiting.length > 1) waitingSigns -= waiting.shift()[0].length;
  frame ||= requestAnimationFrame(flush);
}

function flush() {
  frame = 0;
  let left = SLICE;
  while (waiting.length && left > 0) {
    const [text, className] = waiting[0];
    const piece = text.slice(0, left);
    left -= piece.length;
    waitingSigns -= piece.length;
    screen.write(piece, className);
    if (className === "meta") number = 0; // another attempt begins
    if (piece.length === text.length) waiting.shift();
    else waiting[0] = [text.slice(piece.length), className];
  }
  if ($("log-follow").checked) box.scrollTop = box.scrollHeight;
  countHits();
  $("log-earlier").hidden = !(box.querySelector("[data-n]")?.dataset.n > 1);
  $("log-later").hidden = !more;
  if (waiting.length) frame = requestAnimationFrame(flush);
}

// --- reading and following -----------------------------------------------------------------

let following = null, reading = 0, more = false; // lines after those that are shown
let shown; // the latest attempt when all was read; undefined until the page has it, which is told later of an end
let isSilent = false; // an output was followed to its end, and there was none
const which = () => $("log-stream")?.value ?? "";
const latest = () => document.querySelector("[data-attempt]")?.dataset.attempt ?? null;
const hasEnded = () => document.querySelector(".page-head > :is(.completed, .dead, .cancelled)") !== null;
const nothing = () => (document.querySelector("[data-attempt]") ? "It wrote nothing." : "It has not run.");
const tell = (text) => { $("log-state").textContent = text; };

function stop() {
  if (following) listen.follow(null);
  following = null;
  shown = undefined;
  isSilent = false;
  reading++;
}

// What is asked of the server beside the output: which attempt and stream.
const query = (attempt, name, more = {}) =>
  new URLSearchParams({ ...(attempt && { attempt }), ...(name && { stream: name }), ...more });

// The end of an output, or a part of it from byte `from` on.
async function read(attempt, name, from = null) {
  const range = from === null ? `bytes=-${READ_MAX}` : `bytes=${from}-${from + PART - 1}`;
  const response = await fetch(address(`${path}/output?${query(attempt, name)}`), { headers: { Range: range } });
  if (response.status === 416 || response.status === 404) return "";
  if (!response.ok) throw new Error(`the output cannot be read (${response.status})`);
  const [, first, last, total] = /bytes (\d+)-(\d+)\/(\d+)/.exec(response.headers.get("Content-Range") ?? "") ?? [];
  if (first > 0 && from === null) {
    say(`The first ${size(Number(first))} of ${size(Number(total))} are not shown.`);
    number = (await call("GET", `${pages}/lines?${query(attempt, name, { before: first })}`)).before;
  }
  more = Number(last) + 1 < total;
  return response.text();
}

async function show(from = null, before = 0) {
  stop();
  clear();
  number = before;
  isPart = from !== null;
  more = false;
  const mine = reading, attempt = $("log-attempt").value;
  $("log-download").href = address(`${path}/output?${query(attempt, which(), { download: "true" })}`);
  const { state } = await call("GET", path);
  if (mine !== reading) return;
  if (!attempt && !["completed", "dead", "cancelled"].includes(state)) { follow(); return; }
  try {
    tell("");
    const split = Boolean($("log-stream"));
    const parts = split && !which() ? ["stdout", "stderr"] : [which()];
    const texts = [];
    for (const name of parts) texts.push(await read(attempt, name, from));
    if (mine !== reading) return;
    parts.forEach((name, at) => { if (texts[at]) append(texts[at], name === "stderr" ? "err" : ""); });
    if (!texts.some(Boolean)) say(nothing());
    if (hasEnded()) shown = latest();
    if (from !== null) $("log-follow").checked = false;
    else if (linked) { const line = linked; linked = 0; requestAnimationFrame(() => goTo(line)); }
  } catch (error) { say(error.message); }
}

// Follows the output from where it was left, while the page is visible.
async function follow() {
  if (!following) {
    const mine = following = { told: 0, place: null };
    try { number = Math.max(0, (await call("GET", `${pages}/lines?before=${1e12}`)).before - LINES_MAX); } catch { /* numbers begin with 1 */ }
    if (following !== mine) return;
  }
  if (document.hidden) { listen.follow(null); return; }
  listen.follow({ job, tail: LINES_MAX, place: following.place });
}

listen.heard.addEventListener("outputs", ({ detail: { state, type, data, place } }) => {
  if (!following || document.hidden) return;
  if (state) { tell(state === "open" ? "follows" : "connection lost; trying again"); return; }
  if (place) following.place = place;
  if (type === "output") {
    const { attempt, stream: number, text } = data;
    if (which() && (number === 2) !== (which() === "stderr")) return;
    if (following.told && attempt !== following.told) append(`\n— attempt ${attempt} —\n`, "meta");
    following.told = attempt;
    append(text, number === 2 ? "err" : "");
  } else if (type === "trouble") { say(data.detail); following = null; }
  else {
    tell("");
    isSilent = !following.told;
    shown = undefined;
    following = null;
    settle();
  }
});
document.addEventListener("visibilitychange", () => { if (following) follow(); });
addEventListener("pageshow", (event) => { if (event.persisted) show(); });

function attempts() {
  const select = $("log-attempt"), chosen = select.value;
  const numbers = [...document.querySelectorAll("[data-attempt]")].map((row) => row.dataset.attempt);
  if (chosen && !numbers.includes(chosen)) numbers.push(chosen);
  if ([...select.options].slice(1).map((option) => option.value).join() === numbers.join()) return;
  for (const option of [...select.options].slice(1)) option.remove();
  for (const number of numbers) select.add(new Option(`attempt ${number}`, number));
  select.value = chosen;
  const asked = new URLSearchParams(location.search).get("attempt");
  if (asked && numbers.includes(asked) && !select.dataset.asked) select.value = select.dataset.asked = asked;
}

// --- search --------------------------------------------------------------------------------

// The server searches the whole output, of which only a part may be shown here; a running job's is searched here.
let wanted = "", hits = [], total = 0, at = -1, searching = 0;

function mark(each) { each.classList.toggle("hit", wanted !== "" && each.textContent.toLowerCase().includes(wanted)); }

function countHits() {
  if (following) { hits = [...box.querySelectorAll(".hit")].map((each) => Number(each.dataset.n)); total = hits.length; }
  const lines = `${total.toLocaleString("en")} line${total === 1 ? "" : "s"}`;
  $("log-hits").textContent = wanted ? `${at >= 0 && at < hits.length ? `${at + 1} of ` : ""}${lines}` : "";
  $("log-previous").hidden = $("log-next").hidden = !hits.length;
}

async function search() {
  wanted = $("log-search").value.toLowerCase();
  hits = [];
  total = 0;
  at = -1;
  for (const each of box.querySelectorAll(".line")) { each.classList.remove("now"); mark(each); }
  const mine = ++searching;
  if (wanted && !following) {
    try {
      const found = await call("GET", `${pages}/lines?${query($("log-attempt").value, which(), { text: wanted })}`);
      if (mine !== searching) return;
      ({ hits, total } = found);
    } catch (error) { say(error.message); }
  }
  countHits();
}

// Shows a line, and reads what is around it if need be.
async function goTo(line) {
  const find = () => [...box.querySelectorAll(`[data-n="${line}"]`)].at(-1); // of the latest attempt
  if (!find()) {
    const { from, before } = await call("GET", `${pages}/lines?${query($("log-attempt").value, which(), { line })}`);
    await show(from, before);
    while (waiting.length) await new Promise(requestAnimationFrame);
  }
  const each = find();
  if (!each) return;
  $("log-follow").checked = false;
  box.querySelector(".now")?.classList.remove("now");
  each.classList.add("now");
  each.scrollIntoView({ block: "center", inline: "nearest" });
}

function go(by) {
  if (!hits.length) return;
  at = at < 0 && by < 0 ? hits.length - 1 : (at + by + hits.length) % hits.length;
  countHits();
  goTo(hits[at]);
}

const shownLines = () => box.querySelectorAll("[data-n]");
$("log-earlier").addEventListener("click", () => goTo(Number(shownLines()[0].dataset.n) - 1));
$("log-later").addEventListener("click", () => goTo(Number([...shownLines()].at(-1).dataset.n) + 1));

// A click on a line's number makes it part of the address.
const lineOf = (hash) => Number(/^#L(\d+)$/.exec(hash)?.[1] ?? 0);
let linked = lineOf(location.hash);
addEventListener("hashchange", () => { if (lineOf(location.hash)) goTo(lineOf(location.hash)); });
box.addEventListener("click", (event) => {
  const each = event.target.closest(".line[data-n]");
  if (!each || event.clientX - box.getBoundingClientRect().left > GUTTER || String(getSelection())) return;
  const shown = $("log-attempt").value;
  history.replaceState(null, "", `${location.pathname}${shown ? `?attempt=${shown}` : ""}#L${each.dataset.n}`);
  goTo(each.dataset.n);
});

let delay = 0, searched; // the last search, which may still be under way
const seek = () => { searched = search(); };
$("log-search").addEventListener("input", () => { clearTimeout(delay); delay = setTimeout(seek, 150); });
$("log-search").addEventListener("keydown", async (event) => {
  if (event.key !== "Enter") return;
  clearTimeout(delay);
  if ($("log-search").value.toLowerCase() !== wanted) seek();
  await searched;
  go(event.shiftKey ? -1 : 1);
});
$("log-next").addEventListener("click", () => go(1));
$("log-previous").addEventListener("click", () => go(-1));
if (innerWidth < 600) { $("log-wrap").checked = true; box.classList.add("wrap"); }
$("log-wrap").addEventListener("change", (event) => box.classList.toggle("wrap", event.target.checked));
$("log-follow").addEventListener("change", (event) => { if (event.target.checked) box.scrollTop = box.scrollHeight; });
box.addEventListener("wheel", (event) => { if (event.deltaY < 0) $("log-follow").checked = false; }, { passive: true });
box.addEventListener("touchmove", () => { if (box.scrollTop + box.clientHeight < box.scrollHeight - 20) $("log-follow").checked = false; }, { passive: true });
box.addEventListener("keydown", (event) => { if (["ArrowUp", "PageUp", "Home"].includes(event.key)) $("log-follow").checked = false; });
box.addEventListener("scroll", () => {
  if (box.scrollTop + box.clientHeight >= box.scrollHeight - 4 && !waiting.length) $("log-follow").checked = true;
}, { passive: true });

// The job has ended, and what it wrote was read or followed to its end.
function settle() {
  if (shown !== undefined || !hasEnded()) return;
  shown = latest();
  if (isSilent) append(`${nothing()}\n`, "meta");
}

document.addEventListener("fresh", () => {
  attempts();
  if (following || $("log-attempt").value) return;
  if (shown !== undefined && (!hasEnded() || latest() !== shown)) show(); // it was retried
  else settle();
});
for (const id of ["log-attempt", "log-stream"]) $(id)?.addEventListener("change", () => show().then(search));
addEventListener("pagehide", stop);
attempts();
show();
