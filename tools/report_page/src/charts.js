import * as Plot from "@observablehq/plot";
import { bytes, categories, categoryColours, count, flopRate, partColours, parts, percent, responsive, seconds, section, words } from "./dom.js";
import { sortableTable } from "./table.js";

const compact = (width) => width < 520;

export function breakdownSection(data) {
  const rows = data.runs.flatMap((run, i) => parts.map((part) => ({
    run: run.label ?? run.plan ?? `#${i + 1}`, part: words(part), value: run.breakdown_s[part] * 1e3,
    share: run.breakdown_s[part] / run.step_time_s,
  })));
  const draw = (width) => Plot.plot({
    width, height: 70 + 36 * data.runs.length, marginLeft: data.runs.length > 1 ? 90 : 10,
    x: { label: "time of a step, ms" }, y: { label: null, axis: data.runs.length > 1 ? "left" : null, domain: [...new Set(rows.map((r) => r.run))] },
    color: { domain: parts.map(words), range: partColours, legend: true },
    marks: [
      Plot.barX(rows, { x: "value", y: "run", fill: "part", tip: true, title: (d) => `${d.part}: ${seconds(d.value / 1e3)}, ${percent(d.share)}` }),
      Plot.ruleX([0]),
    ],
  });
  const table = sortableTable("breakdown-table", [
    { key: "run", label: "plan" }, { key: "part", label: "part" },
    { key: "value", label: "time, ms", numeric: true, show: (v) => v.toFixed(3) }, { key: "share", label: "share", numeric: true, show: percent },
  ], rows);
  return section("breakdown", "Where the step goes", "On the slowest rank; the parts add up to the step.", responsive(draw, "stacked bars of the parts of a step"), table);
}

export function memorySection(data) {
  if (!data.memory?.length) return null;
  const capacity = data.runs[0].memory_capacity_bytes / 1e9;
  const draw = (width) => {
    const holder = document.createElement("div");
    for (const rank of data.memory) {
      const points = rank.points.flatMap(([time, ...values]) => values.map((value, i) => ({ time, category: words(categories[i]), value: value / 1e9 })));
      holder.append(Plot.plot({
        width, height: 220, title: data.memory.length > 1 ? `rank ${rank.rank}, stage ${rank.stage}` : undefined,
        x: { label: "time, ms" }, y: { label: "GB", grid: true }, color: { domain: categories.map(words), range: categoryColours, legend: rank === data.memory[0] },
        marks: [
          Plot.areaY(points, Plot.stackY({ x: "time", y: "value", fill: "category", curve: "step-after" })),
          Plot.ruleY([capacity], { strokeDasharray: "4 3", clip: true }), Plot.ruleY([0]),
        ],
      }));
    }
    return holder;
  };
  return section("memory", "Memory over time", "Allocated bytes as PyTorch counts them, in the order in which the host asks for them; the dashed line is what is usable.", responsive(draw, "stacked areas of memory by category"));
}

export function stagesSection(data) {
  const rows = data.runs[0].stages.map((stage) => ({ stage: stage.pipeline_stage, peak: stage.peak_memory_bytes, reserved: stage.peak_reserved_bytes, ...stage.memory_at_peak_bytes }));
  const columns = [{ key: "stage", label: "stage", numeric: true }, ...["peak", "reserved", ...categories].map((key) => ({ key, label: words(key), numeric: true, show: bytes }))];
  return section("stages", "Memory of the stages at their peaks", null, sortableTable("stages-table", columns, rows));
}

export function rooflineSection(data) {
  if (!data.kernels?.length) return null;
  const { peak_flops: peak, bandwidth, name } = data.roofline;
  const points = data.kernels.filter((k) => k.flops > 0 && k.bytes > 0).map((k) => ({ ...k, intensity: k.flops / k.bytes, rate: k.flops / k.time_s }));
  const ridge = peak / bandwidth;
  const low = Math.min(0.05, ...points.map((p) => p.intensity)), high = Math.max(ridge * 8, ...points.map((p) => p.intensity * 1.5));
  const roof = [{ x: low, y: low * bandwidth }, { x: ridge, y: peak }, { x: high, y: peak }];
  const total = Math.max(...points.map((p) => p.total_s));
  const draw = (width) => Plot.plot({
    width, height: compact(width) ? 300 : 420, marginLeft: 60, grid: true,
    x: { type: "log", label: "arithmetic intensity, FLOPs per byte" }, y: { type: "log", label: "FLOP/s", tickFormat: "~s" }, r: { domain: [0, total], range: [2, 14] },
    marks: [
      Plot.line(roof, { x: "x", y: "y", strokeWidth: 2 }),
      Plot.text([{ x: high, y: peak }], { x: "x", y: "y", text: [`${name}: ${flopRate(peak)}`], textAnchor: "end", dy: -8 }),
      Plot.dot(points, { x: "intensity", y: "rate", r: "total_s", fill: "#2a9d6f", fillOpacity: 0.6, stroke: "currentColor", strokeOpacity: 0.4, tip: true,
        title: (d) => `${d.operator}\n${d.name}\n${d.intensity.toPrecision(4)} FLOPs per byte\n${flopRate(d.rate)}\n${count(d.count)} times, ${seconds(d.total_s)} a step` }),
    ],
  });
  const table = sortableTable("kernels-table", [
    { key: "operator", label: "operator" }, { key: "name", label: "kernel" }, { key: "count", label: "times", numeric: true },
    { key: "time_s", label: "each", numeric: true, show: seconds }, { key: "total_s", label: "a step", numeric: true, show: seconds },
    { key: "flops", label: "FLOPs", numeric: true, show: (v) => v.toExponential(3) }, { key: "bytes", label: "bytes", numeric: true, show: bytes },
  ], data.kernels, { key: "total_s", descending: true });
  return section("roofline", "Kernels on the roofline", "Each dot is a kernel of the slowest rank with its shape; its area grows with its time in a step. FLOPs and least bytes moved; kernels that only move data are in the table.", responsive(draw, "roofline with kernels as dots"), table);
}

export function communicationSection(data) {
  const rows = data.runs[0].communication;
  if (!rows.length) return null;
  const children = [];
  if (data.matrix?.labels.length > 1) {
    const { labels, bytes: values } = data.matrix;
    const cells = values.flatMap((row, i) => row.map((value, j) => ({ from: labels[i], to: labels[j], value })));
    const draw = (width) => Plot.plot({
      width: Math.min(width, 640), height: Math.min(width, 640) + 40, marginLeft: 60, marginTop: 50, x: { domain: labels, axis: "top", label: "to", tickRotate: labels.length > 8 ? -60 : 0 }, y: { domain: labels, label: "from" },
      color: { type: "sqrt", scheme: "YlOrRd", label: "bytes a step", legend: true, tickFormat: "~s" },
      marks: [Plot.cell(cells.filter((c) => c.value > 0), { x: "to", y: "from", fill: "value", inset: 0.5, tip: true, title: (d) => `${d.from} to ${d.to}: ${bytes(d.value)}` })],
    });
    children.push(responsive(draw, "matrix of bytes between ranks"));
  }
  children.push(sortableTable("communication-table", [
    { key: "operation", label: "operation" }, { key: "group", label: "group" }, { key: "count", label: "count", numeric: true, show: count },
    { key: "payload_bytes", label: "payload", numeric: true, show: bytes }, { key: "wire_bytes_per_rank", label: "sent by a rank", numeric: true, show: bytes },
    { key: "time_s", label: "time", numeric: true, show: seconds }, { key: "exposed_s", label: "exposed", numeric: true, show: seconds },
  ], rows, { key: "time_s", descending: true }));
  return section("communication", "Communication", "Payload is the full buffer; what a rank sends is one direction. The matrix has what goes from rank to rank (or host to host) in a step.", ...children);
}
