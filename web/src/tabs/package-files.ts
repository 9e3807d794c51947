// Where the package's own files are, and workers that are made of them.

/**
 * Where the optimizer of Vite's development server (up to version 7) puts a module of the package, without the files
 * beside it: by itself in .vite/deps/, for Nuxt in .cache/vite/client/deps/.
 */
export const OPTIMIZED = /\/node_modules\/\.(?:vite|cache)[^?#]*\/deps[^/]*\//;

/** Where the file is that the optimizer left behind. */
export const unoptimized = (href: string) => href.replace(OPTIMIZED, "/node_modules/heddle/dist/");

export const elsewhere = (href: string) => new URL(href).origin !== location.origin;

/** Starts a script of the package as a worker: directly, or, where it is on another
 * origin, through a blob that imports it (a worker's own script must be of the page's
 * origin; what it imports need not). The import is a dynamic one, which a
 * Content-Security-Policy sees as a script; a static one it sees as a worker. */
export function startScript(href: string, name: string): Worker {
  const options = { type: "module", name } as const;
  if (!elsewhere(href)) return new Worker(href, options);
  const script = `import(${JSON.stringify(href)}).catch((e) => setTimeout(() => { throw e; }));`;
  return new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })), options);
}
