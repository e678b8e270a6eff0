import * as d3 from "d3";
import { element, seconds, section } from "./dom.js";

const laneHeight = 18, axisHeight = 24;
const palette = { forward: "#2a9d6f", backward: "#1f6f8b", recompute: "#8ab17d", optimizer: "#4c9be8", host: "#b8b4e8", collective: "#e07b39", send: "#e2b93b", receive: "#f0d98c", join: "#999999" };

// Streams of ranks from top to bottom, time to the right, on a canvas: wheel, drag, pinch or keys zoom and
// move, a click or the arrow keys with Alt read a task out.
export function timelineSection(data) {
  const timeline = data.timeline;
  if (!timeline?.tasks.length) return null;
  const canvas = element("canvas", { tabindex: 0, role: "img", "aria-label": "timeline of streams; plus and minus zoom, arrow keys move, 0 shows the whole step" });
  const readout = element("output", { class: "readout", "aria-live": "polite" }, "Point at a task.");
  const names = element("div", { class: "lanes", "aria-hidden": "true" }, ...timeline.lanes.map((lane) => element("div", {}, lane)));
  const height = timeline.lanes.length * laneHeight + axisHeight;
  const byLane = timeline.lanes.map(() => []);
  for (const task of timeline.tasks) byLane[task[0]].push(task);
  for (const lane of byLane) lane.sort((a, b) => a[1] - b[1]);
  const end = d3.max(timeline.tasks, (t) => t[1] + t[2]);
  const begin = Math.min(0, d3.min(timeline.tasks, (t) => t[1]));
  let width = 300, transform = d3.zoomIdentity, placed = false;
  const base = () => d3.scaleLinear([begin, end], [0, width]);
  const x = () => transform.rescaleX(base());
  const zoom = d3.zoom().scaleExtent([1, 20000]).on("zoom", (event) => { transform = event.transform; requestAnimationFrame(draw); });
  const selection = d3.select(canvas);
  // The step itself; what the host issued before it lies to the left.
  const whole = () => {
    const k = (end - begin) / end;
    return d3.zoomIdentity.scale(k).translate(width / k - width, 0);
  };

  function draw() {
    const context = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1, scale = x();
    const style = getComputedStyle(document.documentElement);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const [from, to] = scale.domain();
    canvas.dataset.span = String(to - from);
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    byLane.forEach((lane, index) => {
      const top = index * laneHeight + 2;
      let last = -1;
      const first = Math.max(0, d3.bisector((t) => t[1]).left(lane, from) - 1);
      for (let i = first; i < lane.length && lane[i][1] < to; ++i) {
        const [, start, duration, name, micro, activity] = lane[i];
        const left = scale(start), right = scale(start + duration);
        if (right <= last) continue; // nothing to see: it lies in a pixel that is drawn
        context.fillStyle = palette[timeline.activities[activity]] ?? "#999999";
        context.fillRect(left, top, Math.max(0.5, right - left - (right - left > 3 ? 0.5 : 0)), laneHeight - 4);
        last = Math.max(right, left + 0.5);
        if (right - left > 30) {
          const text = timeline.names[name] + (micro >= 0 ? ` ${micro}` : "");
          context.save();
          context.beginPath();
          context.rect(left, top, right - left, laneHeight - 4);
          context.clip();
          context.fillStyle = "#111";
          context.fillText(text, Math.max(left, 0) + 3, top + (laneHeight - 4) / 2);
          context.restore();
        }
      }
    });
    context.fillStyle = style.color || "#444";
    context.textAlign = "center";
    for (const tick of scale.ticks(Math.max(2, width / 110))) context.fillText(seconds(tick * 1e-6), Math.min(width - 24, Math.max(24, scale(tick))), height - axisHeight / 2);
    context.textAlign = "start";
  }
  function at(px, py) {
    const lane = byLane[Math.floor(py / laneHeight)];
    if (!lane) return null;
    const time = x().invert(px), i = d3.bisector((t) => t[1]).right(lane, time) - 1;
    return i >= 0 && lane[i][1] + lane[i][2] >= time ? lane[i] : null;
  }
  function show(task) {
    if (!task) return;
    const [lane, start, duration, name, micro, activity] = task;
    readout.textContent = `${timeline.lanes[lane]}: ${timeline.names[name]}, ${timeline.activities[activity]}${micro >= 0 ? `, micro-batch ${micro}` : ""}, at ${seconds(start * 1e-6)} for ${seconds(duration * 1e-6)}`;
  }
  canvas.addEventListener("pointermove", (event) => show(at(event.offsetX, event.offsetY)));
  canvas.addEventListener("keydown", (event) => {
    const actions = {
      "+": () => zoom.scaleBy(selection, 1.6), "=": () => zoom.scaleBy(selection, 1.6), "-": () => zoom.scaleBy(selection, 1 / 1.6),
      ArrowLeft: () => zoom.translateBy(selection, width / 6 / transform.k, 0), ArrowRight: () => zoom.translateBy(selection, -width / 6 / transform.k, 0),
      0: () => zoom.transform(selection, whole()),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
  selection.call(zoom);
  const holder = element("div", { class: "canvas" }, canvas);
  new ResizeObserver(([entry]) => {
    width = Math.max(100, Math.floor(entry.contentRect.width));
    const ratio = window.devicePixelRatio || 1;
    Object.assign(canvas, { width: width * ratio, height: height * ratio });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    zoom.extent([[0, 0], [width, height]]).translateExtent([[0, 0], [width, height]]);
    if (!placed) zoom.transform(selection, whole());
    placed = true;
    draw();
  }).observe(holder);
  const button = (label, action) => element("button", { type: "button", onclick: action }, label);
  const controls = element("div", { class: "controls" },
    button("Zoom in", () => zoom.scaleBy(selection, 2)), button("Zoom out", () => zoom.scaleBy(selection, 0.5)), button("Whole step", () => zoom.transform(selection, whole())));
  const used = [...new Set(timeline.tasks.map((t) => timeline.activities[t[5]]))];
  const legend = element("ul", { class: "legend" }, ...used.map((a) => element("li", {}, element("span", { style: `background:${palette[a] ?? "#999"}` }), a)));
  const note = timeline.note ?? null;
  return section("timeline", "Timeline", note, controls, legend, element("div", { class: "timeline" }, names, holder), readout);
}
