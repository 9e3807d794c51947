// A page that has nothing but the package: tests call it through page.evaluate.
// ?heddle= names another place to import it from, such as another origin.
const from = new URLSearchParams(location.search).get("heddle") ?? "./heddle/index.js";
globalThis.heddle = await import(from);
document.documentElement.dataset.ready = "yes";
