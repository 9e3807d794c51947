// What a device knows of itself, each term explained where it stands.
import type { Database, SyncStatus } from "heddle";
import { useDatabase, useSyncStatus } from "heddle/react";
import { useEffect, useState, type ReactNode } from "react";
import { Cloth } from "./cloth.js";
import { elsewhere, useDevice } from "./devices.js";
import { Icon } from "./icons.js";
import { useObservable } from "./observable.js";
import { number } from "./places.js";
import { showError } from "./toasts.js";

interface Term { name: string; means: string }

export const STATES: { [state in SyncStatus["state"]]: Term } = {
  off: { name: "Sync is off", means: "The database was opened without sync." },
  bootstrapping: { name: "Fetching", means: "The state of the space is being fetched from the server. Writing works." },
  connecting: { name: "Connecting", means: "A request to the server is on its way." },
  live: { name: "In sync", means: "The server tells this device of each change as it comes." },
  offline: { name: "No network", means: "The server does not answer. It is tried again, and writing works meanwhile." },
  paused: { name: "Offline by switch", means: "Nothing is sent or fetched until the switch is turned back." },
  error: { name: "Sync has a problem", means: "Something that waiting alone may not mend. It is tried again." },
  stopped: { name: "Sync has stopped", means: "The database's contents, after an import, cannot be synced." },
};

const ROLES: { [role in Database["role"]]: Term } = {
  leader: { name: "Leader", means: "Of all tabs that have this database open, one leads, chosen by a Web Lock: its " +
    "worker holds the file and runs SQLite, and the other tabs send their statements there. When it is closed, " +
    "another one takes over." },
  follower: { name: "Follower", means: "Another tab of this browser leads: its worker holds the file, and this tab " +
    "sends its statements there. When that tab is closed, this one may take over." },
};

const STORAGES: { [storage in Database["storage"]]: Term } = {
  persistent: { name: "Persistent", means: "The browser has promised to keep this site's data until you clear it." },
  "best-effort": { name: "Best effort", means: "The browser has not promised to keep this site's data: it may delete " +
    "all of it when the disk is nearly full. It gives the promise to sites that are installed, bookmarked or used " +
    "often." },
  memory: { name: "Memory", means: "Nothing is kept: the data is gone with this tab." },
};

export function Facts() {
  const device = useDevice();
  const status = useSyncStatus();
  const { role, storage } = useSeldomChanged(device.db);
  const download = async () => {
    try {
      const file = new Blob([await device.db.export()], { type: "application/vnd.sqlite3" });
      const link = Object.assign(document.createElement("a"),
        { href: URL.createObjectURL(file), download: `notes-${device.name}.db` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      showError(error, "Download");
    }
  };
  return (
    <footer className="known">
      <Fact name="Waiting to be sent" value={number(status.pending)} id="pending">Transactions of this device that the
        server has not confirmed. They are in the file already: a reload keeps them.</Fact>
      <Fact name="Sequence number" value={number(status.seq)} id="seq">The server puts the transactions of all devices
        in one order and numbers them. This device has taken them in up to this one.</Fact>
      <Fact name="Sync" value={STATES[status.state].name} id="sync">{STATES[status.state].means}</Fact>
      <Fact name="This tab" value={ROLES[role].name} id="role">{ROLES[role].means}</Fact>
      <Fact name="Storage" value={STORAGES[storage].name} id="storage">{STORAGES[storage].means}</Fact>
      <div className="doors">
        <a className="quiet" href={location.href} target="_blank" rel="noopener"><Icon name="tab" />Second tab</a>
        <a className="quiet" href={elsewhere()} target="_blank" rel="noopener"><Icon name="device" />Third device</a>
        <button type="button" className="quiet" onClick={() => void download()}><Icon name="file" />The file</button>
      </div>
    </footer>
  );
}

/** A value, and behind it what it means. */
function Fact({ name, value, id, children }: { name: string; value: string; id: string; children: ReactNode }) {
  return (
    <details className="fact" data-fact={id}>
      <summary><span>{name}</span><b>{value}</b></summary>
      <p>{children}</p>
    </details>
  );
}

/** Who leads and what the browser has promised change without an event. */
function useSeldomChanged(db: Database): Pick<Database, "role" | "storage"> {
  const [now, setNow] = useState({ role: db.role, storage: db.storage });
  useEffect(() => {
    const look = () => setNow((before) => before.role === db.role && before.storage === db.storage ? before
      : { role: db.role, storage: db.storage });
    const timer = setInterval(look, 1000);
    return () => clearInterval(timer);
  }, [db]);
  return now;
}

/** How long things have to be quiet before the digest is worked out, in milliseconds. */
const QUIET_MS = 400;

/** The digest of the device's rows, as text and as a piece of cloth. */
export function Digest() {
  const device = useDevice();
  const db = useDatabase();
  const digest = useObservable(device.digest);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const work = () => void db.sync.digest().then((now) => device.digest.set(now), () => {}); // asked again at the next
    const soon = () => { clearTimeout(timer); timer = setTimeout(work, QUIET_MS); };
    const stops = [db.sync.on("status", soon), db.listen(null, soon), () => clearTimeout(timer)];
    soon();
    return () => stops.forEach((stop) => stop());
  }, [device, db]);
  return (
    <details className="fact digest" data-fact="digest" data-digest={digest?.digest} data-seq={digest?.seq}>
      <summary>
        <Cloth digest={digest && digest.seq > 0 ? digest.digest : ""} />
        <span>Digest</span><code>{digest ? digest.digest.slice(0, 8) : "…"}</code>
      </summary>
      <p>A hash over every synced row, as the server's order has it at sequence number {number(digest?.seq ?? 0)}; what
        waits to be sent is not in it. Two devices with the same digest hold the same rows. The pattern is drawn from
        it: the same cloth, the same data.</p>
    </details>
  );
}
