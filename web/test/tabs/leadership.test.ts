// Each path of docs/TABS.md as a log: events in, effects out. Time is an event.

import assert from "node:assert/strict";
import { test } from "node:test";

import { PROTOCOL } from "../../src/shared/version.js";
import { Leadership, type Event, type Timer } from "../../src/tabs/leadership.js";
import { EventLog, type Step as LogStep } from "../event-log.js";

const me = "me";
const failure = { code: "HEDDLE_MIGRATION", message: "no such table" };
const newer = {
  t: "build", protocol: PROTOCOL, migrations: 9, lock: `heddle:${PROTOCOL}:notes:tab:newer`, answer: true,
} as const;

const shown = { visible: true, freezes: false };
const hidden = { visible: false, freezes: false };

class Tab extends EventLog<Event, Leadership> {
  /** Calls wait for an answer. */
  busy = false;

  constructor() {
    super(new Leadership(me, shown));
  }

  override timed(timer: Timer): Event {
    return timer === "stallTick" ? [timer, this.busy] : [timer];
  }

  override silent(timer: Timer): boolean {
    return timer === "stallTick";
  }
}

type Step = LogStep<Event> | ["busy" | "idle"];

/** Plays a log. */
function play(tab: Tab, log: Step[]): Tab {
  return tab.play(log.map((step): LogStep<Event> =>
    step[0] === "busy" || step[0] === "idle" ? [() => { tab.busy = step[0] === "busy"; }] : step as LogStep<Event>));
}

const opens: Step[] = [
  [["resume"], "listen", "startWorker"],
  [["locksHeld"], "openHandshake", "post whoLeads"],
  [["loaded"], "startElection"],
];
const leads = (leader: string): Step[] => [
  [["granted"], "sendModules"],
  [["leading", { t: "leading", leader }], `connectOwn ${leader}`],
  [["welcomed"], "connected"],
];
const follows = (leader: string): Step[] => [
  [["leader", { t: "leader", leader, tab: "other" }], `checkLeads ${leader}`],
  [["leads", leader], `follow ${leader}`],
  [["welcomed"], "connected"],
];
const sleeps = (leader: string): Step => [
  ["suspend"], "killWorker", `post leaderGone ${leader} false`, "disconnect", "lost false", "unlisten",
  "freeRecord true",
];
const gone = (leader: string, crashed = false): Event => ["leaderGone", { t: "leaderGone", leader, crashed }];

function path(name: string, log: Step[]): void {
  test(name, () => void play(new Tab(), log));
}

// ---- who leads ---------------------------------------------------------------

path("the first tab leads, and says so to who asks", [
  ...opens, ...leads("A"),
  [["whoLeads"], "reply leader"],
  [["leader", { t: "leader", leader: "B", tab: "other" }]], // while this tab leads no other does
  [["leads", "B"]],
]);

path("a second tab follows, whether its own worker is loaded or not", [
  [["resume"], "listen", "startWorker"],
  [["leader", { t: "leader", leader: "A", tab: "other" }]], // its own locks are not held yet
  [["locksHeld"], "openHandshake", "post whoLeads"],
  ...follows("A"),
  [["loaded"], "startElection"],
  [["leader", { t: "leader", leader: "A", tab: "other" }]], // it is known
  [["whoLeads"]],
]);

path("a leader closes: its lock is free, and the next one leads", [
  ...opens, ...follows("A"),
  [gone("A"), "checkGone A"],
  [["goneChecked", "A", false], "timer goneLook 10"],
  [10, "checkGone A"],
  [["goneChecked", "A", true], "disconnect", "lost false"],
  [["lockFree", "A"], "tellWorker retryLock"],
  ...leads("B"),
]);

path("another tab leads next", [
  ...opens, ...follows("A"),
  [["leader", { t: "leader", leader: "B", tab: "other" }], "checkLeads B"],
  [["leads", "B"], "disconnect", "lost false", "follow B"],
  [["lockFree", "A"]],
  [["welcomed"], "connected"],
]);

path("a renderer crashes: the lock alone tells", [
  ...opens, ...follows("A"),
  [["lockFree", "A"], "tellWorker retryLock", "timer noCrashMessage 100"],
  [100, "disconnect", "lost false"],
]);

path("a leader that was never welcomed goes: no call was lost", [
  ...opens,
  [["leader", { t: "leader", leader: "A", tab: "other" }], "checkLeads A"],
  [["leads", "A"], "follow A"],
  [["lockFree", "A"], "tellWorker retryLock", "timer noCrashMessage 100"],
  [100, "disconnect"],
]);

// ---- an engine's death is counted once, whatever comes first ------------------

path("an engine dies in another tab: the message comes, then the lock is free", [
  ...opens, ...follows("A"),
  [gone("A", true), "checkGone A"],
  [["goneChecked", "A", true], "disconnect", "lost true"],
]);

path("the lock is free, then the message comes", [
  ...opens, ...follows("A"),
  [["lockFree", "A"], "tellWorker retryLock", "timer noCrashMessage 100"],
  [gone("A", true), "checkGone A"],
  [gone("A"), "checkGone A"], // who says less later takes nothing back
  [["goneChecked", "A", true], "timer noCrashMessage", "disconnect", "lost true"],
]);

path("the next leader is there before the lock of a worker in an endless loop is free", [
  ...opens, ...follows("A"),
  [gone("A", true), "checkGone A"],
  [["goneChecked", "A", false], "timer goneLook 10"],
  [["leader", { t: "leader", leader: "B", tab: "other" }], "checkLeads B"],
  [["leads", "B"], "timer goneLook", "disconnect", "lost true", "follow B"],
]);

path("this tab's own worker is the next leader before that lock is free", [
  ...opens, ...follows("A"),
  [gone("A", true), "checkGone A"],
  [["goneChecked", "A", false], "timer goneLook 10"],
  [["granted"], "sendModules"],
  [["leading", { t: "leading", leader: "B" }], "timer goneLook", "disconnect", "lost true", "connectOwn B"],
  [["welcomed"], "connected"],
]);

// ---- what tabs believe --------------------------------------------------------

path("a goodbye in the leader's name changes nothing while its lock is held", [
  ...opens, ...follows("A"),
  [gone("A"), "checkGone A"],
  ...[10, 20, 40, 80, 160, 320, 640, 1280].flatMap((ms): Step[] => [
    [["goneChecked", "A", false], `timer goneLook ${ms}`],
    [ms, "checkGone A"],
  ]),
  [["goneChecked", "A", false]],
  [10_000],
  [gone("B")],
]);

path("a leader believes no goodbye in its own name", [...opens, ...leads("A"), [gone("A")], [gone("A", true)]]);

path("messages that are doubled or late do nothing twice", [
  ...opens, ...follows("A"),
  [["leads", "A"]],
  [gone("A"), "checkGone A"],
  [gone("A"), "checkGone A"],
  [["goneChecked", "A", true], "disconnect", "lost false"],
  [["goneChecked", "A", true]],
  [gone("A")],
  [["connect", { t: "connect", leader: "A", tab: "other" }]],
]);

path("destroy() elsewhere", [...opens, [["destroy"], "destroyed"]]);

test("a reply whose turn comes late is true, or is not sent", () => {
  const tab = play(new Tab(), [...opens, ...leads("A")]);
  assert.deepEqual(tab.machine.reply("leader"), { t: "leader", leader: "A", tab: me });
  const probe = (leader: string): Event => ["probe", { t: "probe", leader }];
  play(tab, [[probe("A"), "checkWorker", "reply probeReply"], [probe("B")]]);
  assert.deepEqual(tab.machine.reply("probeReply"), { t: "probeReply", leader: "A" });
  play(tab, [sleeps("A")]);
  assert.equal(tab.machine.reply("leader"), undefined);
  assert.equal(tab.machine.reply("canLead"), undefined);
});

// ---- closing and sleeping -----------------------------------------------------

path("db.close() of a leader, of a follower, and of a page that sleeps", [
  ...opens, ...leads("A"),
  [["close"], "disconnect", "lost false", "unlisten", "freeRecord false", "stopWorker"],
  [["resume"]], [["suspend"]], [["locksHeld"]], [["stopped"]], [["leads", "B"]], [10_000],
]);

path("a follower closes", [
  ...opens, ...follows("A"),
  [["close"], "disconnect", "lost false", "unlisten", "freeRecord false", "stopWorker"],
]);

path("a page that sleeps is closed", [
  ...opens,
  [["suspend"], "killWorker", "unlisten", "freeRecord true"],
  [["close"], "unlisten", "freeRecord false", "stopWorker"],
]);

path("a leading page is frozen or goes to the back/forward cache; back again, it follows", [
  ...opens, ...leads("A"),
  sleeps("A"),
  [["suspend"]], [["locksHeld"]], [["lockFree", "A"]], [["crashed", { message: "late" }]], [60_000],
  ...opens, ...follows("B"),
]);

path("a page goes to sleep in the middle of opening, and after a failure", [
  ...opens,
  [["granted"], "sendModules"],
  [["suspend"], "killWorker", "unlisten", "freeRecord true"],
  ...opens,
  [["failed", { failure }], "killWorker", "failed HEDDLE_MIGRATION"],
  [["suspend"], "killWorker", "unlisten", "freeRecord true"],
  ...opens, ...leads("A"),
]);

// ---- a leader in the background -----------------------------------------------

path("a hidden leader makes room after three seconds, if a visible tab takes the lead", [
  ...opens, ...leads("A"),
  [["visibility", hidden], "tellWorker visible false", "timer hiddenLong 3000"],
  [["canLead", { t: "canLead", leader: "A" }]], // not for each switch of tabs
  [3_000, "post offerLead A"],
  [["canLead", { t: "canLead", leader: "B" }]],
  [["canLead", { t: "canLead", leader: "A" }], "tellWorker retire"],
  [["canLead", { t: "canLead", leader: "A" }]],
  [["stopped"], "killWorker", "disconnect", "lost false", "post whoLeads", "startWorker"],
  [["loaded"], "startElection"],
  ...follows("B"),
]);

path("seen again in time, it stays; hidden already when it comes to lead, it offers as well", [
  ...opens,
  [["visibility", hidden], "tellWorker visible false"],
  [["granted"], "sendModules"],
  [["leading", { t: "leading", leader: "A" }], "connectOwn A", "timer hiddenLong 3000"],
  [["welcomed"], "connected"],
  [3_000, "post offerLead A"],
  [["visibility", shown], "tellWorker visible true"],
  [["canLead", { t: "canLead", leader: "A" }]],
]);

path("where the browser reports a freeze, a hidden leader stays until then", [
  ...opens, ...leads("A"),
  [["visibility", { visible: false, freezes: true }], "tellWorker visible false"],
  [60_000],
]);

path("a tab takes the offer when it is visible, and when it comes to be", [
  ...opens, ...follows("A"),
  [["offerLead", { t: "offerLead", leader: "A" }], "reply canLead"],
  [["offerLead", { t: "offerLead", leader: "B" }]],
  [["visibility", hidden], "tellWorker visible false"],
  [["offerLead", { t: "offerLead", leader: "A" }]],
  [["visibility", shown], "tellWorker visible true", "post canLead A"],
]);

// ---- two versions of an app ----------------------------------------------------

path("a leader makes room for a tab of a newer build, and does not lead while that lives", [
  ...opens, ...leads("A"),
  [["newerBuild", newer], "tellWorker retire"],
  [["newerBuild", newer]],
  [["stopped"], "killWorker", "disconnect", "lost false", "post whoLeads", "startWorker"],
  [["loaded"], `startElection ${newer.lock}`],
  ...follows("B"),
]);

path("a follower of the newer build tells an older leader each second, until another leads", [
  ...opens, ...follows("A"),
  [["refused"], "tellBuild", "timer refused 1000"],
  [2_000, "tellBuild", "timer refused 1000", "tellBuild", "timer refused 1000"],
  [gone("A"), "checkGone A"],
  [["goneChecked", "A", true], "timer refused", "disconnect", "lost false"],
  [5_000, ...Array<string[]>(18).fill(["post probe", "post whoLeads"]).flat().toSpliced(10, 0, "blocked true")],
]);

path("a build with another protocol", [
  ...opens, ...leads("A"), [["newerBuild", { ...newer, protocol: PROTOCOL + 1 }], "outdated"],
]);

// ---- what ends a leader ---------------------------------------------------------

const dies = (leader: string, then: string): Step => [
  ["crashed", { message: "trap" }], "killWorker trap", `post leaderGone ${leader} true`, "disconnect", "lost true",
  "post whoLeads", then,
];

path("an engine dies, and the next worker is started at once; after too many in a minute, after a pause", [
  ...opens,
  ...["A", "B", "C"].flatMap((leader, i): Step[] => [
    ...leads(leader),
    dies(leader, i < 2 ? "startWorker" : "timer restart 500"),
    i < 2 ? [["loaded"], "startElection"] : [500, "startWorker"],
  ]),
  [["loaded"], "startElection"],
  ...leads("D"),
  dies("D", "timer restart 1000"),
  ...follows("E"), // another tab does better
  [1_000, "startWorker"],
  [["loaded"], "startElection"],
  [60_000],
  [gone("E"), "checkGone E"],
  [["goneChecked", "E", true], "disconnect", "lost false"],
  ...leads("F"),
  dies("F", "startWorker"),
]);

path("an engine that dies three times before it leads is given up", [
  ...opens,
  [["granted"], "sendModules"],
  [["crashed", { message: "trap" }], "killWorker trap", "startWorker"],
  [["loaded"], "startElection"],
  [["crashed", { message: "trap" }], "killWorker trap", "startWorker"],
  [["loaded"], "startElection"],
  [["crashed", { message: "trap" }], "killWorker trap", "killWorker", "failed HEDDLE_ENGINE_CRASH"],
]);

path("so is one that dies over the first message of its own tab, each time", [
  ...opens, ...leads("A"),
  dies("A", "startWorker"), // this one had answered
  ...["B", "C", "D"].flatMap((leader, i): Step[] => [
    [["loaded"], "startElection"],
    [["granted"], "sendModules"],
    [["leading", { t: "leading", leader }], `connectOwn ${leader}`],
    [["crashed", { message: "trap" }], "killWorker trap", `post leaderGone ${leader} true`, "disconnect",
      "post whoLeads", ...[["startWorker"], ["timer restart 500"], ["killWorker", "failed HEDDLE_ENGINE_CRASH"]][i]!],
    ...(i === 1 ? [[500, "startWorker"] as Step] : []),
  ]),
]);

path("a worker's script that cannot be loaded", [
  [["resume"], "listen", "startWorker"],
  [["failed", { failure: { code: "HEDDLE_ASSETS", message: "no worker" } }], "killWorker", "failed HEDDLE_ASSETS"],
]);

path("an engine whose memory has grown is replaced", [
  ...opens, ...leads("A"),
  [["stopped"], "killWorker", "disconnect", "lost false", "post whoLeads", "startWorker"],
  [["loaded"], "startElection"],
  ...leads("B"),
]);

path("a tab that cannot lead follows; once its leader goes it waits 20 seconds for another", [
  ...opens, ...follows("A"),
  [["granted"], "sendModules"],
  [["failed", { failure }], "killWorker"],
  [["leader", { t: "leader", leader: "B", tab: "other" }], "checkLeads B"],
  [["leads", "B"], "disconnect", "lost false", "timer othersTimeout 20000", "follow B"],
  [["welcomed"], "timer othersTimeout", "connected"],
  ["busy"],
  [["lockFree", "B"], "tellWorker retryLock", "timer noCrashMessage 100"],
  [100, "disconnect", "lost false", "timer othersTimeout 20000"],
]);

test("and then fails", () => {
  const tab = play(new Tab(), [
    ...opens, ...follows("A"),
    [["failed", { failure }], "killWorker"],
    [gone("A"), "checkGone A"],
    [["goneChecked", "A", true], "disconnect", "lost false", "timer othersTimeout 20000"],
  ]);
  assert.equal(tab.wait(19_999).includes("failed HEDDLE_MIGRATION"), false);
  assert.equal(tab.wait(1)[0], "failed HEDDLE_MIGRATION");
});

// ---- waiting is bounded ---------------------------------------------------------

path("calls wait for a leader that gives no sign: its page is asked, then it is reported", [
  ...opens, ...follows("A"),
  [5_000], // no call waits
  ["busy"],
  [["sent"]],
  [500],
  [250, "post probe A"],
  [["probeReply", { t: "probeReply", leader: "A" }]], // its engine is busy, its page lives
  [1_500, ...Array<string>(4).fill("post probe A")],
  [["sign"]],
  [1_750, ...Array<string>(5).fill("post probe A"), "blocked true"],
  [["probeReply", { t: "probeReply", leader: "B" }]],
  [["sign"], "blocked false"],
  ["idle"],
  [60_000],
]);

path("a tab waits for a leader; nothing is reported while its own worker starts", [
  [["resume"], "listen", "startWorker"],
  [["locksHeld"], "openHandshake", "post whoLeads"],
  [10_000], // the script is loaded slowly
  [["loaded"], "startElection"],
  [1_250, ...Array<string[]>(4).fill(["post probe", "post whoLeads"]).flat()],
  [250, "post probe", "post whoLeads", "blocked true"],
  [["probeReply", { t: "probeReply", leader: "" }], "blocked false"], // a page whose worker opens the database
  [["granted"], "sendModules"],
  [10_000],
  [["probe", { t: "probe", leader: "" }], "checkWorker", "reply probeReply"],
]);

test("a timer that comes late counts for a second: a suspended tab has not waited", () => {
  const tab = play(new Tab(), [...opens, ...follows("A"), ["busy"], [["sent"]]]);
  tab.now = 60_000; // the tick is due since long
  assert.deepEqual(tab.take(["stallTick", true]), ["post probe A"]);
  tab.now = 61_000;
  assert.deepEqual(tab.take(["stallTick", true]), ["post probe A", "blocked true"]);
});

// ---- any order -------------------------------------------------------------------

/** What may happen now. */
function possible(tab: Tab): Event[] {
  const { phase, link } = tab.machine;
  const leader = phase === "leading" || !link ? "none" : link.leader; // of its own, no lock is looked at
  const page: Event[] = [
    ["suspend"], ["resume"], ["visibility", shown], ["visibility", hidden], ["locksHeld"], ["sent"], ["sign"],
  ];
  const others = ["A", "B", leader].flatMap((id): Event[] => [
    ["leader", { t: "leader", leader: id, tab: "other" }], ["leads", id], gone(id), gone(id, true), ["lockFree", id],
    ["goneChecked", id, true], ["goneChecked", id, false], ["probe", { t: "probe", leader: id }],
    ["probeReply", { t: "probeReply", leader: id }], ["offerLead", { t: "offerLead", leader: id }],
    ["canLead", { t: "canLead", leader: link?.leader ?? id }], ["refused"], ["whoLeads"],
  ]);
  const died: Event = ["crashed", { message: "trap" }];
  const worker: Partial<Record<string, Event[]>> = {
    loading: [["loaded"], ["failed", { failure }]],
    waiting: [["granted"], ["stopped"], died],
    opening: [["leading", { t: "leading", leader: `mine ${tab.now}` }], ["failed", { failure }], ["stopped"], died],
    leading: [["stopped"], died],
  };
  const timers = tab.timers.map((timer) => (timer === "stallTick" ? [timer, true] : [timer]) as Event);
  const welcomed: Event[] = link && !link.welcome ? [["welcomed"]] : [];
  return [...page, ...others, ...timers, ...(worker[phase] ?? []), ...welcomed];
}

test("events in any order: each connection is lost once, and a suspended or closed tab holds nothing", () => {
  let seed = 1;
  const random = (n: number) => (seed = (seed * 48_271) % 2_147_483_647) % n;
  for (let round = 0; round < 40; round++) {
    const tab = new Tab();
    const held = { connected: false, link: false, worker: false, listens: false, blocked: false };
    const flip = (what: keyof typeof held, to: boolean) => {
      assert.notEqual(held[what], to, what);
      held[what] = to;
    };
    const apply = (event: Event) => {
      for (const effect of tab.take(event)) {
        const [name] = effect.split(" ");
        if (name === "connected") flip("connected", true);
        if (name === "lost") flip("connected", false);
        if (name === "follow" || name === "connectOwn") flip("link", true);
        if (name === "disconnect") flip("link", false);
        if (name === "startWorker") flip("worker", true);
        if (name === "killWorker" || name === "stopWorker") held.worker = false;
        if (name === "listen") flip("listens", true);
        if (name === "unlisten") held.listens = false;
        if (name === "blocked") flip("blocked", effect === "blocked true");
        if (name === "sendModules" || name === "startElection") assert.ok(held.worker);
      }
      const { phase, link } = tab.machine;
      assert.equal(held.link, link !== undefined);
      assert.equal(held.connected, link?.welcome === true);
      assert.equal(held.worker, ["loading", "waiting", "opening", "leading"].includes(phase), phase);
      if (phase === "leading") assert.ok(link);
      if (phase === "suspended" || phase === "closed") {
        assert.deepEqual([held.link, held.listens, tab.timers], [false, false, []]);
      }
    };
    apply(["resume"]);
    for (let i = 0; i < 150; i++) {
      tab.now += random(500);
      const events = possible(tab);
      apply(events[random(events.length)]!);
    }
    apply(["close"]);
    for (const event of possible(tab)) assert.deepEqual(tab.take(event), []);
  }
});
