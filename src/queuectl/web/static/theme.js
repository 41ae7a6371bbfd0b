// Before the first paint: the colours that were chosen here earlier, and whether the console is open.
try {
  const chosen = localStorage.getItem("queuectl-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  const panel = sessionStorage.getItem("queuectl-console-open");
  if (panel) document.documentElement.dataset.console = panel;
} catch { /* a browser that keeps nothing shows the system's colours */ }
