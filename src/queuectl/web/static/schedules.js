// The form of a schedule: previews its rule while it is typed, in the chosen zone, and sends what was given.

import { address, call, say } from "./talk.js";
import { moment } from "./times.js";

const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const PAUSE_MS = 250;

const formOf = () => document.getElementById("schedule");
let asked = 0, timer;

async function preview() {
  const { cron, tz } = formOf().elements, told = document.getElementById("preview"), mine = ++asked;
  if (!cron.value.trim()) { told.replaceChildren(); return; }
  const query = new URLSearchParams({ cron: cron.value, tz: tz.value.trim() || HERE, count: 5 });
  let lines, bad = false;
  try { lines = (await call("GET", `/api/v1/schedule-preview?${query}`)).map((at) => moment(Date.parse(at))); }
  catch (error) { lines = [error.message]; bad = true; }
  if (mine !== asked) return; // something else was typed meanwhile
  told.classList.toggle("error-line", bad);
  told.replaceChildren(...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
}

document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-preview]")) return;
  clearTimeout(timer);
  timer = setTimeout(preview, PAUSE_MS);
});
document.addEventListener("zone", () => { if (formOf()) preview(); });

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("#schedule");
  if (!form) return;
  event.preventDefault();
  const { method, path } = form.dataset, found = {};
  for (const field of form.elements) {
    const isSame = field.tagName === "SELECT" ? field.selectedOptions[0]?.defaultSelected : field.value === field.defaultValue;
    const value = field.value.trim() || (field.matches("[data-lift]") && method === "PATCH" ? "none" : "");
    if (field.name && value && (method === "POST" || !isSame)) found[field.name] = value;
  }
  if (method === "POST") {
    found.job = { command: found.command };
    delete found.command;
    if (found.cron && !found.tz) found.tz = HERE;
  }
  try {
    const done = await call(method, path, found);
    if (method === "POST") location.href = address(`/schedules/${encodeURIComponent(done.name)}`);
    else { say(`${done.name} is changed`); document.dispatchEvent(new Event("refresh")); }
  } catch (error) { say(error.message, true); }
});

if (formOf()?.elements.tz.placeholder) formOf().elements.tz.placeholder = HERE;
