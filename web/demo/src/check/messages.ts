// What the page and its worker say to each other.

export interface Ask {
  id: number;
  task: "ping" | "file" | "lock" | "echo" | "open" | "role" | "write" | "close";
  with: string;
}

export interface Answer { id: number; result?: unknown; error?: string }

export const MIGRATIONS = [`CREATE TABLE notes(id TEXT PRIMARY KEY DEFAULT (uuid7()), body TEXT NOT NULL)`];
