// Who can open the diary: devices and codes, a new device, and the removal of one.
import type { Invitation, Member, SealedSpace } from "heddle/sealed";
import { useState } from "react";
import { showToast } from "../toasts.js";
import { addressOfNew, inWords, type Place } from "./device.js";
import { Digits } from "./door.js";

interface DevicesProps { space: SealedSpace; at: Place; members: readonly Member[]; changed: () => void }

export function Devices({ space, at, members, changed }: DevicesProps) {
  const devices = members.filter(({ code }) => !code);
  return (
    <section className="panel" aria-label="Devices">
      <h2>Your devices</h2>
      <ul className="members">
        {devices.map((member) => <Row key={member.id} {...{ member, space, changed }} />)}
      </ul>
      <Invite {...{ space, at, changed }} />
    </section>
  );
}

export function Row({ member, space, changed }: { member: Member; space: SealedSpace; changed: () => void }) {
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const name = member.code ? "A recovery code on paper" : member.name;
  const remove = async () => {
    setBusy(true);
    try {
      await space.remove(member.id);
      changed();
    } catch (error) {
      showToast(inWords(error), { error: true });
    } finally {
      setBusy(false);
      setAsking(false);
    }
  };
  return (
    <li>
      <span className="name">{name}{member.self && <em> this device</em>}</span>
      {!member.self && !asking &&
        <button type="button" className="quiet" onClick={() => setAsking(true)} aria-label={`Remove ${name}`}>
          Remove</button>}
      {asking && <div className="ask" role="group" aria-label={`Remove ${name}?`}>
        <p>{member.code ? "The paper will open nothing any more."
          : "It keeps what it has read. It gets nothing of what you write from now on."}</p>
        <button type="button" className="primary" disabled={busy} onClick={() => void remove()}>Remove it</button>
        <button type="button" className="quiet" disabled={busy} onClick={() => setAsking(false)}>Keep it</button>
      </div>}
    </li>
  );
}

function Invite({ space, at, changed }: Omit<DevicesProps, "members">) {
  const [invite, setInvite] = useState<Invitation>();
  const [link, setLink] = useState("");
  const [guest, setGuest] = useState<{ name: string; digits: string }>();
  const [confirmed, setConfirmed] = useState(false);
  const begin = async () => {
    const invite = space.invite({ role: "admin", url: addressOfNew(at) });
    setInvite(invite);
    invite.link.then(setLink, () => {});
    invite.joining.then(setGuest, () => {});
    try {
      await invite.done;
      showToast("The device is in. It gets the whole diary now.");
      changed();
    } catch (error) {
      const words = inWords(error);
      if (words) showToast(words, { error: true });
    } finally {
      setInvite(undefined);
      setLink("");
      setGuest(undefined);
      setConfirmed(false);
    }
  };
  if (!invite) {
    return <button type="button" className="primary" onClick={() => void begin()}>Add a device</button>;
  }
  if (guest) {
    return (
      <div className="invite" role="group" aria-label="A device wants to come in">
        <h3>“{guest.name}” wants to come in</h3>
        <p>Look at that device. Does it show this number?</p>
        <Digits digits={guest.digits} />
        <div className="row">
          <button type="button" className="primary" disabled={confirmed}
            onClick={() => { setConfirmed(true); invite.confirm(); }}>Yes, let it in</button>
          <button type="button" className="quiet" disabled={confirmed} onClick={invite.cancel}>No</button>
        </div>
      </div>
    );
  }
  return (
    <div className="invite">
      <p>Open this link on the other device. It is good for one device, and for ten minutes. Send it where only you
        read it.</p>
      <label>Link<input readOnly value={link} onFocus={(event) => event.currentTarget.select()} /></label>
      <div className="row">
        <button type="button" className="quiet" disabled={!link}
          onClick={() => void navigator.clipboard.writeText(link).then(() => showToast("The link is copied."))}>
          Copy</button>
        {link && <a className="quiet" href={link} target="_blank" rel="noopener">Open a second device here</a>}
        <button type="button" className="quiet" onClick={invite.cancel}>Cancel</button>
      </div>
    </div>
  );
}
