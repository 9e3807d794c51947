// Where tabs of every build of an app meet, whatever protocol they speak
// otherwise: the newer build leads, the older one makes room and is told. This
// message, and the name of the channel, are meant never to change.

import { OLDER_ANSWER_MS } from "../shared/bounds.js";
import type { LockHolders } from "../shared/lock-holders.js";
import { Throttle } from "../shared/throttle.js";
import { takeBuild } from "../shared/message-shapes.js";
import type { BuildMessage } from "../shared/messages.js";
import { PROTOCOL } from "../shared/version.js";

const buildsChannel = (scope: string) => `heddle:${scope}:builds`;

export class VersionHandshake {
  readonly #mine: Omit<BuildMessage, "answer">;
  readonly #newer: (build: BuildMessage) => void;
  readonly #lockHolders: LockHolders;
  readonly #answer = new Throttle(OLDER_ANSWER_MS, () => this.#post(false));
  #channel: BroadcastChannel | undefined;

  /** @param newer is called while a tab of a newer build lives */
  constructor(migrations: number, lock: string, lockHolders: LockHolders, newer: (build: BuildMessage) => void) {
    this.#mine = { t: "build", protocol: PROTOCOL, migrations, lock };
    this.#lockHolders = lockHolders;
    this.#newer = newer;
  }

  /** Tells the others, once the lock is held. */
  open(scope: string): void {
    const channel = this.#channel = new BroadcastChannel(buildsChannel(scope));
    channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      const build = takeBuild(data);
      if (!build) return;
      const order = build.protocol - this.#mine.protocol || build.migrations - this.#mine.migrations;
      if (order > 0) this.#claimed(scope, build);
      if (order < 0 && build.answer) this.#answer.run();
    };
    this.tell();
  }

  /** Tells the others that this build is here. */
  tell(): void {
    this.#post(true);
  }

  close(): void {
    this.#answer.end();
    this.#channel?.close();
    this.#channel = undefined;
  }

  // A newer build is believed if its tab lives: it holds a tab's lock of this database, whose name has its protocol.
  #claimed(scope: string, build: BuildMessage): void {
    if (!build.lock.startsWith(`heddle:${build.protocol}:${scope}:`)) return;
    this.#lockHolders.check(`build ${build.lock}`, (holders) => {
      if (this.#channel && holders.has(build.lock)) this.#newer(build);
    });
  }

  #post(answer: boolean): void {
    this.#channel?.postMessage({ ...this.#mine, answer } satisfies BuildMessage);
  }
}
