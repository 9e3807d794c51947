// Light and dark: the system's choice, until someone presses the button.

const dark = matchMedia("(prefers-color-scheme: dark)");
const key = "heddle-theme";

function saved(): string | null {
  try { return localStorage.getItem(key); } catch { return null; }
}

export function startTheme(): void {
  const button = document.getElementById("theme")!;
  let choice = saved();
  const show = () => {
    const isDark = choice ? choice === "dark" : dark.matches;
    document.documentElement.dataset["theme"] = isDark ? "dark" : "light";
    button.setAttribute("aria-label", `Change to ${isDark ? "light" : "dark"} colours`);
    document.dispatchEvent(new Event("themechange"));
  };
  button.addEventListener("click", () => {
    choice = document.documentElement.dataset["theme"] === "dark" ? "light" : "dark";
    try { localStorage.setItem(key, choice); } catch { /* private mode: the choice lasts as long as the page */ }
    show();
  });
  dark.addEventListener("change", show);
  show();
}
