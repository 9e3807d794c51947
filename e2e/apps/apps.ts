// The matrix: which bundlers build which app, in which modes. A folder has the packages of a bundler, pinned; `source`
// names another folder for the app's own files.

/** One way in which an app is built and served. PORT stands for the port. */
export interface Mode {
  name: string;
  /** Commands that run to their end before. */
  build?: string[];
  /** The command of a server, or files that any server can serve. */
  serve: string | Files;
  env?: Record<string, string>;
  /** A service worker keeps the app: a reload without a network shows it. */
  offline?: boolean;
  /** A file with a heading's text, which the server's hot reload replaces while the page runs. */
  hot?: { file: string; text: string };
}

export interface Files {
  folder: string;
  /** A folder that another origin serves. */
  cdn?: string;
  /** Pages with inline scripts are served without the strict policy. */
  inline?: boolean;
}

/** The Content-Security-Policy of docs/BUNDLERS.md, on every answer. */
export const policy = "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";

export interface App {
  source?: string;
  /** Where notes.js lies, which is the same for all. */
  shared: string;
  modes: Mode[];
}

const vite: App = {
  source: "vite", shared: "src",
  modes: [
    { name: "dev", serve: "npx vite --host localhost --port PORT --strictPort" },
    { name: "build", build: ["npx vite build"], serve: { folder: "dist" } },
  ],
};

/** Bundlers that leave the package's files where they are: they are copied beside the bundle. */
const copied = ["worker.js", "broker.js", "heddle.wasm", "heddle-rest.wasm", "heddle-sealed.wasm", "sqlite3.wasm"]
  .map((name) => `node_modules/heddle/dist/${name}`).join(" ");

const nextDev = (bundler: string, flag: string): Mode => ({
  name: `dev, ${bundler}`, serve: `npx next dev ${flag} -p PORT`, hot: { file: "app/page.js", text: "Notes" },
});
const nextBuild = (bundler: string, flag: string): Mode => ({
  name: `build, ${bundler}`, build: [`npx next build ${flag}`], serve: "npx next start -p PORT",
});

export const apps: Record<string, App> = {
  html: {
    shared: ".",
    modes: [
      { name: "static files", serve: { folder: ".", inline: true } },
      { name: "from a CDN", serve: { folder: ".", cdn: "node_modules/heddle/dist", inline: true } },
    ],
  },
  vite6: vite,
  vite7: vite,
  vite8: vite,
  "vite-pwa": { shared: "src", modes: [{ ...vite.modes[1]!, offline: true }] },
  react: {
    shared: "src",
    modes: [
      { ...vite.modes[0]!, hot: { file: "src/App.jsx", text: "Notes" } },
      vite.modes[1]!,
    ],
  },
  next: {
    shared: "app",
    modes: [
      nextDev("Turbopack", "--turbopack"), nextBuild("Turbopack", "--turbopack"),
      nextDev("webpack", "--webpack"), nextBuild("webpack", "--webpack"),
    ],
  },
  webpack: {
    shared: "src",
    modes: [
      { name: "dev", serve: "npx webpack serve --mode development --port PORT" },
      { name: "build", build: ["npx webpack --mode production"], serve: { folder: "dist" } },
    ],
  },
  rspack: {
    shared: "src",
    modes: [
      { name: "dev", serve: "npx rspack serve --mode development --port PORT" },
      { name: "build", build: ["npx rspack build --mode production"], serve: { folder: "dist" } },
    ],
  },
  rollup: {
    shared: "src",
    modes: [{
      name: "build",
      build: ["npx rollup -c", "mkdir dist/heddle", "cp public/index.html dist/", `cp ${copied} dist/heddle/`],
      serve: { folder: "dist" },
    }],
  },
  esbuild: {
    shared: "src",
    modes: [{
      name: "build",
      build: ["npx esbuild src/main.js --bundle --format=esm --outdir=dist", `cp public/index.html ${copied} dist/`],
      serve: { folder: "dist" },
    }],
  },
  parcel: {
    shared: "src",
    modes: [
      { name: "dev", serve: "npx parcel src/index.html --port PORT --dist-dir dev --no-cache" },
      {
        name: "build", build: ["npx parcel build src/index.html --no-cache --no-source-maps"],
        serve: { folder: "dist", inline: true }, // its import map
      },
    ],
  },
  sveltekit: {
    shared: "src",
    modes: [
      { name: "dev", serve: "npx vite dev --port PORT --strictPort" },
      { name: "build", build: ["npx vite build"], serve: "node build/index.js", env: { HOST: "127.0.0.1" } },
    ],
  },
  nuxt: {
    shared: "app",
    modes: [
      { name: "dev", serve: "npx nuxt dev --port PORT --host localhost --no-fork" },
      { name: "build", build: ["npx nuxt build"], serve: "node .output/server/index.mjs", env: { HOST: "127.0.0.1" } },
    ],
  },
};
