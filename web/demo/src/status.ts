// "This device": what Heddle knows about itself.
import type { Database, SyncStatus } from "heddle";
import { cloth } from "./cloth.js";
import { deviceName, secondDevice } from "./database.js";
import { byId, debounce, h, number } from "./dom.js";
import { icon } from "./icons.js";
import { showError, toast } from "./toast.js";

const states: { [state in SyncStatus["state"]]: string } = {
  off: "Sync is off", bootstrapping: "Fetching…", connecting: "Connecting…", live: "In sync", offline: "No network",
  paused: "Offline, by your switch", error: "Sync has a problem", stopped: "Sync has stopped",
};
const roles = {
  leader: "Leader: this tab's worker holds the file",
  follower: "Follower: another tab holds the file",
};
const storages = {
  persistent: "Persistent: kept until you clear it",
  "best-effort": "Best effort: the browser may clear it when space runs out",
  memory: "Memory: gone with this tab",
};

export function startStatus(db: Database): void {
  const panel = byId("device");
  const weave = h("div", { class: "weave" }, cloth(""));
  const hash = h("code", { id: "digest", title: "The digest of all synced rows" }, "–");
  const again = h("button", { type: "button", class: "icon", "aria-label": "Work out the digest now",
    onclick: () => void digest(true) }, icon("refresh"));
  const value = (id: string) => h("dd", { id });
  const role = value("role"), storage = value("storage"), pending = value("pending"), seq = value("seq");
  const state = h("span", { id: "sync-state" });
  const summary = h("span", { class: "summary-facts" });
  const toggle = h("button",
    { type: "button", class: "summary", "aria-expanded": "false", "aria-controls": "device-more",
    onclick: () => {
      const open = panel.classList.toggle("open");
      toggle.setAttribute("aria-expanded", String(open));
    } }, h("span", { class: "dot" }), state, summary, icon("up"));
  const offline = h("input", { type: "checkbox", role: "switch", id: "offline", onchange: () => void plug() });

  panel.append(toggle, h("div", { class: "more", id: "device-more" },
    weave,
    h("div", { class: "hash" }, h("span", {}, "digest"), hash, again),
    h("dl", {},
      h("div", {}, h("dt", {}, "Waiting to be sent"), pending),
      h("div", {}, h("dt", {}, "Sequence number"), seq),
      h("div", {}, h("dt", {}, "Tab"), role),
      h("div", {}, h("dt", {}, "Storage"), storage),
      h("div", {}, h("dt", {}, "Device"), h("dd", {}, deviceName()))),
    h("label", { class: "switch", for: "offline" }, h("span", {}, "Offline"), offline),
    h("div", { class: "doors" },
      h("a", { class: "quiet", href: location.href, target: "_blank", rel: "noopener", id: "second-tab" }, icon("tab"),
        "Second tab"),
      h("a", { class: "quiet", href: secondDevice().href, target: "_blank", rel: "noopener", id: "second-device" },
        icon("device"), "Second device"))));

  const show = () => {
    const now = db.sync.status;
    panel.dataset["state"] = now.state;
    state.textContent = states[now.state];
    summary.textContent = now.pending ? `${number(now.pending)} waiting` : `seq ${number(now.seq)}`;
    pending.textContent = number(now.pending);
    pending.classList.toggle("some", now.pending > 0);
    seq.textContent = number(now.seq);
    for (const [node, value, words] of [[role, db.role, roles[db.role]],
      [storage, db.storage, storages[db.storage]]] as const) {
      const [name, more] = words.split(": ");
      node.dataset["value"] = value;
      node.textContent = name!;
      node.title = more!;
    }
    offline.checked = now.state === "paused";
  };

  let shown = "", asking = false, dirty = false;
  const digest = async (asked = false) => {
    if (asking) { dirty = true; return; }
    asking = true;
    dirty = false;
    weave.classList.toggle("working", asked);
    try {
      const { digest: now, seq: at } = await db.sync.digest();
      if (now !== shown) {
        shown = now;
        weave.replaceChildren(cloth(at === 0 ? "" : now));
        hash.textContent = now.slice(0, 8);
      }
      hash.dataset["digest"] = now;
      hash.dataset["seq"] = String(at);
      hash.title = `${now} at sequence number ${at}`;
    } catch (error) {
      if (asked) showError(error, "Digest");
    } finally {
      asking = false;
      weave.classList.remove("working");
      if (dirty) quiet();
    }
  };
  const quiet = debounce(400, () => void digest());

  const plug = async () => {
    offline.disabled = true;
    try {
      await (offline.checked ? db.sync.pause() : db.sync.resume());
    } catch (error) {
      showError(error, "Sync");
    } finally {
      offline.disabled = false;
      show();
    }
  };

  let lastError = "";
  db.sync.on("status", (now) => {
    show();
    quiet();
    const code = now.state === "error" || now.state === "stopped" ? now.lastError?.code ?? "" : "";
    if (code && code !== lastError) showError(now.lastError, "Sync");
    lastError = code;
  });
  db.sync.on("rejected", (refused) => {
    toast(`The server refused a change: ${refused.message}`, { kind: "error", code: refused.code, stay: 15_000 });
  });
  db.sync.on("conflict", (conflict) => {
    toast(`Another device had deleted what you changed in ${conflict.table}`, { code: conflict.kind });
  });
  db.listen(null, quiet);
  // Who leads changes without an event when another tab goes.
  setInterval(() => { if (!document.hidden) show(); }, 1000);
  document.addEventListener("visibilitychange", show);
  show();
  quiet();
}
