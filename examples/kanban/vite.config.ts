import { defineConfig } from "vite";

// Heddle is a link here: without this the query builders would be there twice.
export default defineConfig({ resolve: { dedupe: ["drizzle-orm", "kysely"] } });
