import { registerSW } from "virtual:pwa-register";
import { start } from "./app.js";

registerSW({ immediate: true });
void start(document.querySelector("main"));
