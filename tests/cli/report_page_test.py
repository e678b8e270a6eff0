"""The pages of --report, opened in headless Chromium by tools/report_page/test (Playwright)."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(os.environ["REHEARSE_SOURCE_DIR"])
REHEARSE = os.environ["REHEARSE"]
PAGE = ROOT / "tools/report_page"


def rehearse(*arguments):
    subprocess.run([REHEARSE, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


class ReportPageTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def node_modules(self):
        """The page's packages as package-lock.json says, in the build directory."""
        here = pathlib.Path(os.environ["REHEARSE_BUILD_DIR"]) / "report_page"
        here.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json", "build.mjs"):
            shutil.copy(PAGE / name, here)
        for name in ("src", "test"):
            shutil.copytree(PAGE / name, here / name, dirs_exist_ok=True)
        if not (here / "node_modules/playwright-core").exists():
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=here, check=True)
        return here

    def write_pages(self):
        run = ("run", "llama3-8b-4xh200", "--plan", "pp4", "--set", "training.global_batch_size=8")
        rehearse(*run, "--report", self.folder / "run.html", "--json", self.folder / "run.json")
        rehearse("compare", "llama3-8b-4xh200", "--report", self.folder / "compare.html")
        rehearse("sweep", "llama3-8b-4xh200", "--out", self.folder / "sweep.csv",
                 "--report", self.folder / "sweep.html")  # fmt: skip

    def test_pages_in_a_browser(self):
        here = self.node_modules()
        self.write_pages()
        for page in self.folder.glob("*.html"):
            text = page.read_text(encoding="utf-8")
            self.assertNotIn("@DATA@", text)
        done = subprocess.run(["node", "--test", "test/page.test.mjs"], cwd=here, text=True,
                              capture_output=True, env={**os.environ, "PAGES": str(self.folder)})  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout[-6000:] + done.stderr[-2000:])

    def test_the_committed_page_is_what_its_sources_build(self):
        here = self.node_modules()
        subprocess.run(["node", "build.mjs"], cwd=here, check=True, stdout=subprocess.DEVNULL)
        for name in ("page.html", "LICENSES.txt"):
            self.assertEqual((here / name).read_text(), (PAGE / name).read_text(), name)


if __name__ == "__main__":
    unittest.main()
