// Tells lists of migrations apart: a leader refuses a tab whose list differs from its own.

/** 32-bit FNV-1a over the length in bytes, a u32, and the text of each, without white space around it. */
export function hashMigrations(migrations: readonly string[]): number {
  const encoder = new TextEncoder();
  let hash = 0x811c9dc5;
  const take = (byte: number) => { hash = Math.imul(hash ^ byte, 0x01000193); };
  for (const sql of migrations) {
    const bytes = encoder.encode(sql.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, ""));
    for (let shift = 0; shift < 32; shift += 8) take((bytes.length >>> shift) & 255);
    for (const byte of bytes) take(byte);
  }
  return hash >>> 0;
}
