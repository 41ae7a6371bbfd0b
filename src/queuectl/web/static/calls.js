// Buttons and forms that call the API. Their attributes say what to do:
//
//   data-call="POST /api/v1/…"   data-body='{"now": true}'   data-done="message afterwards"   data-then="/where/to/go"
//   data-ask="question"  data-text="consequences"  data-yes="the button's label"  data-danger
//   data-past="retried"  data-total="1200": acts on that many jobs, selected by the body
//
// A form's fields are added to the body, by their names; an empty one is left out, or sent as its data-emptied says. With
// data-changed, only what was changed is sent. {name} in data-call and data-then stands for the field of that name.

import { actOn, address, ask, call, say, sayDone } from "./talk.js";

function fieldsOf(form) {
  const found = {};
  for (const field of form.elements) {
    if (!field.name || ("changed" in form.dataset && field.value === field.defaultValue)) continue;
    const value = field.value.trim() ? field.value : "changed" in form.dataset && field.dataset.emptied;
    if (value) found[field.name] = value;
  }
  return found;
}

async function act(element, more = {}) {
  const { call: what, body, done, then, ask: question, text = "", yes = "Yes", past, total } = element.dataset;
  const filled = (text) => text.replace("{name}", encodeURIComponent(more.name));
  const [method, path] = filled(what).split(" ");
  const document_ = { ...(body && JSON.parse(body)), ...more };
  if (what.includes("{name}")) delete document_.name;
  const send = async (told, stopped) => {
    if (past) {
      sayDone(past, await actOn(path, document_, told, stopped));
      document.dispatchEvent(new Event("refresh"));
      return;
    }
    const answer = await call(method, path, Object.keys(document_).length ? document_ : undefined);
    element.dispatchEvent(new CustomEvent("answered", { bubbles: true, detail: answer }));
    if (then) { location.href = address(filled(then)); return; }
    for (const field of "changed" in element.dataset ? element.elements : []) field.defaultValue = field.value;
    if (done) say(done);
    document.dispatchEvent(new Event("refresh"));
  };
  if (question) { await ask(question, text, yes, { danger: "danger" in element.dataset, act: send, total: Number(total ?? 0) }); return; }
  try { await send(); } catch (error) { say(error.message, true); }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-call]");
  if (button && event.detail < 2) act(button); // the second click of two is for what stood there before
});
document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-call]");
  if (!form) return;
  event.preventDefault();
  act(form, fieldsOf(form));
});
