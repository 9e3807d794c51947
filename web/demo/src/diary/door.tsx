// How a device comes into the diary: it begins one, is let in by another device, or has the recovery code.
import { hasLink } from "heddle/sealed";
import { useState, type ReactNode } from "react";
import { addressOf, inWords, type Opened, type Place } from "./device.js";

interface DoorProps { opened: Opened; at: Place; entered: () => void }

/** The two halves of a number are easier to compare. */
export const Digits = ({ digits }: { digits: string }) =>
  <output className="digits" aria-label={digits.split("").join(" ")}>{digits.slice(0, 3)} {digits.slice(3)}</output>;

export function Door(props: DoorProps) {
  const [linked] = useState(() => hasLink(location.href));
  return linked ? <Join {...props} /> : <><Begin {...props} /><Recover {...props} /></>;
}

const guess = () => (matchMedia("(max-width: 700px)").matches ? "My phone" : "My laptop");

/** A form with the device's name that does one thing. */
function Named({ title, button, children, run }: {
  title: string; button: string; children?: ReactNode; run: (name: string) => Promise<void>;
}) {
  const [name, setName] = useState(guess);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const submit = async () => {
    setBusy(true);
    setProblem("");
    try {
      await run(name.trim());
    } catch (error) {
      setProblem(inWords(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="panel" aria-label={title} onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      <h2>{title}</h2>
      {children}
      <label>A name for this device, which your other devices see
        <input value={name} required maxLength={60} autoComplete="off"
          onInput={(event) => setName(event.currentTarget.value)} /></label>
      {problem && <p role="alert" className="problem">{problem}</p>}
      <button className="primary" disabled={busy}>{button}</button>
    </form>
  );
}

const Begin = ({ opened, entered }: DoorProps) => (
  <Named title="Begin a diary" button="Begin" run={async (name) => {
    await opened.space.create(name);
    entered();
  }}>
    <p>The key to it is made here and stays here. You can let in other devices later.</p>
  </Named>
);

function Recover({ opened, entered }: DoorProps) {
  const [code, setCode] = useState("");
  return (
    <Named title="I have a recovery code" button="Open my diary" run={async (name) => {
      await opened.space.unlock(code, name);
      entered();
    }}>
      <p>For when your devices are lost. Open the address that you wrote down beside it.</p>
      <label>The code from your paper
        <textarea rows={2} value={code} required autoComplete="off" autoCapitalize="characters" spellCheck={false}
          placeholder="XXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XXXX" onInput={(event) => setCode(event.currentTarget.value)} />
      </label>
    </Named>
  );
}

function Join({ opened, at, entered }: DoorProps) {
  const [digits, setDigits] = useState("");
  return (
    <>
      <Named title="Add this device to your diary" button="Continue" run={async (name) => {
        const joining = opened.space.join(location.href, name);
        joining.digits.then(setDigits, () => {});
        try {
          await joining.done;
        } catch (error) {
          setDigits("");
          throw error;
        }
        history.replaceState(null, "", addressOf(at)); // the link counts once
        entered();
      }}>
        <p>You have opened a link from another device.</p>
      </Named>
      {digits && <section className="panel" aria-live="polite">
        <h2>Look at your other device</h2>
        <p>Does it show this number? Then press “Yes” there. If it shows another one, press “No”: somebody else has
          opened your link.</p>
        <Digits digits={digits} />
      </section>}
    </>
  );
}
