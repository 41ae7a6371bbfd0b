// Before the first paint: restores the chosen colours and an open console.
try {
  const chosen = localStorage.getItem("queuectl-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  const panel = sessionStorage.getItem("queuectl-console-open");
  if (panel) document.documentElement.dataset.console = panel;
} catch { /* a browser that keeps nothing shows the system's colours */ }
