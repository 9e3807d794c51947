// A few helpers in place of a framework.

type Child = Node | string | null | undefined | false;
type Props = { [name: string]: string | number | boolean | null | undefined | ((event: never) => unknown) };

/** Makes an element: attributes by name, listeners by "onclick", children after. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {},
  ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

/** The element with that id; the page's HTML has it. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Whether things may move. */
export const moves = (): boolean => !still.matches && !document.hidden;

/**
 * Makes list's children those of items, in order: nodes of keys that stay are
 * kept and glide to their new places, new ones fade in, others go.
 */
export function reconcile<T>(list: HTMLElement, items: readonly T[], key: (item: T) => string,
  create: (item: T) => HTMLElement, update: (node: HTMLElement, item: T) => void): void {
  const animate = moves() && list.childElementCount > 0;
  const before = new Map<HTMLElement, DOMRect>();
  const old = new Map<string, HTMLElement>();
  for (const node of list.children as unknown as Iterable<HTMLElement>) {
    old.set(node.dataset["key"] ?? "", node);
    if (animate) before.set(node, node.getBoundingClientRect());
  }
  let next = list.firstElementChild;
  const fresh: HTMLElement[] = [];
  const wanted = new Set(items.map(key));
  for (const [id, node] of old) {
    if (wanted.has(id)) continue;
    if (next === node) next = node.nextElementSibling;
    node.remove();
  }
  for (const item of items) {
    let node = old.get(key(item));
    if (!node) {
      node = create(item);
      node.dataset["key"] = key(item);
      fresh.push(node);
    }
    update(node, item);
    if (next === node) next = node.nextElementSibling;
    else list.insertBefore(node, next);
  }
  if (!animate) return;
  const easing = "cubic-bezier(.2,.8,.2,1)";
  for (const [node, was] of before) {
    if (!node.isConnected) continue;
    const now = node.getBoundingClientRect();
    const x = was.left - now.left, y = was.top - now.top;
    if (x || y) {
      node.animate([{ transform: `translate(${x}px,${y}px)` }, { transform: "none" }], { duration: 260, easing });
    }
  }
  for (const node of fresh) {
    node.animate([{ opacity: 0, transform: "translateY(8px) scale(.98)" }, { opacity: 1, transform: "none" }],
      { duration: 240, easing });
  }
}

/** Calls fn once things have been quiet for ms. */
export function debounce(ms: number, fn: () => void): { (): void; flush(): void; cancel(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const run = () => { timer = undefined; fn(); };
  return Object.assign(() => { clearTimeout(timer); timer = setTimeout(run, ms); }, {
    flush() { if (timer !== undefined) { clearTimeout(timer); run(); } },
    cancel() { clearTimeout(timer); timer = undefined; },
  });
}

/** Calls fn at most once every ms, and once more after the last call. */
export function throttle(ms: number, fn: () => void): () => void {
  let last = -Infinity, timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    if (timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      last = performance.now();
      fn();
    }, Math.max(0, last + ms - performance.now()));
  };
}

/** 12345 as the reader's language writes it. */
export const number = (n: number): string => n.toLocaleString();
