// Calls, messages and questions. Only functions, since several modules import this.

const $ = (id) => document.getElementById(id);

// The address of a path of this server, which may lie below a path of a proxy.
export const address = (path) => document.documentElement.dataset.root + path;

// --- messages ------------------------------------------------------------------------------

const TOAST_MS = 6000, UNDO_MS = 10000;

// `undo` takes back what is told, as long as that is shown.
export function say(text, bad = false, undo = null) {
  const toast = document.createElement("div");
  toast.className = bad ? "toast bad" : "toast";
  toast.textContent = text;
  if (undo) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "small";
    button.textContent = "Undo";
    button.addEventListener("click", async () => {
      toast.remove();
      try { await undo(); } catch (error) { say(error.message, true); }
    });
    toast.append(" ", button);
  }
  $("toasts").append(toast);
  setTimeout(() => toast.remove(), undo ? UNDO_MS : bad ? 2 * TOAST_MS : TOAST_MS);
}

// The error of an answer, as one line. Asks to log in where that is what is missing.
export async function problemOf(response) {
  if (response.status === 401) {
    login();
    return "your session has ended; log in and try again";
  }
  try {
    const { detail, hint } = await response.json();
    return hint ? `${detail}; ${hint}` : detail;
  } catch { return `the server answered ${response.status}`; }
}

let asking = null;

// Asks for a token in a dialog, so that what was typed on the page stays. Answers whether the browser is logged in again.
export function login() {
  asking ??= new Promise((resolve) => {
    const dialog = $("login"), form = dialog.querySelector("form"), token = $("login-token"), error = $("login-error");
    form.reset();
    error.hidden = true;
    let done = false;
    form.onsubmit = async (event) => {
      if (event.submitter?.value === "no") return;
      event.preventDefault();
      const sent = { method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams({ token: token.value }) };
      try {
        const response = await fetch(address("/login"), sent);
        const answer = await response.json();
        if (!response.ok) throw new Error(answer.detail);
        if ((answer.role === "full") !== (document.body.dataset.mayWrite === "yes")) { location.reload(); return; }
        done = true;
        dialog.close();
        document.dispatchEvent(new Event("login"));
      } catch (failure) {
        error.textContent = failure.message;
        error.hidden = false;
        token.select();
      }
    };
    dialog.onclose = () => { asking = null; resolve(done); };
    dialog.showModal();
  });
  return asking;
}

// Calls the REST API. Throws an error with a message for people.
export async function call(method, path, document) {
  const how = document === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(document) };
  let response;
  try { response = await fetch(address(path), { method, ...how }); }
  catch { throw new Error("the server cannot be reached"); }
  if (response.status === 401 && await login()) return call(method, path, document);
  if (!response.ok) throw Object.assign(new Error(await problemOf(response)), { status: response.status });
  return response.status === 204 ? null : response.json();
}

// --- acting on many ------------------------------------------------------------------------

const SLICE = 2000; // a second's work or two

export const counted = (number) => `${number.toLocaleString("en")} job${number === 1 ? "" : "s"}`;

// Acts on a selection in slices, so that no request lasts long. `told` gets the number of jobs looked at so far; once
// `stopped` is true, the rest is left as it is.
export async function actOn(path, selection, told = () => {}, stopped = () => false) {
  const whole = { matched: 0, changed: 0, refused: [], stopped: false };
  for (let cursor = null; ;) {
    const slice = selection.selector ? { limit: SLICE, ...(cursor && { cursor }) } : {};
    let done;
    try { done = await call("POST", path, { ...selection, ...slice }); }
    catch (error) { throw whole.changed ? new Error(`${error.message}; ${counted(whole.changed)} had been done`) : error; }
    whole.matched += done.matched;
    whole.changed += done.changed;
    whole.refused.push(...done.refused);
    told(whole.matched);
    cursor = done.next;
    if (!cursor) return whole;
    if (stopped()) return { ...whole, stopped: true };
  }
}

// A summary of what was done: `past` is the verb.
export function sayDone(past, { matched, changed, refused, stopped }, undo = null) {
  const parts = [`${past} ${counted(changed)}`];
  if (stopped) parts.push("stopped there");
  if (matched > changed) parts.push(`${counted(matched - changed)} refused: ${refused.slice(0, 3).map((each) => each.detail).join("; ")}`);
  say(parts.join("; "), matched > changed, changed ? undo : null);
}

// --- questions -----------------------------------------------------------------------------

// Asks in a dialog, which stays open while `act` runs; answers whether it was confirmed and done. `act` gets a function
// that shows how many of `total` are done, and one that says whether the dialog was closed.
export function ask(title, text, yes, { danger = false, act, total = 0 } = {}) {
  const dialog = $("ask"), form = dialog.querySelector("form"), progress = $("ask-progress");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-yes").textContent = yes;
  $("ask-yes").classList.toggle("danger", danger);
  $("ask-yes").disabled = false;
  $("ask-no").textContent = "Cancel";
  progress.hidden = true;
  progress.removeAttribute("value");
  dialog.returnValue = "";
  dialog.showModal();
  $(danger ? "ask-no" : "ask-yes").focus();
  return new Promise((resolve) => {
    form.onsubmit = async (event) => {
      if (event.submitter?.value !== "yes") return;
      event.preventDefault();
      $("ask-yes").disabled = true;
      $("ask-no").textContent = "Stop";
      progress.hidden = false;
      let done = true;
      let closed = false;
      dialog.onclose = () => { closed = true; }; // from here on it is over when the act is
      try {
        await act?.((number) => {
          if (!total || closed) return;
          progress.max = total;
          progress.value = number;
          $("ask-text").textContent = `${number.toLocaleString("en")} of ${counted(total)}`;
        }, () => closed);
      } catch (error) {
        say(error.message, true);
        done = false;
      }
      if (!closed) dialog.close(); // else it may ask something else by now
      resolve(done);
    };
    dialog.onclose = () => resolve(false);
  });
}
