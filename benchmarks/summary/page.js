"use strict";
// The page is whole without scripts: these add the theme's button, the filters, and open tables on paper.
const root = document.documentElement;

const button = document.getElementById("theme");
const store = {
  // Storage may be refused to a file.
  get() { try { return localStorage.getItem("theme"); } catch { return null; } },
  set(theme) { try { localStorage.setItem("theme", theme); } catch { /* the choice lasts as long as the page */ } },
};
const isDark = () => root.dataset.theme
  ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const show = () => {
  button.textContent = isDark() ? "Light" : "Dark";
  button.setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`);
};
if (store.get()) root.dataset.theme = store.get();
button.hidden = false;
button.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  store.set(root.dataset.theme);
  show();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
show();

for (const part of document.querySelectorAll("[data-filter]")) {
  const form = part.querySelector("form");
  const rows = [...part.querySelectorAll("tbody tr")];
  const update = () => {
    const chosen = [...form.querySelectorAll("select")].filter((list) => list.value);
    for (const row of rows) {
      row.hidden = chosen.some((list) => !row.dataset[list.name].split(" ").includes(list.value));
    }
    const output = form.querySelector("output");
    output.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} ${output.dataset.noun}`;
  };
  form.hidden = false;
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}

// A link to what is folded away opens it.
const unfold = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", unfold);
unfold();

let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const each of closed) each.open = true;
});
addEventListener("afterprint", () => { for (const each of closed) each.open = false; });
