// Short messages at the edge of the screen.
import type { ErrorRecord } from "heddle";
import { byId, h, moves } from "./dom.js";
import { icon } from "./icons.js";

interface Options {
  kind?: "error" | "plain";
  code?: string;
  action?: { label: string; run: () => void };
  /** How long it stays, in milliseconds. */
  stay?: number;
}

/** Shows a message; returns what takes it away. */
export function toast(text: string, { kind = "plain", code, action, stay = 6000 }: Options = {}): () => void {
  const close = (): void => {
    clearTimeout(timer);
    if (!node.isConnected) return;
    if (!moves()) return node.remove();
    node.animate([{ opacity: 1 }, { opacity: 0, transform: "translateY(6px)" }], 160).finished.then(() => node.remove(),
      () => node.remove());
  };
  const node = h("div", { class: `toast ${kind}`, role: kind === "error" ? "alert" : "status" },
    code && h("code", {}, code),
    h("p", {}, text),
    action && h("button", { type: "button", class: "link", onclick: () => { close(); action.run(); } }, action.label),
    h("button", { type: "button", class: "icon", "aria-label": "Close the message", onclick: close }, icon("close")));
  byId("toasts").append(node);
  if (moves()) {
    node.animate([{ opacity: 0, transform: "translateY(12px)" }, { opacity: 1, transform: "none" }],
      { duration: 200, easing: "ease-out" });
  }
  let timer = setTimeout(close, stay);
  // A message stays while someone reads it or is about to press its button.
  const hold = () => clearTimeout(timer);
  const release = () => { clearTimeout(timer); timer = setTimeout(close, 2500); };
  for (const type of ["pointerenter", "focusin"]) node.addEventListener(type, hold);
  for (const type of ["pointerleave", "focusout"]) node.addEventListener(type, release);
  return close;
}

/** Shows an error with its code. A call that someone ended is no error. */
export function showError(error: unknown, doing: string): void {
  const { code, message } = (error ?? {}) as Partial<ErrorRecord>; // or an Error, of Heddle or not
  if (code === "HEDDLE_ABORTED") return;
  const reason = message ?? String(error);
  toast(`${doing}: ${reason}`, { kind: "error", stay: 12_000, ...(code ? { code } : {}) });
}
