// The examples of docs/FRAMEWORKS.md, as they stand there.
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "../fixtures.js";
import { root } from "../harness.js";
import { bundle } from "./bundle.js";

let dir: string, sections: Map<string, string>;
test.beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "heddle-docs-"));
  const text = await readFile(join(root, "docs/FRAMEWORKS.md"), "utf8");
  sections = new Map(text.split(/^## /m).map((section) => [section.split("\n", 1)[0]!, section]));
});
test.afterAll(() => rm(dir, { recursive: true, force: true }));

for (const framework of ["React", "Vue", "Svelte", "Solid"]) {
  test(`the example for ${framework} runs`, async ({ profile, serve }) => {
    const from = join(dir, framework);
    await mkdir(from);
    // Each block begins with a comment that names its file.
    const blocks = [...sections.get(framework)!.matchAll(/^```\w+\n(?:\/\/|<!--) (\S+)(?: -->)?\n(.*?)^```$/gms)];
    for (const [, name, code] of blocks) await writeFile(join(from, name!), code!);
    const main = blocks.map(([, name]) => name!).find((name) => name.startsWith("main."))!;
    const url = await serve({ mounts: { "/": await bundle(join(from, main), "production", join(from, "out")) } });
    const { context } = await profile(), page = await context.newPage(), other = await context.newPage();
    for (const each of [page, other]) {
      await each.goto(url);
      await expect(each.locator("ul")).toHaveCount(1);
    }
    await page.getByRole("button", { name: "Add" }).click();
    for (const each of [page, other]) {
      await expect(each.locator("li")).toHaveText(["new"]);
      await expect(each.locator("p")).toHaveCount(0);
    }
  });
}
