// For the peers that are an engine and no more: their documentation has the app
// write a worker, and this is the app's side of it. A request is [id, method, ...args].
export function remote(worker) {
  const waiting = new Map();
  let last = 0;
  worker.onmessage = ({ data: [id, error, value] }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error)); else resolve(value);
  };
  worker.onerror = (event) => {
    for (const { reject } of waiting.values()) reject(new Error(event.message || "the worker failed"));
    waiting.clear();
  };
  const call = (...request) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage([last, ...request]);
  });
  return {
    call,
    async close() { await call("close"); worker.terminate(); },
    exec: (sql, params) => call("exec", sql, params),
    // Arrays are cheaper to post than objects; the page names the columns.
    async query(sql, params) {
      const { columns, rows } = await call("query", sql, params);
      return rows.map((row) => {
        const object = {};
        for (let i = 0; i < columns.length; i++) object[columns[i]] = row[i];
        return object;
      });
    },
    bulk: (table, columns, rows) => call("exec", bulkSql(table, columns), [JSON.stringify(rows)]),
  };
}

/** All rows as one JSON text: the quickest way into a SQLite that is called from JavaScript. */
export const bulkSql = (table, columns) =>
  `INSERT INTO ${table}(${columns}) SELECT ${columns.map((_, i) => `value ->> ${i}`)} FROM json_each(?)`;

/** The worker's side: methods may be asynchronous, and run one after another. */
export function serve(methods) {
  let turn = Promise.resolve();
  globalThis.onmessage = ({ data: [id, method, ...args] }) => {
    turn = turn.then(async () => {
      try {
        postMessage([id, null, await methods[method](...args)]);
      } catch (error) {
        postMessage([id, String(error?.message ?? error)]);
      }
    });
  };
}
