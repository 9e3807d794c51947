import heddle from "heddle/vite";
import { VitePWA } from "vite-plugin-pwa";

export default { plugins: [heddle(), VitePWA()] };
