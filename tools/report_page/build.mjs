// Bundles the page into one self-contained file, with the licences of what is in it.
import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";

const result = await build({ entryPoints: ["src/index.js"], bundle: true, minify: true, format: "iife", target: "es2021", charset: "utf8", write: false, legalComments: "none", metafile: true });
const script = result.outputFiles[0].text.replaceAll("</script", "<\\/script");
const css = (await readFile("src/page.css", "utf8")).replaceAll(/\s*\n\s*/g, "\n").trim();
const packages = [...new Set(Object.keys(result.metafile.inputs).map((p) => p.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean))].sort();
const licences = [];
for (const name of packages) {
  const about = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
  const text = await readFile(`node_modules/${name}/LICENSE`, "utf8").catch(() => "");
  licences.push(`${name} ${about.version} (${about.license})\n\n${text.trim()}`);
}
const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>rehearse</title>
<link rel="icon" href="data:,">
<style>
${css}
</style>
</head>
<body>
<header><h1></h1><p id="subtitle"></p></header>
<main></main>
<footer>Written by rehearse. Charts: d3 and Observable Plot (ISC).</footer>
<script type="application/json" id="data">@DATA@</script>
<script>${script}</script>
</body>
</html>
`;
await writeFile("page.html", page);
await writeFile("LICENSES.txt", licences.join("\n\n----------------------------------------\n\n") + "\n");
console.log(`page.html: ${(page.length / 1024).toFixed(0)} KiB, ${packages.length} packages`);
