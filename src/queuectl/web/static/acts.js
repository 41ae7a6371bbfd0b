// Acting on one job, on its own page.

import { ask, call, say } from "./app.js";

const WARNINGS = {
  cancel: "If it runs, its command is ended. It will not be tried again.",
  delete: "Its history and output go with it. This cannot be undone.",
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  const verb = button.dataset.act, id = document.getElementById("job").dataset.id;
  const word = verb[0].toUpperCase() + verb.slice(1);
  const path = `/api/v1/jobs/${encodeURIComponent(id)}`;
  const act = () => verb === "delete" ? call("DELETE", path) : call("POST", `${path}/${verb}`);
  if (verb in WARNINGS && !await ask(`${word} ${id}?`, WARNINGS[verb], word, { danger: true })) return;
  button.disabled = true;
  try {
    await act();
    if (verb === "delete") { location.href = "/jobs"; return; }
    say(`${id}: ${verb === "retry" ? "retried" : verb === "hold" ? "held" : verb === "cancel" ? "being cancelled" : "released"}`);
  } catch (error) { say(error.message, true); }
  button.disabled = false;
  document.dispatchEvent(new Event("refresh"));
});
