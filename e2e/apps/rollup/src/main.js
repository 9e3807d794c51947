import { start } from "./app.js";

await start(document.querySelector("main"));
