import { PGlite } from "@electric-sql/pglite";
import { worker } from "@electric-sql/pglite/worker";

void worker({ init: ({ meta }) => PGlite.create(meta.dir) });
