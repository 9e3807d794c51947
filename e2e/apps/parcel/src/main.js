import { start } from "./app.js";

void start(document.querySelector("main"));
