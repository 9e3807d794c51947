// Warnings for who develops an app: on a page that this computer serves, once each.

const LOCAL = /^(?:localhost|.*\.localhost|127(?:\.\d+){3}|\[::1\]|)$/;

/** The most warnings that are told: their texts are kept. */
const MOST = 100;
const told = new Set<string>();

/** Whether the page comes from this computer; of Node.js, whether NODE_ENV is something else than "production". */
export function isDevelopment(): boolean {
  const { location, process } = globalThis as {
    location?: { hostname: string }; process?: { env?: Record<string, string | undefined> };
  };
  return location ? LOCAL.test(location.hostname) : process?.env?.["NODE_ENV"] !== "production";
}

/** Writes the text to the console, once, where an app is developed. */
export function warnOnce(text: string): void {
  if (told.has(text) || told.size >= MOST || !isDevelopment()) return;
  told.add(text);
  console.warn(`heddle: ${text}`);
}
