import { rspack } from "@rspack/core";

const templateContent = `<!doctype html><title>Rspack</title><link rel="icon" href="data:,"><main></main>`;

export default { entry: "./src/main.js", plugins: [new rspack.HtmlRspackPlugin({ templateContent })] };
