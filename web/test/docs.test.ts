// The documentation: its links lead somewhere, nothing of it is hidden, and what it quotes is what stands in the file.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");
const docs = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
const pages = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "*.md", "llms.txt"],
  { cwd: root, encoding: "utf8" }).trim().split("\n");

/** The page without its code, in which brackets mean something else. */
const prose = (text: string) => text.replace(/^```.*?^```$/gms, "").replace(/`[^`]*`/g, "code");

/** The anchors of a page's headings, as GitHub makes them. */
const anchors = (text: string) => new Set([...text.replace(/^```.*?^```$/gms, "").matchAll(/^#+ (.*)$/gm)]
  .map(([, heading]) => heading!.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-")));

test("each link to a file of the repository leads to it, and to a heading that is there", () => {
  let links = 0;
  for (const page of pages) {
    for (const [, target] of prose(read(page)).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [path, anchor] = target!.split("#") as [string, string | undefined];
      const file = path === "" ? page : join(dirname(page), path);
      assert.ok(existsSync(join(root, file)), `${page}: ${target}`);
      if (anchor && file.endsWith(".md")) assert.ok(anchors(read(file)).has(anchor), `${page}: ${target}`);
      links++;
    }
  }
  assert.ok(links > 100, `${links} links`);
});

test("each page of docs/ is found from README.md and from llms.txt", () => {
  for (const start of ["README.md", "llms.txt"]) {
    const text = read(start);
    assert.deepEqual(docs.filter((page) => !text.includes(`(${page})`)), [], start);
  }
});

test("what a page quotes is what stands in the file", () => {
  let quotes = 0;
  for (const page of pages) {
    for (const [, file, code] of read(page).matchAll(/^<!-- (\S+) -->\n```\w*\n(.*?)^```$/gms)) {
      assert.equal(code, read(file!), `${page}: ${file}`);
      quotes++;
    }
  }
  assert.ok(quotes > 5, `${quotes} quotations`);
});
