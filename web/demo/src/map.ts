// A map of the world that is nothing but the places themselves: one dot for
// each half degree in which people live, brighter where there are more.
import { h } from "./dom.js";

export interface Cell { x: number; y: number; n: number }
export interface Point { lat: number; lng: number }

// Half degrees, from 80° north to 57° south.
const width = 720, top = 20, height = 274;

export interface WorldMap {
  element: HTMLElement;
  draw(cells: readonly Cell[]): void;
  mark(points: readonly Point[]): void;
  point(point: Point | undefined): void;
}

export function createMap(): WorldMap {
  const canvas = h("canvas",
    { width: width * 2, height: height * 2, role: "img", "aria-label": "Map of the places in the database" });
  const element = h("figure", { class: "map" }, canvas);
  const context = canvas.getContext("2d")!;
  let cells: readonly Cell[] = [], marks: readonly Point[] = [], one: Point | undefined;

  const paint = () => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = getComputedStyle(element).color;
    const shades = [0.28, 0.5, 0.75, 1];
    for (const [i, alpha] of shades.entries()) {
      context.globalAlpha = alpha;
      for (const { x, y, n } of cells) {
        if (Math.min(3, Math.floor(Math.log2(n))) === i) context.fillRect(x * 2, (y - top) * 2, 2, 2);
      }
    }
    context.globalAlpha = 0.9;
    context.fillStyle = getComputedStyle(canvas).color;
    for (const { lat, lng } of marks) dot(lat, lng, 4);
    context.globalAlpha = 1;
    if (one) {
      context.strokeStyle = context.fillStyle;
      context.lineWidth = 2;
      dot(one.lat, one.lng, 6);
      context.beginPath();
      context.arc((one.lng + 180) * 4, ((90 - one.lat) * 2 - top) * 2, 15, 0, 7);
      context.stroke();
    }
  };
  const dot = (lat: number, lng: number, radius: number) => {
    context.beginPath();
    context.arc((lng + 180) * 4, ((90 - lat) * 2 - top) * 2, radius, 0, 7);
    context.fill();
  };
  document.addEventListener("themechange", paint);
  return {
    element,
    draw(to) { cells = to; paint(); },
    mark(points) { marks = points; paint(); },
    point(to) { one = to; paint(); },
  };
}
