// Runs engine/sqlite3.wasm without Go: a memory of its own, and as much of its
// imports as a database in memory needs. For measuring the module alone.

const stackSize = 1 << 20;
const page = 1 << 16;

/** The sizes of a side module's data and table, from its dylink.0 section. */
function sizes(module) {
  const [section] = WebAssembly.Module.customSections(module, "dylink.0");
  const bytes = new Uint8Array(section);
  let at = 2; // subsection 1 and its size
  const leb = () => {
    let value = 0, shift = 0, byte;
    do { byte = bytes[at++]; value |= (byte & 0x7f) << shift; shift += 7; } while (byte & 0x80);
    return value;
  };
  const memory = leb();
  leb();
  return { memory, table: leb() };
}

/** Instantiates SQLite and opens a database in memory. */
export function open(module) {
  const { memory: dataSize, table: tableSize } = sizes(module);
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536 });
  const dataAt = page, stackAt = dataAt + Math.ceil(dataSize / page) * page;
  if (stackAt + stackSize > memory.buffer.byteLength) throw new Error("the data does not fit");
  const words = () => new DataView(memory.buffer);
  const host = {
    // A block for the allocator, by growth of the memory.
    go_block(size) {
      const pages = Math.ceil(words().getUint32(size, true) / page), at = memory.grow(pages) * page;
      words().setUint32(size, pages * page, true);
      return at;
    },
    go_randomness(_vfs, n, at) {
      crypto.getRandomValues(new Uint8Array(memory.buffer, at, n));
      return n;
    },
    go_current_time_64(_vfs, at) {
      words().setBigInt64(at, BigInt(Math.round(Date.now() + 210866760000000)), true);
      return 0;
    },
    log: Math.log, log2: Math.log2, log10: Math.log10,
  };
  const table = new WebAssembly.Table({ element: "anyfunc", initial: 1 + tableSize });
  const constant = (value, mutable = false) => new WebAssembly.Global({ value: "i32", mutable }, value);
  const imports = { env: {
    memory, __indirect_function_table: table,
    __stack_pointer: constant(stackAt + stackSize, true), __memory_base: constant(dataAt), __table_base: constant(1),
  }, "GOT.func": {} };
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    if (kind === "function") imports.env[name] ??= host[name] ?? (() => 0);
    // What is called through the table needs a signature; the rest is not called here.
    else if (from === "GOT.func") imports["GOT.func"][name] = constant(parameters[name]
      ? table.grow(1, typed(host[name], parameters[name])) : table.grow(1), true);
  }
  const { exports: c } = new WebAssembly.Instance(module, imports);
  c.__set_stack_limits(stackAt + stackSize, stackAt);
  c.__wasm_apply_data_relocs();
  c._initialize();

  const text = (string) => {
    const bytes = new TextEncoder().encode(`${string}\0`), at = c.sqlite3_malloc(bytes.length);
    new Uint8Array(memory.buffer).set(bytes, at);
    return at;
  };
  const string = (at) => {
    const bytes = new Uint8Array(memory.buffer);
    return new TextDecoder().decode(bytes.subarray(at, bytes.indexOf(0, at)));
  };
  const out = c.sqlite3_malloc(8);
  let db = 0;
  const check = (rc) => {
    if (rc !== 0 && rc !== 100 && rc !== 101) throw new Error(`${string(c.sqlite3_errmsg(db))} (${rc})`);
    return rc;
  };
  check(c.sqlite3_open_v2(text(":memory:"), out, 6, 0));
  db = words().getUint32(out, true);
  const prepare = (sql) => {
    const at = text(sql);
    check(c.sqlite3_prepare_v3(db, at, -1, 1, out, 0));
    c.sqlite3_free(at);
    return words().getUint32(out, true);
  };
  return { c, prepare, check, string, exec(sql) {
    for (const one of sql.split(";")) {
      if (!one.trim()) continue;
      const statement = prepare(one);
      check(c.sqlite3_exec_go(statement));
      c.sqlite3_finalize(statement);
    }
  } };
}

const parameters = { go_randomness: 3, go_current_time_64: 2 };

/** A function of JavaScript as one of WebAssembly that takes n i32 and returns one. */
function typed(f, n) {
  const type = [0x60, n, ...Array(n).fill(0x7f), 1, 0x7f];
  const bytes = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, type.length + 1, 1, ...type, 2, 7, 1, 1, 0x65, 1, 0x66, 0, 0, 7, 5,
    1, 1, 0x66, 0, 0];
  return new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes)), { e: { f } }).exports.f;
}
