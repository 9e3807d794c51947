import { start } from "./notes.js";

const assets = {
  worker: "heddle/worker.js", broker: "heddle/broker.js", heddle: "heddle/heddle.wasm", sqlite: "heddle/sqlite3.wasm",
};

void start(document.querySelector("main"), { assets });
