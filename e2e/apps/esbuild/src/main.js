import { start } from "./notes.js";

void start(document.querySelector("main"));
