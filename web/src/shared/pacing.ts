/**
 * Does something at once when asked to, but not again within a time: what is
 * asked meanwhile is done once, at its end. So an answer to a question that
 * anybody can ask costs little, however often it is asked.
 */
export class Paced {
  readonly #act: () => void;
  readonly #ms: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asked = false;

  constructor(ms: number, act: () => void) {
    this.#ms = ms;
    this.#act = act;
  }

  ask(): void {
    if (this.#timer !== undefined) {
      this.#asked = true;
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#asked) this.ask();
    }, this.#ms);
    this.#asked = false;
    this.#act();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asked = false;
  }
}
