import HtmlWebpackPlugin from "html-webpack-plugin";

const templateContent = `<!doctype html><title>webpack</title><link rel="icon" href="data:,"><main></main>`;

export default { entry: "./src/main.js", plugins: [new HtmlWebpackPlugin({ templateContent })] };
