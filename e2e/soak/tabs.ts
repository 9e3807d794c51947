// The tabs of the soak, and what can be done to the one that leads.
import { rawChrome, type RawChrome, type RawPage } from "../rawchrome.js";
import type { Ledger } from "./ledger.js";
import type { Report } from "./report.js";

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits for a condition, and says whether it came in time. */
export async function within(ms: number, condition: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const end = Date.now() + ms; Date.now() < end; await pause(10)) if (await condition()) return true;
  return false;
}

/** What a page that hangs, crashes or is frozen does not answer. */
const orElse = <T>(promise: Promise<T>, otherwise: T, ms = 2_000): Promise<T> =>
  Promise.race([promise.catch(() => otherwise), pause(ms).then(() => otherwise)]);

export class TabOfSoak {
  /** Names the document that runs in it now; "" before it has opened the database. */
  instance = "";
  /** Frozen, elsewhere or being replaced: nothing is expected of it. */
  away = false;
  /** When it thawed, which leaves it hidden: its timers may run once a minute until it is shown. */
  hiddenSince: number | undefined;

  constructor(readonly page: RawPage) {}

  role(): Promise<string> {
    return orElse(this.page.evaluate<string>(`globalThis.soak?.role() ?? ""`), "");
  }

  state(): Promise<string> {
    return orElse(this.page.evaluate<string>(`globalThis.soak?.state() ?? "still loading"`), "no answer");
  }
}

export class Tabs {
  readonly #chrome: RawChrome;
  readonly #url: string;
  readonly #ledger: Ledger;
  readonly #all = new Set<TabOfSoak>();
  readonly #crashed = new Set<string>();
  /** How many engines the pages saw die. */
  engines = 0;
  #opened = 0;

  private constructor(chrome: RawChrome, url: string, ledger: Ledger) {
    this.#chrome = chrome;
    this.#url = url;
    this.#ledger = ledger;
    chrome.onevent((method, params, session) => this.#event(method, params, session));
  }

  static async start(profile: string, url: string, ledger: Ledger): Promise<Tabs> {
    const chrome = await rawChrome(profile);
    await chrome.send("Target.setDiscoverTargets", { discover: true });
    return new Tabs(chrome, url, ledger);
  }

  get origin(): string {
    return new URL(this.#url).origin;
  }

  /** Those that work. */
  get working(): TabOfSoak[] {
    return [...this.#all].filter((tab) => !tab.away && tab.instance !== "");
  }

  #event(method: string, params: any, session: string | undefined): void {
    if (method === "Target.targetCrashed") {
      this.#crashed.add(params.targetId);
      // Pages of one site may share a process: more than the one that was meant may have died.
      for (const tab of this.#all) if (tab.page.target === params.targetId) tab.away = true;
    }
    const tab = [...this.#all].find((tab) => tab.page.session === session);
    if (!tab) return;
    if (method === "Runtime.bindingCalled" && params.name === "report") {
      const report = JSON.parse(params.payload) as Report;
      this.#ledger.take(report);
      if (report.t === "open" && report.code === "ok") tab.instance = report.instance;
    }
    if (method === "Runtime.consoleAPICalled" && String(params.args[0]?.value).startsWith("heddle: the engine died")) {
      this.engines++;
    }
  }

  /** Opens a tab; every second one loses half of what is announced. */
  async open(): Promise<TabOfSoak> {
    const tab = new TabOfSoak(await this.#chrome.blank(true));
    this.#all.add(tab);
    await tab.page.send("Runtime.enable");
    await tab.page.send("Runtime.addBinding", { name: "report" });
    await this.#visit(tab, this.#opened++ % 2 === 0 ? this.#url : `${this.#url}?lossy`);
    return tab;
  }

  async #visit(tab: TabOfSoak, url: string): Promise<void> {
    tab.instance = "";
    tab.away = false;
    await tab.page.send("Page.navigate", { url });
  }

  /** The tab that leads, within a bounded time. */
  async leader(except?: TabOfSoak): Promise<TabOfSoak | undefined> {
    let found: TabOfSoak | undefined;
    await within(60_000, async () => {
      const list = this.working.filter((tab) => tab !== except);
      const roles = await Promise.all(list.map((tab) => tab.role()));
      found = list[roles.indexOf("leader")];
      return found !== undefined;
    });
    return found;
  }

  // ---- what is done to a tab ---------------------------------------------------

  async close(tab: TabOfSoak): Promise<void> {
    tab.away = true;
    this.#all.delete(tab);
    await orElse(this.#chrome.send("Target.closeTarget", { targetId: tab.page.target }), undefined);
  }

  async reload(tab: TabOfSoak): Promise<void> {
    tab.instance = "";
    await tab.page.send("Page.reload");
  }

  async crash(tab: TabOfSoak): Promise<boolean> {
    tab.away = true;
    void tab.page.send("Page.crash").catch(() => {}); // never answered
    return within(5_000, () => this.#crashed.has(tab.page.target));
  }

  /** Kills the process of a tab, found by the work that the page is given; returns whether it was the right one. */
  async kill(tab: TabOfSoak): Promise<boolean> {
    const used = async () => {
      const { processInfo } = await this.#chrome.send("SystemInfo.getProcessInfo") as { processInfo: { type: string;
        id: number; cpuTime: number }[] };
      return new Map(processInfo.filter(({ type }) => type === "renderer").map(({ id, cpuTime }) => [id, cpuTime]));
    };
    const before = await used();
    await orElse(tab.page.evaluate(`for (const end = performance.now() + 250; performance.now() < end; );`), undefined);
    let most = 0, pid = 0;
    for (const [id, time] of await used()) {
      const worked = time - (before.get(id) ?? time);
      if (worked > most) [most, pid] = [worked, id];
    }
    if (pid === 0) return false;
    process.kill(pid, "SIGKILL");
    return within(2_000, () => this.#crashed.has(tab.page.target));
  }

  /** Leaves the page, which the browser keeps in its back/forward cache. */
  async leave(tab: TabOfSoak): Promise<void> {
    tab.away = true;
    await tab.page.send("Page.navigate", { url: new URL("away.html", this.#url).href });
  }

  async comeBack(tab: TabOfSoak): Promise<void> {
    const { currentIndex, entries } = await tab.page.send("Page.getNavigationHistory") as { currentIndex: number;
      entries: { id: number }[] };
    await tab.page.send("Page.navigateToHistoryEntry", { entryId: entries[currentIndex - 1]!.id });
    // Out of the cache it is the same document; else it opens the database as a new one.
    const before = tab.instance;
    const kept = await within(10_000,
      async () => await orElse(tab.page.evaluate(`typeof soak`), "") === "object" || tab.instance !== before);
    if (!kept) tab.instance = "";
    tab.away = false;
  }

  async freeze(tab: TabOfSoak): Promise<void> {
    tab.away = true;
    await tab.page.send("Page.setWebLifecycleState", { state: "frozen" });
  }

  /** A tab that was frozen over the protocol is hidden, and stays so until showHidden. */
  async thaw(tab: TabOfSoak): Promise<void> {
    await tab.page.send("Page.setWebLifecycleState", { state: "active" });
    tab.hiddenSince = Date.now();
    tab.away = false;
  }

  /** Brings tabs to the front that have been hidden for a minute. */
  async showHidden(): Promise<void> {
    for (const tab of this.#all) {
      if (tab.hiddenSince === undefined || tab.away || Date.now() - tab.hiddenSince < 60_000) continue;
      await orElse(tab.page.send("Page.bringToFront"), undefined);
      tab.hiddenSince = undefined;
    }
  }

  async quota(bytes: number | undefined): Promise<void> {
    const tab = this.working[0]!;
    await tab.page.send("Storage.overrideQuotaForOrigin",
      { origin: this.origin, ...(bytes === undefined ? {} : { quotaSize: bytes }) });
  }

  /** Replaces tabs that crashed by new ones. */
  async replaceCrashed(): Promise<void> {
    for (const tab of [...this.#all]) {
      if (!this.#crashed.has(tab.page.target)) continue;
      await this.close(tab);
      await this.open();
    }
  }

  async end(): Promise<void> {
    await this.#chrome.close();
  }
}
