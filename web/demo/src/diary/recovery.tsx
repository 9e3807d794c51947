// The code on paper. It counts once a part of it was typed back: then it is on paper.
import type { Member, SealedSpace } from "heddle/sealed";
import { useState } from "react";
import { showToast } from "../toasts.js";
import { addressOf, inWords, type Place } from "./device.js";
import { Row } from "./devices.js";

export function Recovery({ space, at, members, changed }: {
  space: SealedSpace; at: Place; members: readonly Member[]; changed: () => void;
}) {
  const [code, setCode] = useState("");
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const codes = members.filter((member) => member.code);
  const make = async () => {
    setBusy(true);
    try {
      setCode(await space.newRecoveryCode());
      changed();
    } catch (error) {
      showToast(inWords(error), { error: true });
    } finally {
      setBusy(false);
    }
  };
  const last = code.slice(-4);
  const kept = () => {
    setCode("");
    setTyped("");
    showToast("Good. Keep the paper where you keep what matters.");
  };
  return (
    <section className="panel" aria-label="Recovery code">
      <h2>If you lose all devices</h2>
      {!code && codes.length === 0 && <p>Then nobody can open the diary, not even who runs the server. A code on paper
        is the way back.</p>}
      {!code && codes.length > 0 &&
        <ul className="members">{codes.map((member) => <Row key={member.id} {...{ member, space, changed }} />)}</ul>}
      {!code && <button type="button" className={codes.length ? "quiet" : "primary"} disabled={busy}
        onClick={() => void make()}>{codes.length ? "Make another code" : "Make a recovery code"}</button>}
      {code && <form className="sheet" onSubmit={(event) => { event.preventDefault(); kept(); }}>
        <p>Write both on paper. They are shown this once.</p>
        <dl><dt>Address</dt><dd>{addressOf({ ...at, device: "1" })}</dd>
          <dt>Code</dt><dd className="code" data-code={code}>{code}</dd></dl>
        <label>Type the last four symbols from your paper
          <input value={typed} maxLength={4} required autoComplete="off" spellCheck={false}
            onInput={(event) => setTyped(event.currentTarget.value.toUpperCase())} /></label>
        <button className="primary" disabled={typed !== last}>It is on paper</button>
      </form>}
    </section>
  );
}
