"use strict";
// Dark or light: as the system has it, until the reader says otherwise.
const theme = {
  get dark() { return document.documentElement.dataset.theme === "dark"; },
  colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); },
  set(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    document.dispatchEvent(new Event("theme"));
  },
};
{
  const wish = matchMedia("(prefers-color-scheme: dark)");
  let chosen = false;
  theme.set(wish.matches);
  wish.addEventListener("change", () => { if (!chosen) theme.set(wish.matches); });
  document.getElementById("theme").addEventListener("click", () => { chosen = true; theme.set(!theme.dark); });
}
