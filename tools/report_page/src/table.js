import { element } from "./dom.js";

// A table whose columns sort on a click or by keyboard. columns: {key, label, show?, numeric?}.
export function sortableTable(id, columns, rows, initial) {
  const body = element("tbody");
  const state = { key: initial?.key, descending: initial?.descending ?? false };
  const headers = columns.map((column) => {
    const button = element("button", { type: "button", onclick: () => sortBy(column.key) }, column.label);
    return element("th", { scope: "col", "data-key": column.key, class: column.numeric ? "number" : null }, button);
  });
  function sortBy(key) {
    state.descending = state.key === key ? !state.descending : false;
    state.key = key;
    draw();
  }
  function ordered() {
    if (!state.key) return rows;
    const sign = state.descending ? -1 : 1;
    return [...rows].sort((a, b) => {
      const [x, y] = [a[state.key], b[state.key]];
      if (x === y) return 0;
      if (x === null || x === undefined || x === "") return 1;
      if (y === null || y === undefined || y === "") return -1;
      return (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true })) * sign;
    });
  }
  function draw() {
    headers.forEach((header, i) => {
      const sorted = columns[i].key === state.key;
      header.setAttribute("aria-sort", sorted ? (state.descending ? "descending" : "ascending") : "none");
    });
    body.replaceChildren(...ordered().map((row) => element("tr", {}, ...columns.map((column) => {
      const value = row[column.key];
      const shown = value === null || value === undefined ? "" : column.show ? column.show(value) : String(value);
      return element("td", { class: column.numeric ? "number" : null, "data-value": value }, shown);
    }))));
  }
  draw();
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `table ${id}` },
    element("table", { id }, element("thead", {}, element("tr", {}, ...headers)), body));
}
