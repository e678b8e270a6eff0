import { bytes, count, element, percent, seconds, section } from "./dom.js";

// The numbers that one looks for first. data-field and data-value let a program read them back.
export function summarySection(data) {
  const run = data.runs[0];
  const item = (field, label, shown, value = run[field]) =>
    element("div", { class: "figure" }, element("dt", {}, label),
      element("dd", { "data-field": field, "data-value": value }, shown));
  const verdict = run.fits_in_memory ? "fits" : "does not fit";
  return section("summary", "The step", run.fits_in_memory ? null : "This plan does not fit in the GPU's memory.",
    element("dl", { class: "figures" },
      item("step_time_s", "step", seconds(run.step_time_s)),
      item("tokens_per_second_per_gpu", "tokens/s/GPU", count(Math.round(run.tokens_per_second_per_gpu))),
      item("mfu", "MFU", percent(run.mfu)),
      item("peak_memory_bytes", "peak memory", bytes(run.peak_memory_bytes)),
      item("memory_capacity_bytes", "usable memory", `${bytes(run.memory_capacity_bytes)}, ${verdict}`),
      item("gpus", "GPUs", count(run.gpus)),
      item("parameters", "parameters", count(run.parameters))));
}
