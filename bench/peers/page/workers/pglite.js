import { PGlite } from "@electric-sql/pglite";
import { worker } from "@electric-sql/pglite/worker";

worker({ init: ({ meta }) => PGlite.create(meta.dir) });
