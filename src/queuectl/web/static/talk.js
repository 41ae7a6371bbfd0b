// Talking with the server and with the person: calls, messages, questions. Only functions: several modules import this.

const $ = (id) => document.getElementById(id);

// --- messages ------------------------------------------------------------------------------

const TOAST_MS = 6000;

export function say(text, bad = false) {
  const toast = document.createElement("div");
  toast.className = bad ? "toast bad" : "toast";
  toast.textContent = text;
  $("toasts").append(toast);
  setTimeout(() => toast.remove(), bad ? 2 * TOAST_MS : TOAST_MS);
}

// What an answer that is no success says, as one line.
export async function problemOf(response) {
  if (response.status === 401) location.reload();
  try {
    const { detail, hint } = await response.json();
    return hint ? `${detail}; ${hint}` : detail;
  } catch { return `the server answered ${response.status}`; }
}

// A call of the REST API. Throws an error with a sentence for people.
export async function call(method, path, document) {
  const how = document === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(document) };
  let response;
  try { response = await fetch(path, { method, ...how }); }
  catch { throw new Error("the server cannot be reached"); }
  if (!response.ok) throw Object.assign(new Error(await problemOf(response)), { status: response.status });
  return response.status === 204 ? null : response.json();
}

// --- questions -----------------------------------------------------------------------------

// Asks in a dialog, which stays open while `act` runs; answers whether it was said and done.
export function ask(title, text, yes, { danger = false, act } = {}) {
  const dialog = $("ask"), form = dialog.querySelector("form"), progress = $("ask-progress");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-yes").textContent = yes;
  $("ask-yes").classList.toggle("danger", danger);
  $("ask-yes").disabled = false;
  progress.hidden = true;
  dialog.returnValue = "";
  dialog.showModal();
  $(danger ? "ask-no" : "ask-yes").focus();
  return new Promise((resolve) => {
    form.onsubmit = async (event) => {
      if (event.submitter?.value !== "yes") return;
      event.preventDefault();
      $("ask-yes").disabled = true;
      progress.hidden = false;
      try {
        await act?.();
        dialog.close("yes");
      } catch (error) {
        say(error.message, true);
        dialog.close("no");
      }
    };
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
  });
}
