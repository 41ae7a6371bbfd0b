// Buttons and forms that call the API. Their attributes say what to do:
//
//   data-call="POST /api/v1/…"   data-body='{"now": true}'   data-done="message afterwards"   data-then="/where/to/go"
//   data-ask="question"  data-text="consequences"  data-yes="the button's label"  data-danger
//   data-past="retried"  data-total="1200": acts on that many jobs, selected by the body
//
// A form's fields are added to the body, by their names.

import { actOn, ask, call, say, sayDone } from "./talk.js";

async function act(element, more) {
  const { call: what, body, done, then, ask: question, text = "", yes = "Yes", past, total } = element.dataset;
  const [method, path] = what.split(" ");
  const document_ = { ...(body && JSON.parse(body)), ...more };
  const send = async (told, stopped) => {
    if (past) {
      sayDone(past, await actOn(path, document_, told, stopped));
      document.dispatchEvent(new Event("refresh"));
      return;
    }
    const answer = await call(method, path, Object.keys(document_).length ? document_ : undefined);
    element.dispatchEvent(new CustomEvent("answered", { bubbles: true, detail: answer }));
    if (then) { location.href = then; return; }
    if (done) say(done);
    document.dispatchEvent(new Event("refresh"));
  };
  if (question) { await ask(question, text, yes, { danger: "danger" in element.dataset, act: send, total: Number(total ?? 0) }); return; }
  try { await send(); } catch (error) { say(error.message, true); }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-call]");
  if (button) act(button);
});
document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-call]");
  if (!form) return;
  event.preventDefault();
  act(form, Object.fromEntries(new FormData(form)));
});
