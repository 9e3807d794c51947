// Where the package's own files are: beside index.js, as bundlers leave them,
// or at the URLs that open({ assets }) gives.

import { OPTIMIZED, unoptimized } from "./package-files.js";
import type { AssetUrls } from "../shared/types.js";

// These exact forms are what bundlers recognise as files to carry along. Some
// make a URL without an origin of them: only its text counts.
const beside: Record<keyof AssetUrls, () => URL> = {
  worker: () => new URL("./worker.js", import.meta.url),
  broker: () => new URL("./broker.js", import.meta.url),
  heddle: () => new URL("./heddle.wasm", import.meta.url),
  heddleRest: () => new URL("./heddle-rest.wasm", import.meta.url),
  heddleSealed: () => new URL("./heddle-sealed.wasm", import.meta.url),
  sqlite: () => new URL("./sqlite3.wasm", import.meta.url),
};

export class Assets {
  readonly #given: AssetUrls;

  constructor(given: AssetUrls = {}) {
    this.#given = given;
  }

  /** The absolute URL of a file. */
  href(asset: keyof AssetUrls): string {
    const given = this.#given[asset];
    if (given !== undefined) return new URL(given, location.href).href;
    return unoptimized(new URL(beside[asset]().href, location.href).href);
  }

  /** Whether all files are the same. */
  equal(other: Assets): boolean {
    return (Object.keys(beside) as (keyof AssetUrls)[]).every((asset) => this.href(asset) === other.href(asset));
  }

  /** Whether the file lies where the bundler has put it. */
  bundled(asset: keyof AssetUrls): boolean {
    return this.#given[asset] === undefined && !this.#optimized(asset);
  }

  /** What to do where the file is not at its URL. */
  cure(asset: keyof AssetUrls): string {
    if (this.#given[asset] !== undefined) return `open({ assets: { ${asset} } }) names no such file`;
    if (this.#optimized(asset)) {
      return `keep Vite's optimizer away from it: optimizeDeps: { exclude: ["heddle"] }, or the plugin of ` +
        `"heddle/vite"`;
    }
    return `copy the files of heddle/dist beside the bundle, or give their URLs to open({ assets })`;
  }

  #optimized(asset: keyof AssetUrls): boolean {
    return OPTIMIZED.test(beside[asset]().href);
  }
}
