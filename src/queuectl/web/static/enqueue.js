// Sends the form as a job's JSON, or what was changed in it. The server checks it; an error is shown at the field that it
// names. A clone has all that the page does not show too, such as its umask; but it may start at once.

import { address, call, say } from "./talk.js";

const form = document.getElementById("enqueue"), problem = document.getElementById("problem");
const MASKED = "***", LISTS = ["tags", "locks", "secrets", "depends_on"];

function documentOf() {
  const found = {};
  for (const [name, value] of new FormData(form)) if (value !== "" && name !== "kind") found[name] = value;
  found.command = commandOf();
  for (const name of LISTS) if (found[name]) found[name] = listed(found[name]);
  for (const { name } of form.querySelectorAll("[data-field] > label > input[type=checkbox]")) if (name in found) found[name] = true;
  if (found.env) found.env = variables(found.env);
  return found;
}

// What was changed: an emptied field is null.
function changesOf() {
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
    const now = variables(env.value), gone = Object.keys(variables(env.defaultValue)).filter((name) => !(name in now));
    found.env = Object.fromEntries([...Object.entries(now).filter(([, value]) => value !== MASKED), ...gone.map((name) => [name, null])]);
  }
  return found;
}

// What a clone has that its source has not.
function cloned() {
  const changes = changesOf();
  return "delay" in changes ? changes : { ...changes, run_at: null };
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

function variables(text) {
  const env = {};
  for (const line of text.split("\n").filter((each) => each.trim())) {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`env ${JSON.stringify(line)} is not NAME=VALUE`);
    env[line.slice(0, at)] = line.slice(at + 1);
  }
  return env;
}

// The field that an error names: at its beginning, or after "of" or "tag".
function fieldOf(text) {
  const known = [...form.querySelectorAll("[data-field]")];
  const plain = text.replace(/^(an exit code of|a word of) /, "").replace(/^(tag|lock|secret)\b/, "$1s")
    .replace(/^the units of lock\b/, "locks").replace(/^no (job|batch)\b.*/, "depends_on").replace(/^unique key\b/, "unique_key")
    .replace(/^job \S+ exists already\b.*/, "id").replace(/^job /, "");
  const [first] = /[a-z_]+/.exec(plain) ?? [""];
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
  const button = form.querySelector("button.primary");
  if (button.disabled) return; // sent by the keyboard once more
  clear();
  button.disabled = true;
  try {
    const { edit, clone } = form.dataset;
    if (edit !== undefined) {
      const path = `/jobs/${encodeURIComponent(edit)}`, changes = changesOf();
      if (Object.keys(changes).length) await call("PATCH", `/api/v1${path}`, changes);
      location.href = address(path);
      return;
    }
    const job = clone === undefined ? await call("POST", "/api/v1/jobs?on_conflict=error", documentOf())
      : await call("POST", `/api/v1/jobs/${encodeURIComponent(clone)}/clone`, cloned());
    if (document.getElementById("another").checked) { say(`enqueued ${job.id}`); form.elements.id.value = ""; }
    else { location.href = address(`/jobs/${encodeURIComponent(job.id)}`); return; }
  } catch (error) { show(error.message); }
  button.disabled = false;
});
addEventListener("pageshow", () => { form.querySelector("button.primary").disabled = false; });
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
