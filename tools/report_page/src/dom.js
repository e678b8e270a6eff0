// Small helpers for elements and numbers.

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function section(id, title, note, ...children) {
  return element("section", { id, "aria-labelledby": `${id}-title` },
    element("h2", { id: `${id}-title` }, title), note ? element("p", { class: "note" }, note) : null, ...children);
}

// Redraws a chart whenever the width that it has changes.
export function responsive(draw, label) {
  const holder = element("div", { class: "chart", role: "img", "aria-label": label });
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now === width || now === 0) return;
    width = now;
    holder.replaceChildren(draw(width));
  }).observe(holder);
  return holder;
}

const scaled = (value, unit, steps) => {
  const [factor, prefix] = steps.find(([f]) => Math.abs(value) >= f) ?? steps.at(-1);
  return `${(value / factor).toPrecision(4)} ${prefix}${unit}`;
};
export const seconds = (v) => (v === 0 ? "0 s" : scaled(v, "s", [[1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]]));
export const bytes = (v) => (v === 0 ? "0 B" : scaled(v, "B", [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]]));
export const flopRate = (v) => scaled(v, "FLOP/s", [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1, ""]]);
export const percent = (v) => `${(v * 100).toFixed(1)} %`;
export const count = (v) => v.toLocaleString("en");

export const parts = ["compute", "exposed_communication", "pipeline_bubble", "host", "optimizer"];
export const partColours = ["#2a9d6f", "#e07b39", "#e2b93b", "#7a6ff0", "#4c9be8"];
export const categories = ["parameters", "gradients", "optimizer_states", "activations", "temporary"];
export const categoryColours = ["#4c9be8", "#e07b39", "#7a6ff0", "#2a9d6f", "#999999"];
export const words = (name) => name.replaceAll("_", " ");
