// The project's documentation as pages beside the demo, so that its links lead somewhere wherever it is served.

import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, normalize } from "node:path";
import { Marked } from "marked";

/** GitHub's name for a heading. */
const slug = (text) => text.toLowerCase().replace(/<[^>]*>|[^\p{L}\p{N} _-]/gu, "").trim().replaceAll(" ", "-");

const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** Writes each of the project's Markdown pages to `to`: README as index.html, the package's as package.html. */
export async function writeDocs(root, to, { source }) {
  const inside = (await readdir(join(root, "docs"), { recursive: true })).map((name) => join("docs", name));
  const all = [...(await readdir(root)), ...inside].filter((name) => name.endsWith(".md"));
  const pages = new Map(all.map((path) => [path, path.replace(/^docs\//, "").replaceAll("/", "-")
    .replace(/\.md$/, ".html")]));
  pages.set("README.md", "index.html").set("web/README.md", "package.html");
  const pictures = inside.filter((name) => name.endsWith(".svg"));
  await mkdir(to, { recursive: true });
  for (const path of pictures) await copyFile(join(root, path), join(to, basename(path)));

  for (const [path, page] of pages) {
    // A link to another page leads there; one to a file of the project, to its source.
    const target = (href) => {
      if (/^([a-z]+:|#)/.test(href)) return href;
      const [file, anchor] = href.split("#");
      const named = normalize(join(dirname(path), file)).replace(/\/$/, "");
      const found = pages.get(named) ?? (pictures.includes(named) ? basename(named) : undefined);
      return found === undefined ? `${source}/${named}` : found + (anchor ? `#${anchor}` : "");
    };
    const marked = new Marked({
      walkTokens(token) {
        if (token.type === "link" || token.type === "image") token.href = target(token.href);
      },
      renderer: {
        heading({ tokens, depth, text }) {
          return `<h${depth} id="${slug(text)}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
        },
        // What may scroll has to be reached by the keyboard.
        code: ({ text }) => `<pre tabindex="0"><code>${escaped(text)}</code></pre>\n`,
        table(token) {
          const row = (cells, tag) => `<tr>${cells.map((cell) =>
            `<${tag}>${this.parser.parseInline(cell.tokens)}</${tag}>`).join("")}</tr>`;
          const body = token.rows.map((cells) => row(cells, "td")).join("\n");
          return `<div class="table" tabindex="0"><table><thead>${row(token.header, "th")}</thead>` +
            `<tbody>${body}</tbody></table></div>\n`;
        },
      },
    });
    const text = await readFile(join(root, path), "utf8");
    const title = /^# (.*)/m.exec(text)?.[1] ?? path;
    await writeFile(join(to, page), frame(title, await marked.parse(text)));
  }
}

const frame = (title, body) => `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>${escaped(title)} – Heddle</title>
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <link rel="icon" href="../icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="../docs.css">
</head>
<body>
  <header class="top">
    <a class="brand" href="../"><img src="../icon.svg" alt="" width="34" height="34">Heddle</a>
    <nav aria-label="More of Heddle"><a href="./">Docs</a> <a href="../">Demo</a>
      <a href="../check/">Browser check</a></nav>
  </header>
  <main>
${body}
  </main>
</body>
</html>
`;
