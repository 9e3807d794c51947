// The table, docs/BENCHMARKS.md and its chart, from the results.
import { another, figures } from "./configurations.js";
import { chart } from "./chart.js";
import { comparable } from "./comparable.js";

const show = (n) => n >= 1000 ? Math.round(n).toLocaleString("en") : n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1)
  : n.toFixed(2);

export function report(results, all) {
  const heddle = all.find(({ key }) => key === "heddle");
  const peers = all.filter(({ key }) => key !== "heddle" && key !== another.key);
  const head = ["work", "unit", ...all.map(({ title }) => title), "Heddle ÷ best peer", "goal"];
  const lines = figures.map(({ key, name, unit, more, goal }) => {
    const bestOf = (list) => {
      const values = list.map((p) => p.figures[key]).filter((v) => Number.isFinite(v) && v > 0);
      return values.length ? (more ? Math.max(...values) : Math.min(...values)) : undefined;
    };
    const best = bestOf(peers), besides = bestOf(peers.filter((p) => !p.onPage));
    const mine = heddle?.figures[key];
    const ratio = (to) => Number.isFinite(mine) && to !== undefined ? show(mine / to) : "–";
    const cell = (c) => {
      const value = c.figures[key];
      if (!Number.isFinite(value)) return failed(c, key) ? "failed" : "–";
      return value === best ? `**${show(value)}**` : show(value);
    };
    return [`${name} ${more ? "↑" : "↓"}`, unit, ...all.map(cell),
      best === besides ? ratio(best) : `${ratio(best)}; in a worker ${ratio(besides)}`, goal ?? ""];
  });
  const table = [head, head.map((_, i) => i === 0 || i === 1 ? "---" : "---:"), ...lines]
    .map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  const errors = all.flatMap(({ title, errors }) => Object.entries(errors).map(([step, list]) =>
    `- ${title}, ${step}${list.length > 1 ? `, ${list.length} times` : ""}: ${list[0].replaceAll("|", "\\|")}`));
  const whole = [table, ...(errors.length ? ["", "What failed, and what it said:", "", ...errors] : [])].join("\n");
  return { table: whole, chart: chart(all), document: comparable(results, all, whole) };
}

/** Which step a figure is from, to find its error. */
const stepOf = { commitP50: "commits", commitP95: "commits", lookupP50: "lookups", lookupP95: "lookups",
  block: "objects", first: "objects", cold: "open",
  warm: "read" };

function failed({ errors }, key) {
  const steps = [key, stepOf[key], ...(key === "memory" ? [] : ["open", "run"]),
    ...(key === "liveThere" ? ["liveListen", "liveSend"] : [])];
  return steps.some((step) => step && errors[step]);
}
