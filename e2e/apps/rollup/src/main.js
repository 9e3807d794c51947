import { start } from "./notes.js";

const assets = {
  worker: "heddle/worker.js", broker: "heddle/broker.js", sqlite: "heddle/sqlite3.wasm",
  heddle: "heddle/heddle.wasm", heddleRest: "heddle/heddle-rest.wasm", heddleSealed: "heddle/heddle-sealed.wasm",
};

void start(document.querySelector("main"), { assets });
