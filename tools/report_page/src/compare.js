import { bytes, count, percent, seconds, section } from "./dom.js";
import { sortableTable } from "./table.js";

export function compareSection(data) {
  const rows = data.runs.map((run) => ({ ...run, label: run.label ?? run.plan, fits: run.fits_in_memory ? "yes" : "no" }));
  return section("plans", "Plans, best first", null, sortableTable("plans-table", [
    { key: "label", label: "plan" }, { key: "step_time_s", label: "step", numeric: true, show: seconds },
    { key: "tokens_per_second_per_gpu", label: "tokens/s/GPU", numeric: true, show: (v) => count(Math.round(v)) },
    { key: "mfu", label: "MFU", numeric: true, show: percent }, { key: "peak_memory_bytes", label: "peak memory", numeric: true, show: bytes },
    { key: "gpus", label: "GPUs", numeric: true }, { key: "fits", label: "fits" },
  ], rows));
}
