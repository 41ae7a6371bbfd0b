// A new token is shown once.

document.getElementById("new-token")?.addEventListener("answered", (event) => {
  document.getElementById("made-text").textContent = event.detail.token;
  document.getElementById("made").hidden = false;
  event.target.reset();
});
