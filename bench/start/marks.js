// When each step of Heddle's start was reached, seen from outside: the worker's script is served with what notes it,
// and the page's Worker is listened to. Times are milliseconds since the epoch.

/** The steps in order: what each is called, and who notes it. */
export const steps = [
  ["script", "the page's script is there, open() begins"],
  ["begins", "the worker's script runs"],
  ["loaded", "the page hears the worker's first word"],
  ["granted", "the worker has the lock"],
  ["files", "the files are open"],
  ["modules", "the modules are in the worker"],
  ["instantiated", "Go's program is instantiated"],
  ["sqlite", "Go is ready: SQLite reads the file"],
  ["settled", "the database is set up: the last flush, or read"],
  ["leading", "the page hears that the worker leads"],
  ["opened", "open() resolves"],
  ["answered", "the first answer"],
];

/** Goes before the worker's script. */
export const inWorker = `{
  const now = () => performance.timeOrigin + performance.now(), marks = globalThis.marks = { begins: now() };
  const post = globalThis.postMessage.bind(globalThis);
  globalThis.postMessage = (message, ...more) => {
    if (message?.t === "granted") marks.granted ??= now();
    post(message, ...more);
  };
  addEventListener("message", ({ data }) => { if (data?.t === "modules") marks.modules ??= now(); });
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = async (...given) => {
    const instance = await instantiate(...given);
    marks.instantiated ??= now();
    return instance;
  };
  const { createSyncAccessHandle } = FileSystemFileHandle.prototype;
  FileSystemFileHandle.prototype.createSyncAccessHandle = async function (...given) {
    const handle = await createSyncAccessHandle.apply(this, given);
    if (marks.instantiated === undefined) marks.files = now();
    return handle;
  };
  const files = FileSystemSyncAccessHandle.prototype;
  for (const method of ["getSize", "read", "flush"]) {
    const own = files[method];
    files[method] = function (...given) {
      if (marks.instantiated !== undefined) marks.sqlite ??= now();
      const result = own.apply(this, given);
      if (marks.sqlite !== undefined) marks.settled = now();
      return result;
    };
  }
}
`;

/** Runs in the page before its own scripts. */
export const inPage = `{
  const marks = globalThis.startMarks = {}, Native = globalThis.Worker;
  globalThis.Worker = class extends Native {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => {
        if (data?.t === "loaded" || data?.t === "leading") marks[data.t] ??= performance.timeOrigin + performance.now();
      });
    }
  };
}
`;

/** The marks of a page whose first answer is there, in ms from the import. */
export async function marksOf(page) {
  const { began, ...mine } = await page.evaluate(() => {
    const at = (name) => performance.timeOrigin + performance.getEntriesByName(name)[0].startTime;
    return { began: at("import"), script: at("script"), opened: at("opened"), answered: at("answered"),
      ...globalThis.startMarks };
  });
  const [worker] = page.workers();
  const all = { ...mine, ...await worker.evaluate(() => globalThis.marks) };
  return Object.fromEntries(steps.map(([name]) => [name, all[name] - began]));
}
