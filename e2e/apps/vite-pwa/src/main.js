import { registerSW } from "virtual:pwa-register";
import { start } from "./app.js";

registerSW({ immediate: true });
await start(document.querySelector("main"));
