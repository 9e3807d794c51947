import react from "@vitejs/plugin-react";
import heddle from "heddle/vite";

export default { plugins: [react(), heddle()] };
