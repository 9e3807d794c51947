// The demo: one app on two devices in one page.
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Conflict } from "./conflict.js";
import { names, openDevice, type Device } from "./devices.js";
import { startOffline } from "./offline.js";
import { Pane } from "./pane.js";
import { startTheme } from "./theme.js";
import { Toasts } from "./toasts.js";
import "./style/base.css";
import "./style/page.css";
import "./style/device.css";
import "./style/notes.css";
import "./style/places.css";

// Begun once, whatever mounts: StrictMode mounts everything twice in development.
let blocked = (_message: string): void => {};
const opening = Promise.all(names.map((name) => openDevice(name, (message) => blocked(message))));

const tell = (state: "open" | "failed") => { document.documentElement.dataset["ready"] = state; };

function App() {
  const [devices, setDevices] = useState<readonly Device[]>();
  const [failure, setFailure] = useState("");
  const [waiting, setWaiting] = useState("");
  useEffect(() => {
    blocked = setWaiting;
    opening.then(setDevices, (error: unknown) => setFailure(error instanceof Error ? error.message : String(error)));
  }, []);
  useEffect(() => {
    if (devices) tell("open");
    if (failure) tell("failed");
  }, [devices, failure]);
  const [a, b, more] = devices ?? [];
  return (
    <>
      {a && b && !more && <Conflict devices={[a, b]} />}
      {!devices && !failure && <p className="opening" role="status">
        {waiting || "Opening SQLite. The first time, about 2 MB are loaded."}<progress aria-hidden="true" /></p>}
      {failure && <div className="opening" role="alert"><h2>The database did not open</h2><p>{failure}</p>
        <p><a href="check/">See what this browser lacks</a></p></div>}
      {!failure && <div className="devices" data-count={names.length}>
        {devices ? devices.map((device) => <Pane key={device.name} device={device} />)
          : names.map((name) => <div key={name} className="device blank" aria-hidden="true" />)}
      </div>}
      <Toasts />
    </>
  );
}

startTheme();
startOffline();
createRoot(document.getElementById("app")!).render(<StrictMode><App /></StrictMode>);
