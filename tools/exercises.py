#!/usr/bin/python3
"""The questions of the notebooks: packs, unpacks and renews them, and runs notebooks with them answered.

usage: tools/exercises.py unpack FILE.json    writes what tools/python/rehearse/exercises.dat holds
       tools/exercises.py pack FILE.json      renews exercises.dat from it
       tools/exercises.py renew               runs the notebooks' solutions and keeps what they answer, as
                                              after a change of the simulator's constants

FILE is {"topic.qN": {"answer", "tolerance" (relative), "hint", "solution" (Python code)}}. The file is
packed so that answers are not in plain sight. renew needs the module on PYTHONPATH (build/release/python).
"""

import base64
import json
import os
import pathlib
import sys
import textwrap
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKED = ROOT / "tools/python/rehearse/exercises.dat"


def read():
    return json.loads(zlib.decompress(base64.b85decode(PACKED.read_bytes().replace(b"\n", b""))))


def write(questions):
    for name, entry in questions.items():
        missing = {"answer", "hint", "solution"} - set(entry)
        if missing:
            sys.exit(f"{name} lacks {', '.join(sorted(missing))}")
    packed = base64.b85encode(zlib.compress(json.dumps(questions).encode(), 9)).decode()
    PACKED.write_text("\n".join(textwrap.wrap(packed, 100)) + "\n")


def notebooks():
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def execute(path, after_question):
    """Runs a notebook from top to bottom as it is, unanswered; behind every question's cell also its
    solution, followed by after_question(name). Returns the executed notebook; a cell that fails raises
    nbclient's CellExecutionError."""
    import nbclient
    import nbformat

    notebook = nbformat.read(path, 4)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        question = cell.metadata.get("exercise")
        if question:
            solve = f'exec(rehearse.exercises.solution("{question}"))\n{after_question(question)}'
            cells.append(nbformat.v4.new_code_cell(solve))
    notebook.cells = cells
    place = {"metadata": {"path": str(path.parent)}}
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # a debugger nobody asked for warns
    return nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()


def renew():
    questions = read()
    for path in notebooks():
        shown = execute(path, lambda q: f'print("ANSWER", __import__("json").dumps({q}))')
        topic = next(k.split(".")[0] for k in questions
                     if f'topic("{k.split(".")[0]}")' in path.read_text().replace('\\"', '"'))  # fmt: skip
        for asked, solved in zip(shown.cells, shown.cells[1:]):
            question = asked.metadata.get("exercise")
            if not question:
                continue
            line = next(t for o in solved.outputs for t in o.get("text", "").splitlines()
                        if t.startswith("ANSWER "))  # fmt: skip
            entry, answer = questions[f"{topic}.{question}"], json.loads(line[7:])
            if entry.get("answer") != answer:
                print(f"{topic}.{question}: {entry.get('answer')} -> {answer}")
            entry["answer"] = answer
    write(questions)


def main():
    match sys.argv[1:]:
        case ["unpack", file]:
            text = json.dumps(read(), indent=2, ensure_ascii=False)
            pathlib.Path(file).write_text(text + "\n", encoding="utf-8")
        case ["pack", file]:
            write(json.loads(pathlib.Path(file).read_text(encoding="utf-8")))
        case ["renew"]:
            renew()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
