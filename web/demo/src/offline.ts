// Keeps the page itself for a start without a network: sw.ts.
import { showToast } from "./toasts.js";

export function startOffline(): void {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return;
  let controlled = !!serviceWorker.controller;
  serviceWorker.addEventListener("controllerchange", () => {
    // Another version's files would not fit this page. The first one that takes control is this page's own.
    if (controlled) location.reload();
    controlled = true;
  });
  const offer = (waiting: ServiceWorker | null) => {
    if (!waiting || !serviceWorker.controller) return;
    const action = { label: "Reload", run: () => waiting.postMessage("activate") };
    showToast("A newer version of this page is here.", { action, stay: Infinity });
  };
  serviceWorker.register("sw.js").then((registration) => {
    offer(registration.waiting);
    registration.addEventListener("updatefound", () => {
      const next = registration.installing;
      next?.addEventListener("statechange", () => { if (next.state === "installed") offer(next); });
    });
  }).catch((error: unknown) => console.warn("No start without a network:", error)); // a private window, perhaps
}
