/**
 * Limits how often an action runs: at once, then not again within a time; calls
 * that come meanwhile share one run at its end. So an answer to what any script
 * of the origin can ask costs little.
 */
export class Throttle {
  readonly #act: () => void;
  readonly #ms: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = false;

  constructor(ms: number, act: () => void) {
    this.#ms = ms;
    this.#act = act;
  }

  run(): void {
    if (this.#timer !== undefined) {
      this.#due = true;
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#due) this.run();
    }, this.#ms);
    this.#due = false;
    this.#act();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#due = false;
  }
}
