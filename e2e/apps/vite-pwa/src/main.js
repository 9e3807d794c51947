import { registerSW } from "virtual:pwa-register";
import { start } from "./notes.js";

registerSW({ immediate: true });
void start(document.querySelector("main"));
