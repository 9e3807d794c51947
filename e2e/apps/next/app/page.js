"use client";
import { useEffect, useRef } from "react";
import { start } from "./notes.js";

export default function Page() {
  const root = useRef(null);
  useEffect(() => {
    const opening = start(root.current);
    return () => void opening.then((db) => db.close());
  }, []);
  return <main><h1>Notes</h1><div ref={root} /></main>;
}
