import react from "@vitejs/plugin-react";
import heddle from "heddle/vite";
import { defineConfig } from "vite";

// dedupe: heddle is a link here, and would find another React.
export default defineConfig({ plugins: [react(), heddle()], resolve: { dedupe: ["react"] } });
