// Sends the form as a job's JSON, or what was changed in it. The server checks it; an error is shown at the field that it
// names.

import { address, call, say } from "./talk.js";

const form = document.getElementById("enqueue"), problem = document.getElementById("problem");
const MASKED = "***", LISTS = ["tags", "locks", "secrets", "depends_on"];

async function documentOf() {
  const found = {};
  for (const [name, value] of new FormData(form)) if (value !== "" && name !== "kind") found[name] = value;
  found.command = commandOf();
  for (const name of LISTS) if (found[name]) found[name] = listed(found[name]);
  for (const { name } of form.querySelectorAll("[data-field] > label > input[type=checkbox]")) if (name in found) found[name] = true;
  if (found.env) found.env = await variables(found.env);
  return found;
}

// What was changed: an emptied field is null.
async function changesOf() {
  const found = {};
  for (const field of form.elements) {
    if (!field.name || ["kind", "command", "env"].includes(field.name)) continue;
    if (field.type === "checkbox") { if (field.checked !== field.defaultChecked) found[field.name] = field.checked; }
    else if (field.value !== field.defaultValue) found[field.name] = field.value.trim() ? field.value : null;
  }
  const { command, env } = form.elements, kind = form.querySelector("[name=kind]:checked");
  if (command.value !== command.defaultValue || !kind.defaultChecked) found.command = commandOf();
  for (const name of LISTS) if (found[name]) found[name] = listed(found[name]);
  if (env.value !== env.defaultValue) {
    const now = await variables(env.value), gone = Object.keys(await variables(env.defaultValue)).filter((name) => !(name in now));
    found.env = Object.fromEntries([...Object.entries(now).filter(([, value]) => value !== MASKED), ...gone.map((name) => [name, null])]);
  }
  return found;
}

function commandOf() {
  const text = form.elements.command.value;
  return form.elements.kind.value === "words" ? words(text) : text;
}

function listed(text) {
  return text.split(",").map((each) => each.trim()).filter(Boolean);
}

function words(text) {
  if (text.trim().startsWith("[")) {
    try {
      const list = JSON.parse(text);
      if (Array.isArray(list)) return list;
    } catch { /* a program of this name */ }
  }
  return text.replace(/\n+$/, "").split("\n");
}

async function variables(text) {
  const env = {};
  for (const line of text.split("\n").filter((each) => each.trim())) {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`env ${JSON.stringify(line)} is not NAME=VALUE`);
    env[line.slice(0, at)] = line.slice(at + 1);
  }
  if (form.dataset.clone && Object.values(env).includes(MASKED)) {
    const source = await call("GET", `/api/v1/jobs/${encodeURIComponent(form.dataset.clone)}`);
    for (const [name, value] of Object.entries(env)) if (value === MASKED && name in source.env) env[name] = source.env[name];
  }
  return env;
}

// The field that an error names: at its beginning, or after "of" or "tag".
function fieldOf(text) {
  const known = [...form.querySelectorAll("[data-field]")];
  const [first] = /[a-z_]+/.exec(text.replace(/^(an exit code of|a word of|job) /, "").replace(/^(tag|lock|secret)\b/, "$1s").replace(/^the units of lock\b/, "locks").replace(/^no (job|batch)\b.*/, "depends_on")) ?? [""];
  return known.find((field) => field.dataset.field === first);
}

function clear() {
  problem.hidden = true;
  form.querySelectorAll(".wrong").forEach(mend);
}

// Takes an error away from its field.
function mend(field) {
  field.classList.remove("wrong");
  field.querySelector(".error").remove();
  field.querySelector("[aria-invalid]")?.removeAttribute("aria-invalid");
}
form.addEventListener("input", ({ target }) => {
  const field = target.closest(".wrong");
  if (field) mend(field);
});

function show(text) {
  const field = fieldOf(text);
  if (!field) {
    problem.textContent = text;
    problem.hidden = false;
    problem.focus();
    return;
  }
  field.closest("details")?.setAttribute("open", "");
  field.classList.add("wrong");
  const said = document.createElement("p");
  said.className = "error";
  said.id = `error-${field.dataset.field}`;
  said.setAttribute("role", "alert");
  said.textContent = text;
  field.append(said);
  const input = field.querySelector("input:not([type=radio]), textarea");
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-errormessage", said.id);
  input.focus();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  clear();
  const button = form.querySelector("button.primary");
  button.disabled = true;
  try {
    const { edit } = form.dataset;
    if (edit !== undefined) {
      const path = `/jobs/${encodeURIComponent(edit)}`, changes = await changesOf();
      if (Object.keys(changes).length) await call("PATCH", `/api/v1${path}`, changes);
      location.href = address(path);
      return;
    }
    const job = await call("POST", "/api/v1/jobs", await documentOf());
    if (document.getElementById("another").checked) { say(`enqueued ${job.id}`); form.elements.id.value = ""; }
    else location.href = address(`/jobs/${encodeURIComponent(job.id)}`);
  } catch (error) { show(error.message); }
  button.disabled = false;
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
