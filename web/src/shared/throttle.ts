/**
 * Does something at once when asked to, but not again within a time: what is
 * asked meanwhile is done once, at its end. So an answer to a question that
 * anybody can ask costs little, however often it is asked.
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
