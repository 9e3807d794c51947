// A diary in a sealed space: begun on one device, shared with others, recovered from paper.
import { HeddleProvider, useSyncStatus } from "heddle/react";
import type { Member } from "heddle/sealed";
import { useCallback, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { startTheme } from "../theme.js";
import { Toasts, showError } from "../toasts.js";
import { forget, inWords, openDiary, place, type Opened } from "./device.js";
import { Devices } from "./devices.js";
import { Door } from "./door.js";
import { Entries } from "./entries.js";
import { Recovery } from "./recovery.js";
import "../style/base.css";
import "../style/page.css";
import "../style/diary.css";

const at = place();
const opening = openDiary(at);

const tell = (state: string) => { document.documentElement.dataset["ready"] = state; };

function App() {
  const [opened, setOpened] = useState<Opened>();
  const [failure, setFailure] = useState("");
  useEffect(() => void opening.then(setOpened, (error: unknown) => {
    setFailure(inWords(error));
    tell("failed");
  }), []);
  return (
    <>
      {failure && <div className="opening" role="alert"><h2>The diary did not open</h2><p>{failure}</p></div>}
      {!opened && !failure && <p className="opening" role="status">Opening<progress aria-hidden="true" /></p>}
      {opened && <HeddleProvider db={opened.db}><Home opened={opened} /></HeddleProvider>}
      <Toasts />
    </>
  );
}

/** Before the door, or inside. */
function Home({ opened }: { opened: Opened }) {
  const { seq, lastError } = useSyncStatus();
  const [members, setMembers] = useState<readonly Member[]>();
  const look = useCallback(async () => {
    try {
      setMembers(await opened.space.members());
      tell("inside");
    } catch (error) {
      setMembers([]);
      tell("locked");
      if ((error as { code?: string }).code !== "HEDDLE_LOCKED") showError(error, "Members");
    }
  }, [opened]);
  useEffect(() => void look(), [look, seq, lastError?.code]);
  if (!members) return null;
  if (document.documentElement.dataset["ready"] !== "inside") {
    return <Door opened={opened} at={at} entered={() => void look()} />;
  }
  const changed = () => void look();
  return (
    <div className="rooms">
      <div>
        <Trouble opened={opened} code={lastError?.code} />
        <Entries />
      </div>
      {lastError?.code !== "HEDDLE_REMOVED" && <div>
        <Devices space={opened.space} at={at} members={members} changed={changed} />
        <Recovery space={opened.space} at={at} members={members} changed={changed} />
      </div>}
    </div>
  );
}

/** What is wrong for longer, and what one can do. */
function Trouble({ opened, code }: { opened: Opened; code: string | undefined }) {
  const [busy, setBusy] = useState(false);
  if (code !== "HEDDLE_REMOVED" && code !== "HEDDLE_TAMPERED") return null;
  const leave = async () => {
    setBusy(true);
    try {
      await forget(opened, at);
    } catch (error) {
      setBusy(false);
      showError(error, "Leaving");
    }
  };
  return (
    <section className="panel trouble" role="alert">
      {code === "HEDDLE_REMOVED" ? <>
        <h2>This device was removed</h2>
        <p>What it has read is still here. It gets nothing that is written elsewhere from now on, and what you write
          here stays here.</p>
      </> : <>
        <h2>Something is wrong with the server</h2>
        <p>It shows this device another past than the one that the device knows. Perhaps it was put back to an older
          copy, perhaps somebody meddles with it. Your diary here is as you left it, and you can go on writing. Nothing
          is sent or taken until the server is right again; ask who runs it.</p>
      </>}
      <div className="row">
        <Save opened={opened} />
        <button type="button" className="quiet" disabled={busy} onClick={() => void leave()}>Erase the diary from this
          device</button>
      </div>
    </section>
  );
}

function Save({ opened: { db } }: { opened: Opened }) {
  const save = async () => {
    try {
      const rows = await db.query<{ created: number; text: string }>(`SELECT created, text FROM entries ORDER BY id`);
      const text = rows.map((row) => `${new Date(row.created).toISOString()}\n${row.text}\n`).join("\n");
      const link = Object.assign(document.createElement("a"),
        { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: "diary.txt" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      showError(error, "Saving");
    }
  };
  return <button type="button" className="primary" onClick={() => void save()}>Save it as a text</button>;
}

startTheme();
createRoot(document.getElementById("app")!).render(<App />);
