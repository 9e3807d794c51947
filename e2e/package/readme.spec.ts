// The package's README as a stranger follows it: an empty folder with Vite 7, the first block of code, two tabs and a
// reload.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "../apps/install.js";
import { end, run, start } from "../apps/processes.js";
import { expect, test } from "../fixtures.js";
import { freePort, root } from "../harness.js";

test("the first example works in an empty folder with Vite 7", async ({ profile }) => {
  const readme = await readFile(join(root, "web/README.md"), "utf8");
  const [, install] = /^```sh\n(.*?)\n```$/ms.exec(readme)!;
  const [, code] = /^```js\n(.*?)^```$/ms.exec(readme)!;
  expect(install).toBe("npm install heddle");

  const dir = await mkdtemp(join(tmpdir(), "heddle-readme-"));
  const port = await freePort();
  let server: ReturnType<typeof start> | undefined;
  try {
    await writeFile(join(dir, "index.html"),
      `<!doctype html><link rel="icon" href="data:,"><body><script type="module" src="/main.js"></script>`);
    await writeFile(join(dir, "main.js"), code!);
    // The package is not published: its tarball stands for it.
    await run(install!.replace("heddle", await pack(dir)), dir);
    await run("npm install --save-dev vite@7.3.8", dir);
    server = start(`npx vite --port ${port} --strictPort`, dir);
    await expect.poll(() => server!.output(), { timeout: 0 }).toContain(`:${port}/`);

    const { context } = await profile();
    const open = async () => {
      const page = await context.newPage();
      await page.goto(`http://localhost:${port}/`);
      return page;
    };
    const first = await open();
    await expect(first.locator("body")).toHaveText("Hello");
    const second = await open();
    for (const page of [first, second]) await expect(page.locator("body")).toHaveText("Hello, Hello");
    await first.close();
    await second.reload();
    await expect(second.locator("body")).toHaveText("Hello, Hello, Hello");
  } finally {
    if (server) end(server);
    await rm(dir, { recursive: true, force: true });
  }
});
