// Sends the form as a job's JSON. The server checks it; an error is shown at the field that it names.

import { call, say } from "./talk.js";

const form = document.getElementById("enqueue"), problem = document.getElementById("problem");
const MASKED = "***";

async function documentOf() {
  const found = {};
  for (const [name, value] of new FormData(form)) if (value !== "" && name !== "kind") found[name] = value;
  if (form.elements.kind.value === "words") found.command = words(form.elements.command.value);
  else found.command = form.elements.command.value;
  for (const name of ["tags", "locks"]) {
    if (found[name]) found[name] = found[name].split(",").map((each) => each.trim()).filter(Boolean);
  }
  for (const { name } of form.querySelectorAll("[data-field] > label > input[type=checkbox]")) if (name in found) found[name] = true;
  if (found.env) found.env = await variables(found.env);
  return found;
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
  const [first] = /[a-z_]+/.exec(text.replace(/^(an exit code of|a word of|job) /, "").replace(/^(tag|lock)\b/, "$1s").replace(/^the units of lock\b/, "locks")) ?? [""];
  return known.find((field) => field.dataset.field === first);
}

function clear() {
  problem.hidden = true;
  for (const field of form.querySelectorAll(".wrong")) {
    field.classList.remove("wrong");
    field.querySelector(".error").remove();
    field.querySelector("[aria-invalid]")?.removeAttribute("aria-invalid");
  }
}

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
    const job = await call("POST", "/api/v1/jobs", await documentOf());
    if (document.getElementById("another").checked) { say(`enqueued ${job.id}`); form.elements.id.value = ""; }
    else location.href = `/jobs/${encodeURIComponent(job.id)}`;
  } catch (error) { show(error.message); }
  button.disabled = false;
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
