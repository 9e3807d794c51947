import { open } from "./bare.js";
import { measure, peer } from "./work.js";

onmessage = async ({ data: { engines, rounds, only } }) => {
  try {
    const dbs = [];
    for (const { url, kind } of engines)
      dbs.push(kind === "peer" ? await peer(url) : open(await WebAssembly.compileStreaming(fetch(url))));
    postMessage({ results: measure(dbs, { rounds, only, now: () => performance.now() }) });
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) });
  }
};
