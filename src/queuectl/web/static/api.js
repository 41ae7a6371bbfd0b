// The page of the API: tries operations that read, with the login of this browser.

import { address } from "./talk.js";

const SHOWN_MAX = 100_000;

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form.try");
  if (!form) return;
  event.preventDefault();
  const { path } = form.closest("details").dataset, shown = form.nextElementSibling;
  const given = new Map([...new FormData(form)].filter(([, value]) => value));
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => {
    const value = given.get(name) ?? "";
    given.delete(name);
    return encodeURIComponent(value);
  });
  const query = String(new URLSearchParams([...given]));
  const asked = address(filled + (query && `?${query}`));
  shown.hidden = false;
  shown.textContent = `GET ${asked}\n`;
  try {
    const response = await fetch(asked, { headers: { Accept: "application/json" } });
    const text = await response.text();
    let answer = text;
    try { answer = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it is */ }
    if (answer.length > SHOWN_MAX) answer = `${answer.slice(0, SHOWN_MAX)}\n… ${(answer.length - SHOWN_MAX).toLocaleString("en")} more characters`;
    shown.textContent += `${response.status} ${response.statusText}\n\n${answer}`;
  } catch { shown.textContent += "the server cannot be reached"; }
});

// A link to an operation opens it.
function open() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named?.matches("details")) named.open = true;
}
addEventListener("hashchange", open);
open();
