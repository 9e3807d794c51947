import { useEffect, useRef } from "react";
import { start } from "./notes.js";

// An effect that opens and closes, which StrictMode runs twice.
export function App() {
  const root = useRef(null);
  useEffect(() => {
    const opening = start(root.current);
    return () => void opening.then((db) => db.close());
  }, []);
  return <><h1>Notes</h1><div ref={root} /></>;
}
