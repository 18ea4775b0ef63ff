"""The solver beside CP-SAT, HiGHS and microlp, on the same files in one run.

    cargo xtask bench solver        (or: python3 benches/solver/compare.py DIR... [--limit N])

Without directories, `gavel solve --generate` writes some first. Every program runs on one thread and
is given 10 seconds for each file; whatever it has not proven by then counts as 10 seconds. Times are
the processor's, of the solving alone: reading and modelling are not in them. The table and the plot
go into docs/PERFORMANCE.md and docs/plots with --write; the last line printed is JSON.
"""

import argparse
import collections
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DOCUMENT = ROOT / "docs" / "PERFORMANCE.md"
PLOT = ROOT / "docs" / "plots" / "solver-beside-others.svg"
BEGIN, END = "<!-- solver: begin -->", "<!-- solver: end -->"
PACKAGES = ["highspy==1.16.0", "ortools==9.15.6755"]
CAP_S = 10
# Times below this are the clock's own.
LEAST_S = 1e-6
PEERS = ["CP-SAT", "HiGHS", "microlp"]
BUDGETS_US = [1_000, 10_000]

# What a program came to: whether it is proven, the objective or None, seconds of the processor.
Run = collections.namedtuple("Run", "proven objective seconds")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="*", metavar="DIR", help="with .wdp files")
    parser.add_argument("--limit", type=int, help="files of each class (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of what is generated (default: 1)")
    parser.add_argument("--write", action="store_true", help="write the table and the plot")
    arguments = parser.parse_args()
    enter_environment()
    target = build()
    with tempfile.TemporaryDirectory(prefix="gavel-solver-") as folder:
        directories = arguments.directories
        if not directories:
            count = "1" if arguments.limit else "2"
            command = [target / "gavel", "solve", "--generate", folder, "--count", count]
            command += ["--seed", str(arguments.seed)]
            subprocess.run(command, check=True, stdout=sys.stderr)
            directories = [folder]
        classes = collect(directories, arguments.limit)
        rows = [measure(name, files, target) for name, files in classes.items()]
    report(rows, arguments)


# --- What is needed -------------------------------------------------------------------------------


def enter_environment():
    """Goes on in an environment of its own that has the peers; makes it at the first use."""
    environment = target_directory() / "solver-venv"
    if pathlib.Path(sys.prefix) == environment:
        return
    python = environment / "bin" / "python"
    check = "import importlib.metadata as m; " + "; ".join(
        f"assert m.version('{name}') == '{version}'"
        for name, version in (package.split("==") for package in PACKAGES)
    )
    if subprocess.run([python, "-c", check], capture_output=True).returncode if python.exists() else 1:
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(pip + PACKAGES, check=True)
    os.execv(python, [python, *sys.argv])


def target_directory():
    metadata = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    output = subprocess.run(metadata, cwd=ROOT, check=True, capture_output=True).stdout
    return pathlib.Path(json.loads(output)["target_directory"])


def build():
    """Builds what is measured; returns where it lies."""
    for what in (["-p", "gavel", "--bin", "gavel"], ["-p", "gavel-solver", "--example", "microlp"]):
        subprocess.run(["cargo", "build", "--release", "--locked", *what], cwd=ROOT, check=True)
    return target_directory() / "release"


def collect(directories, limit):
    """Returns the files of each class: the name of a file is its class and a number."""
    classes = collections.defaultdict(list)
    for directory in directories:
        for path in sorted(pathlib.Path(directory).rglob("*.wdp")):
            classes[class_of(path.stem)].append(path)
    order = sorted(classes, key=lambda name: (name.startswith("procurement"), order_of(name)))
    spread = {}
    for name in order:
        # With a limit, files of all families are among them.
        files = sorted(classes[name], key=lambda path: (path.stem.rsplit("-", 1)[-1], path.stem))
        step = max(1, math.ceil(len(files) / limit)) if limit else 1
        spread[name] = files[::step]
    return spread


def class_of(stem):
    if found := re.match(r"proc-j(\d+)-", stem):
        return f"procurement, {found[1]} jobs"
    if found := re.match(r".+-([smlx])-\d+$", stem):
        return f"forward {found[1]}"
    return "others"


def order_of(name):
    digits = re.search(r"\d+", name)
    return int(digits[0]) if digits else "smlx".find(name[-1])


# --- The measurement ------------------------------------------------------------------------------


def measure(name, files, target):
    """Returns what every program came to on the files of a class."""
    print(f"{name}: {len(files)} files", file=sys.stderr, flush=True)
    gavel = [target / "gavel", "solve", "--json", "-"]
    whole = run_lines([*gavel, "--budget-us", str(CAP_S * 1_000_000)], files)
    quick = {
        budget: run_lines([*gavel, "--budget-us", str(budget), "--repeat", "5"], files)
        for budget in BUDGETS_US
    }
    peers = {peer: [] for peer in PEERS}
    for path in files:
        problem = read(path)
        peers["CP-SAT"].append(run_cp_sat(problem))
        peers["HiGHS"].append(run_highs(problem))
    peers["microlp"] = run_lines([target / "examples" / "microlp", str(CAP_S)], files)
    return summary(name, files, whole, quick, peers)


def run_lines(command, files):
    """Runs a program that takes names of files and answers each with a line of JSON."""
    names = "".join(f"{path}\n" for path in files)
    done = subprocess.run(command, input=names, text=True, check=True, stdout=subprocess.PIPE)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(files), f"{len(answers)} answers for {len(files)} files"
    return [
        Run(answer["status"] == "optimal", answer["objective"], answer["cpu_us"] / 1e6)
        for answer in answers
    ]


def read(path):
    """Reads an instance: see docs/SOLVER.md. It has been read by the solver, so it is right."""
    problem = {"loads": [], "reserves": [], "groups": [], "bids": []}
    for line in path.read_text().splitlines():
        record, *words = line.split()
        if record in ("kind", "cover"):
            problem[record] = words[0]
        elif record in ("items", "groups"):
            problem[f"{record}_count"] = int(words[0])
        elif record == "j":
            problem["loads"].append(int(words[1]))
            problem["reserves"].append(int(words[2]))
        elif record == "g":
            problem["groups"].append(int(words[2]) if words[1] == "or" else None)
        elif record == "b":
            score, _, group, *items = words
            if items[0].startswith("x"):
                mask = int(items[0][1:], 16)
                items = [item for item in range(mask.bit_length()) if mask >> item & 1]
            group = None if group == "-" else int(group)
            problem["bids"].append((int(score), group, [int(item) for item in items]))
    if problem["kind"] == "forward":
        problem["groups"] = [None] * problem["groups_count"]
    return problem


def rows_of(problem):
    """Returns the rows of the integer program: bids with what they take, least and most.

    What is numbered beyond the bids leaves an item out."""
    bids, forward = problem["bids"], problem["kind"] == "forward"
    items = [[] for _ in range(problem["items_count"])]
    groups = [[] for _ in problem["groups"]]
    for number, (_, group, on) in enumerate(bids):
        for item in on:
            items[item].append((number, 1))
        if group is not None:
            capacity = problem["groups"][group]
            takes = 1 if capacity is None else sum(problem["loads"][item] for item in on)
            groups[group].append((number, takes))
    for item, row in enumerate(items):
        if forward:
            yield row, None, 1
        else:
            row.append((len(bids) + item, 1))
            yield row, 1, 1 if problem["cover"] == "exact" else None
    for row, capacity in zip(groups, problem["groups"]):
        yield row, None, 1 if capacity is None else capacity


def costs_of(problem):
    return [score for score, _, _ in problem["bids"]] + problem["reserves"]


def run_cp_sat(problem):
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    costs = costs_of(problem)
    variables = [model.new_bool_var("") for _ in costs]
    for row, least, most in rows_of(problem):
        total = sum(takes * variables[number] for number, takes in row)
        if least == most:
            model.add(total == least)
        elif least is not None:
            model.add(total >= least)
        elif row:
            model.add(total <= most)
    total = sum(cost * variable for cost, variable in zip(costs, variables))
    if problem["kind"] == "forward":
        model.maximize(total)
    else:
        model.minimize(total)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_time_in_seconds = CAP_S
    start = time.process_time()
    status = solver.solve(model)
    seconds = time.process_time() - start
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    objective = round(solver.objective_value) if found else None
    return Run(status == cp_model.OPTIMAL, objective, seconds)


def run_highs(problem):
    import highspy

    infinite = highspy.kHighsInf
    sign = -1 if problem["kind"] == "forward" else 1
    costs = [sign * cost for cost in costs_of(problem)]
    rows = list(rows_of(problem))
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(costs), len(rows)
    program.col_cost_ = [float(cost) for cost in costs]
    program.col_lower_, program.col_upper_ = [0.0] * len(costs), [1.0] * len(costs)
    program.row_lower_ = [-infinite if least is None else float(least) for _, least, _ in rows]
    program.row_upper_ = [infinite if most is None else float(most) for _, _, most in rows]
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    starts, numbers, takes = [0], [], []
    for row, _, _ in rows:
        numbers += [number for number, _ in row]
        takes += [float(take) for _, take in row]
        starts.append(len(numbers))
    program.a_matrix_.start_ = starts
    program.a_matrix_.index_, program.a_matrix_.value_ = numbers, takes
    # What leaves an item out is whole by itself once the bids are.
    bids = len(problem["bids"])
    kinds = [highspy.HighsVarType.kInteger] * bids
    kinds += [highspy.HighsVarType.kContinuous] * (len(costs) - bids)
    program.integrality_ = kinds
    highs = highspy.Highs()
    for option, value in {
        "output_flag": False,
        "threads": 1,
        "time_limit": float(CAP_S),
        "mip_rel_gap": 0.0,
        "mip_abs_gap": 0.5,
    }.items():
        highs.setOptionValue(option, value)
    highs.passModel(program)
    start = time.process_time()
    highs.run()
    seconds = time.process_time() - start
    objective = highs.getInfo().objective_function_value
    found = math.isfinite(objective) and abs(objective) < 1e29
    proven = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return Run(proven, sign * round(objective) if found else None, seconds)


# --- The report -----------------------------------------------------------------------------------


def summary(name, files, whole, quick, peers):
    bests = []
    for index, path in enumerate(files):
        forward = "kind forward" in path.read_text()[:200]
        runs = [run[index] for run in [whole, *quick.values(), *peers.values()]]
        found = [run.objective for run in runs if run.objective is not None]
        best = max(found) if forward else min(found)
        proven = {run.objective for run in runs if run.proven}
        assert proven <= {best}, f"{path.name}: proven {proven}, but {best} is better"
        bests.append((forward, best))
    row = {"class": name, "files": len(files), "solved": share(whole)}
    for budget, runs in quick.items():
        parts = [
            run.objective / best if forward else best / run.objective
            for run, (forward, best) in zip(runs, bests)
        ]
        row[f"best_{budget}"] = 100 * sum(parts) / len(parts)
        row[f"proven_{budget}"] = share(runs)
    row["seconds"] = geometric(counted(run) for run in whole)
    for peer, runs in peers.items():
        row[peer] = geometric(counted(run) / counted(own) for run, own in zip(runs, whole))
        row[f"{peer}_solved"] = share(runs)
    return row


def share(runs):
    return 100 * sum(run.proven for run in runs) / len(runs)


def counted(run):
    """Returns the seconds that a run counts for."""
    return min(max(run.seconds, LEAST_S), CAP_S) if run.proven else CAP_S


def geometric(values):
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def report(rows, arguments):
    text = table(rows)
    print(text)
    if arguments.write:
        document = DOCUMENT.read_text()
        before, rest = document.split(BEGIN)
        _, after = rest.split(END)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
        PLOT.write_text(plot(rows))
    print(json.dumps(rows))


def table(rows):
    lines = [
        "| class | files | to proof | proven in 10 s | " + " | ".join(PEERS)
        + " | of best, proven at 1 ms | at 10 ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        peers = " | ".join(f"{times(row[peer])} ({row[f'{peer}_solved']:.0f} %)" for peer in PEERS)
        budgets = " | ".join(
            f"{row[f'best_{budget}']:.2f} %, {row[f'proven_{budget}']:.0f} %"
            for budget in BUDGETS_US
        )
        lines.append(
            f"| {row['class']} | {row['files']} | {duration(row['seconds'])} | "
            f"{row['solved']:.0f} % | {peers} | {budgets} |"
        )
    return "\n".join(lines)


def times(ratio):
    return f"{ratio:.0f} ×" if ratio >= 10 else f"{ratio:.1f} ×"


def duration(seconds):
    for unit, size in (("s", 1), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def plot(rows):
    """Draws how much longer the others take, class by class, on a logarithmic axis."""
    left, right, top, bar, gap = 170, 60, 44, 11, 12
    height = top + len(rows) * (len(PEERS) * bar + gap) + 30
    width = 760
    most = max(2.0, *(row[peer] for row in rows for peer in PEERS))
    least = min(1.0, *(row[peer] for row in rows for peer in PEERS))
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    span = (decades[-1] - decades[0]) or 1

    def x(ratio):
        return left + (math.log10(ratio) - decades[0]) / span * (width - left - right)

    colours = ["#4878a8", "#c8803c", "#6a9a58"]
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="14">Processor time to proof, beside gavel solve (geometric mean)</text>',
    ]
    for index, (peer, colour) in enumerate(zip(PEERS, colours)):
        at = left + index * 90
        svg.append(f'<rect x="{at}" y="22" width="10" height="10" fill="{colour}"/>')
        svg.append(f'<text x="{at + 14}" y="31">{peer}</text>')
    for decade in decades:
        at = x(10**decade)
        shade = "#555" if decade == 0 else "#ddd"
        svg.append(f'<path d="M{at:.1f} {top - 6}V{height - 22}" stroke="{shade}"/>')
        svg.append(f'<text x="{at:.1f}" y="{height - 8}" text-anchor="middle">{10**decade:g} ×</text>')
    for index, row in enumerate(rows):
        y = top + index * (len(PEERS) * bar + gap)
        middle = y + len(PEERS) * bar / 2 + 4
        svg.append(f'<text x="{left - 8}" y="{middle:.1f}" text-anchor="end">{row["class"]}</text>')
        for number, (peer, colour) in enumerate(zip(PEERS, colours)):
            begin, end = sorted((x(1), x(row[peer])))
            at = y + number * bar
            svg.append(
                f'<rect x="{begin:.1f}" y="{at}" width="{end - begin:.1f}" height="{bar - 1}" '
                f'fill="{colour}"/>'
            )
            svg.append(f'<text x="{end + 4:.1f}" y="{at + 9}">{times(row[peer])}</text>')
    svg.append("</svg>\n")
    return "\n".join(svg)


if __name__ == "__main__":
    main()
