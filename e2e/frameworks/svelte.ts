// The page of frameworks.spec.ts in Svelte.

import { mount } from "svelte";
import App from "./svelte/App.svelte";
import { start } from "./page.js";

mount(App, { target: document.getElementById("root")!, props: { db: await start() } });
