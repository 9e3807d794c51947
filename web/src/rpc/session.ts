// A page's session with a database: one connection, and so one worker, however often the page has opened it. React's
// StrictMode and hot reload open a database again before they close it. Each open() is a member; the last one that
// leaves ends the session.

import { decodeAnnouncement } from "./commits.js";
import { Caller } from "./client.js";
import { Reader } from "./codec.js";
import type { Connection } from "./connection.js";
import { LiveDelivery } from "./live-delivery.js";
import {
  encodeOpenConfig, EventType, livePause, type Announcement, type OpenConfig, type Welcome,
} from "./messages.gen.js";
import { hashMigrations } from "./migrations.js";
import { ScopedCaller } from "./scoped-caller.js";
import type { Health } from "../shared/types.js";
import type { HeddleError } from "../shared/errors.js";

/** What the browser, or the file system, tells of a database's files. */
export type Disk = Pick<Health, "quota" | "quarantined">;

/** What a member is told. One that joins later hears at once what holds already. */
export interface SessionEvents {
  /** A leader is ready; again is false for the first one. */
  ready(welcome: Welcome, again: boolean): void;
  lost(crashed: boolean): void;
  /** An event that belongs to no call, such as status. */
  event(type: number, r: Reader): void;
  /** A commit; undefined is one of another version. */
  announced(announcement: Announcement | undefined): void;
  blocked(now: boolean): void;
  outdated(error: HeddleError): void;
  failed(error: HeddleError): void;
  /** Its files are to be removed. */
  destroyed(): void;
}

/** Events that tell how things are: a later member gets the last of each. */
const CONDITIONS: readonly number[] = [EventType.status, EventType.storage, EventType.recovered];

/** Events that the leader repeats only once they are acknowledged. */
const REPEATING: readonly number[] = [EventType.status, EventType.progress];

export class Session {
  readonly connection: Connection;
  readonly config: OpenConfig;
  /** The key of the database's key ring, where that is locked. */
  lock: CryptoKey | undefined;
  /** What is known of the files; without it the database has none. */
  readonly disk: (() => Promise<Disk>) | undefined;
  readonly #caller: Caller;
  readonly #lives = new LiveDelivery({
    ack: () => this.#caller.ack(EventType.live),
    pause: (paused) => this.#caller.tell(livePause(paused)),
  });
  readonly #leaving = new AbortController();
  readonly #members = new Map<ScopedCaller, SessionEvents>();
  readonly #conditions = new Map<number, Uint8Array>();
  #started = false;
  #welcome: Welcome | undefined;
  #outdated: HeddleError | undefined;

  constructor(connection: Connection, config: OpenConfig, disk?: () => Promise<Disk>) {
    this.disk = disk;
    this.connection = connection;
    this.config = config;
    const { migrations, sync } = config;
    const hello =
      { migrations: migrations.length, token: sync?.token === true, texts: hashMigrations(migrations) };
    this.#caller = new Caller(connection, {
      hello: () => ({
        ...hello, leader: this.#welcome?.leader ?? "", commit: Math.max(this.#welcome?.commit ?? 0, this.#lives.commit),
      }),
      ready: (welcome, again) => {
        this.#welcome = welcome;
        this.#conditions.clear();
        this.#lives.ready();
        this.#tell((member) => member.ready(welcome, again));
      },
      lost: (crashed) => {
        this.#lives.lost();
        this.#tell((member) => member.lost(crashed));
      },
      event: (type, r) => this.#event(type, r),
      broadcast: (message) => this.#announced(decodeAnnouncement(message)),
      blocked: (now) => this.#tell((member) => member.blocked(now)),
      outdated: (error) => {
        this.#outdated = error;
        this.#tell((member) => member.outdated(error));
      },
      failed: (error) => this.#tell((member) => member.failed(error)),
    });
    if (typeof document === "undefined") return;
    const { signal } = this.#leaving;
    document.addEventListener("visibilitychange", () => this.#lives.visibilityChanged(), { signal });
  }

  /** It takes no more members. */
  get ended(): boolean {
    return this.#caller.ended !== undefined;
  }

  /** Which of its options differs from those of another open() of the same name. */
  differs(config: OpenConfig): string | undefined {
    const mine = String(encodeOpenConfig(this.config));
    const options = ["migrations", "storage", "recover", "seed", "sync"] as const;
    return options.find((option) => String(encodeOpenConfig({ ...this.config, [option]: config[option] })) !== mine);
  }

  join(events: SessionEvents): ScopedCaller {
    const member = new ScopedCaller(this.#caller, this.#lives);
    this.#members.set(member, events);
    return member;
  }

  /** The member can be told of events, which may come at once. */
  start(member: ScopedCaller): void {
    if (!this.#started) {
      this.#started = true;
      this.#caller.start();
      return;
    }
    const events = this.#members.get(member)!;
    if (this.#caller.ready) {
      events.ready(this.#welcome!, false);
      for (const [type, bytes] of this.#conditions) events.event(type, new Reader(bytes));
    }
    if (this.connection.blocked) events.blocked(true);
    if (this.#outdated) events.outdated(this.#outdated);
  }

  /** Ends the member's calls with error, and with the last member the connection. */
  async leave(member: ScopedCaller, error: HeddleError): Promise<void> {
    if (!this.#members.delete(member)) return;
    if (this.#members.size > 0) return member.end(error);
    this.#leaving.abort();
    this.#caller.end(error);
    await this.connection.close();
  }

  /** There will be no leader. */
  fail(error: HeddleError): void {
    this.#caller.failed(error);
  }

  destroyed(): void {
    this.#tell((member) => member.destroyed());
  }

  #tell(tell: (member: SessionEvents) => void): void {
    for (const events of [...this.#members.values()]) tell(events);
  }

  #event(type: number, r: Reader): void {
    if (type === EventType.live) return this.#lives.event(r);
    const bytes = r.bytes.subarray(r.at);
    if (CONDITIONS.includes(type)) this.#conditions.set(type, bytes);
    // One answer is enough, and the last that came has the app's latest function for it.
    const members = [...this.#members.values()].slice(type === EventType.token ? -1 : 0);
    for (const member of members) member.event(type, new Reader(bytes));
    if (REPEATING.includes(type)) this.#caller.ack(type);
  }

  #announced(announcement: Announcement | undefined): void {
    const welcome = this.#welcome;
    if (welcome && announcement?.leader === welcome.leader && announcement.number > welcome.commit) {
      this.#welcome = { ...welcome, commit: announcement.number };
    }
    this.#tell((member) => member.announced(announcement));
  }
}
