// The engine's thread: the browser's worker, on Node.js.

import "./platform.js";
import "../worker/index.js";
