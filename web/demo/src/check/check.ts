// /check: tries what Heddle needs of the visitor's browser, and prints a report for an issue.
import { CHECKS, cleanUp, type Check } from "./checks.js";
import "../style/base.css";
import "../style/page.css";
import "../style/check.css";

declare const HEDDLE_VERSION: string;

/** How long a check may take, in milliseconds. */
const LIMIT_MS = 30_000;

type Result = "waits" | "runs" | "works" | "missing" | "fails" | "skipped";

interface Line { check: Check; result: Result; says: string; ms: number }

const WORDS: { [result in Result]: string } = {
  waits: "waits", runs: "being tried", works: "works", missing: "missing", fails: "fails", skipped: "not tried",
};

const element = (id: string) => document.getElementById(id)!;
const report = element("report") as HTMLTextAreaElement;
const copy = element("copy") as HTMLButtonElement, again = element("again") as HTMLButtonElement;

/** Runs the check within its time; its signal aborts at the end, however it ends. */
async function bounded({ run }: Check): Promise<string> {
  const ended = new AbortController();
  const database = `check-${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}`;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`There was no answer within ${LIMIT_MS / 1000} seconds.`)), LIMIT_MS);
  });
  try {
    return await Promise.race([run({ signal: ended.signal, database }), late]);
  } finally {
    clearTimeout(timer);
    ended.abort(new Error("the check has ended"));
    // It is another check's matter whether files can be had, and of none whether they can be removed.
    void cleanUp(database).catch(() => {});
  }
}

async function runAll(): Promise<void> {
  document.documentElement.dataset["ready"] = "checking";
  copy.disabled = again.disabled = true;
  const lines = CHECKS.map((check): Line => ({ check, result: "waits", says: "", ms: 0 }));
  show(lines);
  for (const line of lines) {
    const missing = line.check.needs.find((name) => lines.some(({ check, result }) =>
      check.name === name && result !== "works"));
    if (missing !== undefined) {
      Object.assign(line, { result: "skipped", says: `Not tried, since it needs: ${missing}.` });
      continue;
    }
    line.result = "runs";
    show(lines);
    const began = performance.now();
    try {
      line.says = await bounded(line.check);
      line.result = "works";
    } catch (error) {
      line.says = error instanceof Error ? error.message : String(error);
      line.result = line.check.optional ? "missing" : "fails";
    }
    line.ms = performance.now() - began;
  }
  show(lines);
  element("verdict").textContent = verdict(lines);
  element("verdict").dataset["result"] = lines.some(bad) ? "fails" : "works";
  report.value = text(lines);
  copy.disabled = again.disabled = false;
  document.documentElement.dataset["ready"] = lines.some(bad) ? "failed" : "works";
}

const bad = ({ result }: Line) => result === "fails" || result === "skipped";

function verdict(lines: readonly Line[]): string {
  const failed = lines.filter(bad).length, missing = lines.filter(({ result }) => result === "missing").length;
  if (failed > 0) return `Heddle does not work here: ${failed} of ${lines.length} checks failed or were not tried.`;
  return missing > 0 ? "Heddle works here, with less than it could use." : "Heddle works here.";
}

function show(lines: readonly Line[]): void {
  element("checks").replaceChildren(...lines.map(({ check, result, says }) => {
    const item = document.createElement("li");
    item.dataset["result"] = result;
    for (const [tag, words] of [["strong", check.name], ["em", WORDS[result]], ["span", says]] as const) {
      item.append(Object.assign(document.createElement(tag), { textContent: words }));
    }
    return item;
  }));
}

/** The report, as text in a fence of Markdown. */
function text(lines: readonly Line[]): string {
  const { userAgent, hardwareConcurrency: cores } = navigator;
  const memory = (navigator as { deviceMemory?: number }).deviceMemory;
  return ["```", `Heddle ${HEDDLE_VERSION}, check of ${new Date().toISOString()}`, userAgent,
    `${cores} cores${memory ? `, ${memory} GiB` : ""}, ${crossOriginIsolated ? "" : "not "}cross-origin isolated`, "",
    ...lines.map(({ check, result, says, ms }) =>
      `${WORDS[result].padEnd(9)}  ${check.name}: ${says}${ms > 0 ? ` (${ms.toFixed(0)} ms)` : ""}`),
    "", verdict(lines), "```", ""].join("\n");
}

again.addEventListener("click", () => void runAll());
copy.addEventListener("click", () => {
  const told = (words: string) => {
    copy.textContent = words;
    setTimeout(() => { copy.textContent = "Copy"; }, 2500);
  };
  report.select();
  navigator.clipboard.writeText(report.value).then(() => told("Copied"), () => told("Selected: copy it"));
});
void runAll();
