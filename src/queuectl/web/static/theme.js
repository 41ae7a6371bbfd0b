// Before the first paint: the colours that were chosen here earlier.
try {
  const chosen = localStorage.getItem("queuectl-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* a browser that keeps nothing shows the system's colours */ }
