// The report: reads the data that `rehearse` put into the page and draws one section for each part it has.
import { breakdownSection, communicationSection, memorySection, rooflineSection, stagesSection } from "./charts.js";
import { summarySection } from "./summary.js";
import { sweepSections } from "./sweep.js";
import { compareSection } from "./compare.js";
import { timelineSection } from "./timeline.js";

const data = JSON.parse(document.getElementById("data").textContent);
const main = document.querySelector("main");

const sections = {
  run: [summarySection, timelineSection, breakdownSection, memorySection, stagesSection, rooflineSection, communicationSection],
  compare: [compareSection, breakdownSection],
  sweep: sweepSections,
};

document.title = data.title;
document.querySelector("h1").textContent = data.title;
document.getElementById("subtitle").textContent = data.subtitle ?? "";
for (const section of sections[data.kind]) {
  const node = section(data);
  if (node) main.append(node);
}
document.documentElement.dataset.ready = "true";
