// Where tabs of every build of an app meet, whatever protocol they speak
// otherwise: the newer one leads, the older one steps aside and is told. What is
// said here, and the name of the channel, is meant never to change.

import { PROTOCOL } from "./version.js";

/** {t: "build"}: this tab lives and holds the lock named. answer: tell me yours if it is newer. */
export interface BuildMessage {
  t: "build";
  protocol: number;
  migrations: number;
  /** Held by the tab while it can lead. */
  lock: string;
  answer: boolean;
}

const buildsChannel = (scope: string) => `heddle:${scope}:builds`;

export class Builds {
  readonly #mine: Omit<BuildMessage, "answer">;
  readonly #newer: (build: BuildMessage) => void;
  #channel: BroadcastChannel | undefined;

  /** @param newer a tab of a newer build lives */
  constructor(migrations: number, lock: string, newer: (build: BuildMessage) => void) {
    this.#mine = { t: "build", protocol: PROTOCOL, migrations, lock };
    this.#newer = newer;
  }

  /** Tells the others, once the lock is held. */
  open(scope: string): void {
    const channel = this.#channel = new BroadcastChannel(buildsChannel(scope));
    channel.onmessage = ({ data }: MessageEvent<BuildMessage>) => {
      if (data.t !== "build") return;
      const order = data.protocol - this.#mine.protocol || data.migrations - this.#mine.migrations;
      if (order > 0) this.#newer(data);
      if (order < 0 && data.answer) this.#post(false);
    };
    this.tell();
  }

  /** Tells the others that this build is here. */
  tell(): void {
    this.#post(true);
  }

  close(): void {
    this.#channel?.close();
    this.#channel = undefined;
  }

  #post(answer: boolean): void {
    this.#channel?.postMessage({ ...this.#mine, answer } satisfies BuildMessage);
  }
}
