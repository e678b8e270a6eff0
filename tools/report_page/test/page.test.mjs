// Opens the pages that PAGES (a folder with run, compare and sweep as .html and .json) holds in headless
// Chromium, as a reader would, at two widths and in both colour schemes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const pages = process.env.PAGES;
const options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
let browser;
before(async () => { browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: options }); });
after(() => browser?.close());

async function open(name, width = 1280, colorScheme = "light") {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => /^https?:/.test(request.url()) && complaints.push(`network: ${request.url()}`));
  await page.goto(`file://${pages}/${name}.html`);
  await page.waitForSelector("html[data-ready=true]");
  await page.waitForTimeout(300);
  return { page, complaints };
}

for (const name of ["run", "compare", "sweep"])
  for (const [width, scheme] of [[1280, "light"], [390, "dark"]])
    test(`${name} at ${width} px, ${scheme}: draws without complaint and without scrolling sideways`, async () => {
      const { page, complaints } = await open(name, width, scheme);
      assert.deepEqual(complaints, []);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
      assert.ok((await page.locator(".chart svg").count()) > 0);
      await page.close();
    });

test("the numbers on the page are those of the JSON", async () => {
  const run = JSON.parse(readFileSync(`${pages}/run.json`, "utf8"));
  const { page } = await open("run");
  for (const field of ["step_time_s", "tokens_per_second_per_gpu", "mfu", "peak_memory_bytes", "memory_capacity_bytes", "gpus", "parameters"])
    assert.equal(Number(await page.locator(`[data-field=${field}]`).getAttribute("data-value")), run[field], field);
  const parts = await page.locator("#breakdown-table tbody tr").evaluateAll((rows) => rows.map((r) => Number(r.children[2].dataset.value) / 1e3));
  const expected = Object.values(run.breakdown_s);
  parts.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-12));
  assert.equal(await page.locator("#stages-table tbody tr").count(), run.stages.length);
  assert.equal(await page.locator("#communication-table tbody tr").count(), run.communication.length);
  await page.close();
});

test("the timeline zooms by button, wheel and keyboard, and reads tasks out", async () => {
  const { page } = await open("run");
  const canvas = page.locator("#timeline canvas"), span = async () => Number(await canvas.getAttribute("data-span"));
  const whole = await span();
  await page.getByRole("button", { name: "Zoom in" }).click();
  await page.waitForTimeout(400);
  const half = await span();
  assert.ok(half < 0.6 * whole);
  await canvas.focus();
  await page.keyboard.press("+");
  await page.waitForTimeout(400);
  assert.ok((await span()) < half);
  await page.keyboard.press("0");
  await page.waitForTimeout(400);
  assert.ok(Math.abs((await span()) - whole) < 1e-6 * whole);
  const box = await canvas.boundingBox();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 9);
  await page.mouse.wheel(0, -400);
  await page.waitForTimeout(400);
  assert.ok((await span()) < whole);
  for (let x = 0.1; x < 1; x += 0.02) await page.mouse.move(box.x + box.width * x, box.y + 9);
  assert.match(await page.locator(".readout").textContent(), /rank 0 compute: .+ for /);
  await page.close();
});

for (const [name, table, key] of [["run", "kernels-table", "count"], ["compare", "plans-table", "mfu"], ["sweep", "points-table", "step_time_s"]])
  test(`${table} sorts both ways, also from the keyboard`, async () => {
    const { page } = await open(name);
    const header = page.locator(`#${table} th[data-key=${key}]`), button = header.locator("button");
    const column = await header.evaluate((th) => [...th.parentElement.children].indexOf(th));
    const values = () => page.locator(`#${table} tbody tr`).evaluateAll((rows, i) => rows.map((r) => r.children[i].dataset.value).filter((v) => v && v !== "null").map(Number), column);
    await button.click();
    const first = await header.getAttribute("aria-sort"), before = await values();
    await button.focus();
    await page.keyboard.press("Enter");
    const second = await header.getAttribute("aria-sort"), reversed = await values();
    assert.deepEqual([first, second].sort(), ["ascending", "descending"]);
    const ascending = first === "ascending" ? before : reversed, descending = first === "ascending" ? reversed : before;
    assert.deepEqual(ascending, [...ascending].sort((a, b) => a - b));
    assert.deepEqual(descending, [...descending].sort((a, b) => b - a));
    await page.close();
  });
