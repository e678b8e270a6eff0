import * as Plot from "@observablehq/plot";
import * as d3 from "d3";
import { bytes, element, responsive, seconds, section } from "./dom.js";
import { sortableTable } from "./table.js";

const isNumber = (v) => typeof v === "number" && Number.isFinite(v);

// Points that no other beats in both time and memory.
function front(rows) {
  let least = Infinity;
  return [...rows].sort((a, b) => a.step_time_s - b.step_time_s || a.peak_memory_bytes - b.peak_memory_bytes)
    .filter((row) => row.peak_memory_bytes < least && (least = row.peak_memory_bytes) >= 0);
}

const describe = (row, keys) => keys.map((key) => `${key.split(".").pop()} ${row[key]}`).join(", ");

function scatter({ sweep }) {
  const rows = sweep.rows.filter((r) => isNumber(r.step_time_s));
  const best = front(rows.filter((r) => r.fits_in_memory));
  const draw = (width) => Plot.plot({
    width, height: width < 520 ? 320 : 440, marginLeft: 60, grid: true, x: { label: "peak memory, GB" }, y: { label: "step, s", type: "log" },
    color: { domain: ["fits", "does not fit"], range: ["#2a9d6f", "#c94f4f"], legend: true },
    marks: [
      Plot.line(best, { x: (d) => d.peak_memory_bytes / 1e9, y: "step_time_s", stroke: "#7a6ff0", strokeWidth: 2, curve: "step-after" }),
      Plot.dot(rows, { x: (d) => d.peak_memory_bytes / 1e9, y: "step_time_s", fill: (d) => (d.fits_in_memory ? "fits" : "does not fit"), r: 3, fillOpacity: 0.7, tip: true,
        title: (d) => `${describe(d, sweep.keys)}\n${seconds(d.step_time_s)}, ${bytes(d.peak_memory_bytes)}` }),
    ],
  });
  return section("front", "Time against memory", `${rows.length} plans; the line joins those that none beats in both.`, responsive(draw, "scatter of step time against peak memory"));
}

// Each varied key an axis, each plan a line; faster plans are darker.
function parallel({ sweep }) {
  const rows = sweep.rows.filter((r) => isNumber(r.step_time_s) && r.fits_in_memory);
  const keys = [...sweep.keys, "step_time_s"].filter((key) => new Set(rows.map((r) => r[key])).size > 1);
  if (rows.length === 0 || keys.length < 2) return null;
  const place = new Map(keys.map((key) => {
    const values = [...new Set(rows.map((r) => r[key]))];
    if (key === "step_time_s") {
      const scale = d3.scaleLog(d3.extent(values), [0, 1]);
      return [key, { at: scale, ticks: d3.extent(values), show: seconds }];
    }
    values.sort((a, b) => (isNumber(a) && isNumber(b) ? a - b : String(a).localeCompare(String(b))));
    return [key, { at: (v) => (values.length === 1 ? 0.5 : values.indexOf(v) / (values.length - 1)), ticks: values, show: String }];
  }));
  const shown = [...rows].sort((a, b) => b.step_time_s - a.step_time_s).slice(-600);
  const lines = shown.flatMap((row, i) => keys.map((key) => ({ i, key, y: place.get(key).at(row[key]), step: row.step_time_s })));
  const ticks = keys.flatMap((key) => place.get(key).ticks.map((v) => ({ key, y: place.get(key).at(v), text: place.get(key).show(v) })));
  const label = (key) => (key === "step_time_s" ? "step" : key.split(".").pop());
  const draw = (width) => Plot.plot({
    width, height: 380, marginTop: 24, marginBottom: 40, marginLeft: 40, marginRight: 50, x: { type: "point", domain: keys, tickFormat: label, label: null, tickRotate: width < 700 ? -25 : 0 }, y: { axis: null },
    color: { type: "log", scheme: "viridis", label: "step, s" },
    marks: [
      Plot.ruleX(keys, { strokeOpacity: 0.4 }), Plot.line(lines, { x: "key", y: "y", z: "i", stroke: "step", strokeOpacity: 0.5 }),
      Plot.text(ticks, { x: "key", y: "y", text: "text", dx: 6, textAnchor: "start", stroke: "var(--background)", fill: "currentColor", strokeWidth: 3 }),
    ],
  });
  return section("parallel", "Choices and their times", "A line is a plan that fits; it crosses each axis at the plan's value.", responsive(draw, "parallel coordinates of the plans"));
}

function table({ sweep }) {
  const numeric = (key) => sweep.rows.some((r) => isNumber(r[key]));
  const show = (key) => (key.endsWith("_bytes") ? bytes : key.endsWith("_s") ? seconds : (v) => (isNumber(v) && !Number.isInteger(v) ? v.toPrecision(4) : String(v)));
  const columns = sweep.columns.map((key) => ({ key, label: key, numeric: numeric(key), show: show(key) }));
  const refused = sweep.rows.filter((r) => !isNumber(r.step_time_s)).length;
  return section("points", "All points", refused ? `${refused} of ${sweep.rows.length} points are not possible; their reasons are in the table.` : null,
    element("div", {}, sortableTable("points-table", columns, sweep.rows, { key: "step_time_s" })));
}

export const sweepSections = [scatter, parallel, table];
