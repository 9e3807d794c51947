// Short messages at the edge of the screen.
import type { ErrorRecord } from "heddle";
import { Icon } from "./icons.js";
import { Observable, useObservable } from "./observable.js";

interface Toast {
  id: number;
  text: string;
  code?: string | undefined;
  error?: boolean | undefined;
  action?: { label: string; run: () => void } | undefined;
  /** How long it stays, in milliseconds. */
  stay?: number | undefined;
}

const toasts = new Observable<readonly Toast[]>([]);
const timers = new Map<number, ReturnType<typeof setTimeout>>();
let last = 0;

function close(id: number): void {
  clearTimeout(timers.get(id));
  timers.delete(id);
  toasts.set(toasts.get().filter((toast) => toast.id !== id));
}

function closeIn(id: number, ms: number): void {
  clearTimeout(timers.get(id));
  if (Number.isFinite(ms)) timers.set(id, setTimeout(() => close(id), ms));
}

export function showToast(text: string, more: Omit<Toast, "id" | "text"> = {}): void {
  const id = ++last;
  toasts.set([...toasts.get(), { id, text, ...more }]);
  closeIn(id, more.stay ?? 6000);
}

/** Shows an error with its code. A call that someone ended is no error. */
export function showError(error: unknown, doing: string): void {
  const { code, message } = (error ?? {}) as Partial<ErrorRecord>; // or an Error, of Heddle or not
  if (code === "HEDDLE_ABORTED") return;
  showToast(`${doing}: ${message ?? String(error)}`, { error: true, stay: 12_000, code });
}

/** The messages. One stays while someone reads it or is about to press its button. */
export function Toasts() {
  return (
    <div className="toasts" aria-live="polite">
      {useObservable(toasts).map(({ id, text, code, error, action, stay = 6000 }) => (
        <div key={id} className="toast" role={error ? "alert" : "status"}
          onPointerEnter={() => closeIn(id, Infinity)} onFocus={() => closeIn(id, Infinity)}
          onPointerLeave={() => closeIn(id, stay)} onBlur={() => closeIn(id, stay)}>
          {code && <code>{code}</code>}
          <p>{text}</p>
          {action &&
            <button type="button" className="link" onClick={() => { close(id); action.run(); }}>{action.label}</button>}
          <button type="button" className="icon" aria-label="Close the message" onClick={() => close(id)}>
            <Icon name="close" /></button>
        </div>
      ))}
    </div>
  );
}
