// What the soak does to a leader, how often in proportion, and how it is seen that
// it happened.
import { pause, within, type TabOfSoak, type Tabs } from "./tabs.js";

export interface Fault {
  weight: number;
  /** How many engines or leaders it ends. */
  deaths: number;
  /** The same tab may lead afterwards. */
  stays?: boolean;
  /** Nobody is told of this death: it has to be noticed by silence. */
  silent?: boolean;
  /** Does it, and says whether it happened. */
  inject(tabs: Tabs, leader: TabOfSoak): Promise<boolean>;
  /** Undoes it later. */
  restore?(tabs: Tabs, leader: TabOfSoak): Promise<unknown>;
}

/** Breaks the leader's engine: wasm/faults.go has the kinds. */
const engine = (kind: string, deaths = 1): Fault["inject"] => async (tabs, leader) => {
  const before = tabs.engines;
  await leader.page.evaluate(`soak.fault(${JSON.stringify(kind)})`);
  return within(30_000, () => tabs.engines >= before + deaths);
};

export const faults: { [name: string]: Fault } = {
  "tab closed": {
    weight: 20, deaths: 1,
    async inject(tabs, leader) { await tabs.close(leader); return true; },
    restore: (tabs) => tabs.open(),
  },
  "tab reloaded": {
    weight: 20, deaths: 1, stays: true,
    async inject(tabs, leader) { await tabs.reload(leader); return true; },
  },
  "renderer crashed": {
    weight: 14, deaths: 1,
    inject: (tabs, leader) => tabs.crash(leader),
    restore: (tabs) => tabs.replaceCrashed(),
  },
  "renderer killed (SIGKILL)": {
    weight: 8, deaths: 1,
    inject: (tabs, leader) => tabs.kill(leader),
    restore: (tabs) => tabs.replaceCrashed(),
  },
  "back/forward cache": {
    weight: 12, deaths: 1,
    async inject(tabs, leader) { await tabs.leave(leader); return true; },
    restore: (tabs, leader) => tabs.comeBack(leader),
  },
  "tab frozen": {
    weight: 8, deaths: 1,
    async inject(tabs, leader) { await tabs.freeze(leader); return true; },
    restore: (tabs, leader) => tabs.thaw(leader),
  },
  "engine panics": { weight: 14, deaths: 1, stays: true, inject: engine("late") },
  "a call kills two engines": { weight: 3, deaths: 2, stays: true, inject: engine("panic", 2) },
  "engine stuck": { weight: 1, deaths: 1, stays: true, silent: true, inject: engine("stuck") },
  "engine spins": { weight: 0.5, deaths: 2, stays: true, silent: true, inject: engine("spin", 2) },
  "engine outgrown": {
    weight: 2, deaths: 0, stays: true,
    async inject(tabs, leader) {
      await leader.page.evaluate(`soak.fault("grow")`);
      return within(10_000, async () => (await leader.role()) !== "leader");
    },
  },
  "disk full": {
    weight: 2, deaths: 0, stays: true,
    async inject(tabs) {
      await tabs.quota(1 << 20);
      await pause(300);
      await tabs.quota(undefined);
      return true;
    },
  },
};

/** Draws a fault's name in proportion to the weights. */
export function draw(random: () => number): string {
  let sum = 0;
  for (const { weight } of Object.values(faults)) sum += weight;
  let at = random() * sum;
  for (const [name, { weight }] of Object.entries(faults)) {
    at -= weight;
    if (at < 0) return name;
  }
  return Object.keys(faults)[0]!;
}
