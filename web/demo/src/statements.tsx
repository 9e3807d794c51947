// The SQL of a device's last actions.
import type { SqlValue } from "heddle";
import { useDevice } from "./devices.js";
import { useObservable } from "./observable.js";

const LONGEST = 40;

function literal(value: SqlValue): string {
  if (typeof value !== "string") return value instanceof Uint8Array ? `${value.length} bytes` : String(value);
  return JSON.stringify(value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value);
}

export function Statements() {
  const device = useDevice();
  const statements = useObservable(device.statements);
  return (
    <ol className="statements" aria-label={`SQL that ${device.title} has run, newest first`} tabIndex={0}>
      {statements.map(({ id, sql, params, outcome }) => (
        <li key={id}>
          <code>{sql}</code>
          <span>{params.length > 0 && `[${params.map(literal).join(", ")}]`} → {outcome}</span>
        </li>
      ))}
    </ol>
  );
}
