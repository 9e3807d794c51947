const evaluates = process.env.NODE_ENV === "development" ? "'unsafe-eval'" : "'wasm-unsafe-eval'";
const policy = `script-src 'self' 'unsafe-inline' ${evaluates}; worker-src 'self'; connect-src 'self'`;

export default {
  reactStrictMode: true,
  headers: async () => [{ source: "/:path*", headers: [{ key: "Content-Security-Policy", value: policy }] }],
};
