/** A plugin of Vite, as far as this one goes: its type does not need Vite's. */
export interface HeddlePlugin {
  name: string;
  config(): { optimizeDeps: { exclude: string[] } };
  configResolved(config: any): void;
  generateBundle: { order: "post"; handler(options: unknown, bundle: Record<string, any>): Promise<void> };
  closeBundle: { order: "post"; sequential: true; handler(): Promise<void> };
}

export interface HeddlePluginOptions {
  /** The app opens sealed spaces: what they need of the program is kept for a start without a network as well. */
  sealed?: boolean;
}

/**
 * Vite's plugin for Heddle:
 *
 *     import heddle from "heddle/vite";
 *     export default defineConfig({ plugins: [heddle()] });
 *
 * In development it keeps the package out of Vite's dependency optimizer. A build has the wasm files with `.br` and
 * `.gz` beside them, for servers that send those. It also names them to vite-plugin-pwa, to be kept for a start without
 * a network.
 */
export default function heddle(options?: HeddlePluginOptions): HeddlePlugin;
