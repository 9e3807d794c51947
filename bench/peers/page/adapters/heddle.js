// Heddle, from the files of its own npm package, or of another build of it.
export async function connect({ from = "/heddle/" }) {
  const { open } = await import(/* @vite-ignore */ new URL(`${from}index.js`, location.href).href);
  performance.mark("script");
  const db = await open({ name: "bench" });
  return {
    close: () => db.close(),
    exec: (sql, params) => db.exec(sql, params),
    query: (sql, params) => db.query(sql, params),
    bulk: (table, columns, rows) => db.bulk(`INSERT INTO ${table}(${columns}) VALUES (${columns.map(() => "?")})`,
      rows),
    live: (sql, _tables, fn) => db.live(sql, [], fn),
    // Rows as they come, once the package can.
    ...(db.iterate && {
      async stream(sql, fn) {
        let part = [];
        for await (const row of db.iterate(sql)) if (part.push(row) === 1000) { fn(part); part = []; }
        if (part.length) fn(part);
      },
    }),
  };
}
