"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const points = JSON.parse(document.getElementById("curve-points").textContent);
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");

  const style = JSON.parse(document.getElementById("chart-config").textContent);
  // Labels beside a chart take half of its width at most.
  const config = (width) => ({ ...style, axis: { ...style.axis, labelLimit: Math.round(width / 2) } });

  const draw = async (place, spec) => {
    const options = {
      actions: false, renderer: "svg", config: config(place.clientWidth), tooltip: { theme: "dark" },
      logLevel: 1, // errors only: that no curve is chosen deserves no warning
    };
    await window.vegaEmbed(place, spec, options);
    // One picture with its description: the marks inside have no names worth reading one by one.
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", spec.description);
    const picture = place.querySelector("svg");
    picture.removeAttribute("role");
    picture.setAttribute("aria-hidden", "true");
  };

  // Learning curves.
  const form = document.getElementById("curve-controls");
  const curves = () => {
    const chosen = new FormData(form);
    const names = new Set(chosen.getAll("trick"));
    const [net, value, split] = ["net", "value", "split"].map((name) => chosen.get(name));
    const shown = points.filter((p) => p.net === net && p.split === split && names.has(p.name));
    const spec = structuredClone(charts.curves);
    spec.data.values = shown.map((p) => ({ name: p.name, seed: p.seed, x: p.x, y: p[value] }));
    const what = `${split === "train" ? "training" : split} ${value}`;
    spec.layer.forEach((layer) => { layer.encoding.y.title = value === "loss" ? `${what} (nats)` : what; });
    const drawn = [...new Set(shown.map((p) => p.name))];
    spec.description = `${what} of ${net} against training steps: ${drawn.join(", ") || "no trick chosen"}`;
    document.getElementById("curve-status").textContent =
      `${net}, ${what}: ${drawn.length} ${drawn.length === 1 ? "curve" : "curves"}`;
    return draw(document.getElementById("curve-chart"), spec);
  };
  const drawAll = () => Promise.all([...document.querySelectorAll("[data-chart]")].map((place) =>
    place.dataset.chart === "curves" ? curves() : draw(place, charts[place.dataset.chart])));
  form.addEventListener("change", curves);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelectorAll("[data-all]").forEach((button) => button.addEventListener("click", () => {
    form.querySelectorAll("[name=trick]").forEach((box) => { box.checked = Boolean(button.dataset.all); });
    curves();
  }));

  // Light and dark.
  const button = document.getElementById("theme");
  const remember = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* file:// may forbid it */ } };
  const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const isDark = () => (root.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
  const label = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`); };
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  button.hidden = false;
  label();
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    label();
  });
  prefersDark.addEventListener("change", label);

  // Tables that sort: numbers by their value, what is missing last.
  const key = (row, column) => {
    const cell = row.cells[column];
    const text = cell.textContent.trim();
    if (text === "" || text === "\u2014" || cell.querySelector(".flaw")) return null;
    return cell.classList.contains("number") ? parseFloat(text.replace("\u2212", "-").replace(/^< /, "")) : text;
  };
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" && typeof b === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  };
  document.querySelectorAll(".sortable table").forEach((table) => {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => {
      const control = document.createElement("button");
      control.type = "button";
      control.append(...head.childNodes);
      head.append(control);
      control.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
        rows.sort(([a], [b]) => (down && a !== null && b !== null ? compare(b, a) : compare(a, b)));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  });

  // A link to a run opens its card; printing opens everything.
  const open = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  // The second click on the same link changes no hash.
  addEventListener("click", (event) => {
    if (event.target.closest("a")?.getAttribute("href") === location.hash) open();
  });
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((part) => { part.open = false; }));
  drawAll().then(() => { root.dataset.ready = "1"; open(); });
})();
