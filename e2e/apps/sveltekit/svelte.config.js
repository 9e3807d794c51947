import adapter from "@sveltejs/adapter-node";

const directives = {
  "script-src": ["self", "wasm-unsafe-eval"], "worker-src": ["self"], "connect-src": ["self"],
};

export default { kit: { adapter: adapter(), csp: { directives } } };
