// A map of the world that is nothing but the places themselves: one dot for each half degree in which people live,
// brighter where there are more.
import { useEffect, useRef, useState } from "react";

export interface Cell { x: number; y: number; n: number }
export interface Point { lat: number; lng: number }

// Half degrees, from 80° north to 57° south.
const width = 720, top = 20, height = 274;

interface Props { cells: readonly Cell[]; marks: readonly Point[]; one: Point | undefined }

export function WorldMap({ cells, marks, one }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [theme, setTheme] = useState(0);
  useEffect(() => {
    const changed = () => setTheme((n) => n + 1);
    document.addEventListener("themechange", changed);
    return () => document.removeEventListener("themechange", changed);
  }, []);
  useEffect(() => paint(canvas.current!, { cells, marks, one }), [cells, marks, one, theme]);
  return (
    <figure className="map">
      <canvas ref={canvas} width={width * 2} height={height * 2} role="img"
        aria-label="Map of the places in the database" />
    </figure>
  );
}

function paint(canvas: HTMLCanvasElement, { cells, marks, one }: Props): void {
  const context = canvas.getContext("2d")!;
  const at = ({ lat, lng }: Point): [number, number] => [(lng + 180) * 4, ((90 - lat) * 2 - top) * 2];
  const circle = (point: Point, radius: number) => {
    context.beginPath();
    context.arc(...at(point), radius, 0, 2 * Math.PI);
  };
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(canvas.parentElement!).color;
  for (const [i, alpha] of [0.28, 0.5, 0.75, 1].entries()) {
    context.globalAlpha = alpha;
    for (const { x, y, n } of cells) {
      if (Math.min(3, Math.floor(Math.log2(n))) === i) context.fillRect(x * 2, (y - top) * 2, 2, 2);
    }
  }
  context.globalAlpha = 0.9;
  context.fillStyle = context.strokeStyle = getComputedStyle(canvas).color;
  for (const mark of marks) { circle(mark, 4); context.fill(); }
  context.globalAlpha = 1;
  if (!one) return;
  context.lineWidth = 2;
  circle(one, 6);
  context.fill();
  circle(one, 15);
  context.stroke();
}
