"""The same auction on PostgreSQL, Redis and Gavel, in one run: what a user would build instead.

    cargo xtask bench peers        (or: python3 benches/peers/peers.py [--seconds 3] [--rounds 3])

One auction is 12 commands: open an RFQ (hold the reserve), 10 sealed quotes of 10 providers, close
(rank, say why each quote lost, move the price into escrow and the rest back). Servers are started
afresh in a temporary directory and listen on a Unix socket only. What the figures include is printed
with them; the last line is JSON.
"""

import argparse
import collections
import contextlib
import glob
import json
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
QUOTES = 10
COMMANDS = QUOTES + 2
RESERVE = 40_000_000
BUYERS = PROVIDERS = 1_000
CLIENTS = 16
PIPELINED_AUCTIONS = 32
SERVER_AUCTIONS = 1_000
START_WAIT_S = 30

# Rows of the same load are compared. "core": no client and no disk in the way; "many" and "one":
# durable when the client is told, with many commands or one in flight; none: for the picture only.
Row = collections.namedtuple("Row", "system load how durability commands_per_s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="of all measurements (default: 3)")
    arguments = parser.parse_args()
    postgres = require_peers()
    subprocess.run(["cargo", "build", "--release", "-p", "gavel"], cwd=ROOT, check=True)
    rounds = []
    for number in range(1, arguments.rounds + 1):
        print(f"round {number} of {arguments.rounds}", file=sys.stderr, flush=True)
        rounds.append(measure(postgres, arguments.seconds))
    medians = [
        rows[0]._replace(commands_per_s=statistics.median(row.commands_per_s for row in rows))
        for rows in zip(*rounds)
    ]
    report(medians, arguments, postgres)


def measure(postgres, seconds):
    """Returns a row per measurement: all systems in turns, so that a noisy minute hits all of them."""
    with tempfile.TemporaryDirectory(prefix="gavel-peers-") as folder:
        folder = pathlib.Path(folder)
        # PostgreSQL's own user has to get at its part of it.
        folder.chmod(0o755)
        rows = measure_postgres(postgres, folder, seconds)
        rows += measure_redis(folder, seconds)
    return rows + measure_gavel(seconds)


# --- What is needed -------------------------------------------------------------------------------


def require_peers():
    """Returns PostgreSQL's directory of programs; installs what is missing, or says what it is."""
    if not (find_postgres() and shutil.which("redis-server")):
        packages = ["postgresql", "redis-server"]
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            sys.exit(f"missing: install {' and '.join(packages)} (Debian's names) and try again")
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet)
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "-qq"]
        subprocess.run(install + packages, check=True, env=quiet)
    return find_postgres()


def find_postgres():
    found = glob.glob("/usr/lib/postgresql/*/bin/pgbench")
    newest = max(found, key=lambda path: int(path.split("/")[-3]), default=shutil.which("pgbench"))
    return newest and pathlib.Path(newest).resolve().parent


def wait_until(ready, what):
    deadline = time.monotonic() + START_WAIT_S
    while not ready():
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not start within {START_WAIT_S} s")
        time.sleep(0.05)


@contextlib.contextmanager
def serving(command, what, ready):
    """Runs a server until the block ends."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: server.poll() is None and ready(), what)
        yield
    finally:
        server.terminate()
        server.wait(timeout=START_WAIT_S)


# --- PostgreSQL -----------------------------------------------------------------------------------


def measure_postgres(programs, folder, seconds):
    data = folder / "postgres"
    data.mkdir()
    user = []
    if os.geteuid() == 0:
        # PostgreSQL does not run as root.
        shutil.chown(data, "postgres")
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust"]
    subprocess.run(user + initdb, check=True, stdout=subprocess.DEVNULL)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": data,
        "shared_buffers": "1GB",
        "max_wal_size": "8GB",
    }
    command = user + [programs / "postgres", "-D", data]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    where = ["-h", data, "-U", "postgres"]
    is_ready = [programs / "pg_isready", "-q", *where]
    rows = []
    with serving(command, "PostgreSQL", lambda: succeeds(is_ready)):
        psql = [programs / "psql", "-q", "-v", "ON_ERROR_STOP=1", *where]
        subprocess.run([*psql, "-f", HERE / "auction.sql"], check=True)
        rows.append(measure_in_server(psql, seconds))
        runs = [(1, False), (CLIENTS, False), (CLIENTS, True)]
        runs = [(durability, *run) for durability in ("on", "off") for run in runs]
        # RFQs below the first number are those of the loop in the server.
        for number, (durability, clients, pipelined) in enumerate(runs, 1):
            script = folder / "auction.pgbench"
            script.write_text(pgbench_script(number, pipelined))
            bench = [programs / "pgbench", *where, "-n", "-M", "prepared", "-f", script]
            bench += ["-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds)]
            bench += ["-D", "n=0", "postgres"]
            environment = dict(os.environ, PGOPTIONS=f"-c synchronous_commit={durability}")
            output = run_text(bench, environment)
            auctions_per_s = float(re.search(r"tps = ([\d.]+)", output).group(1))
            how = f"{clients} client" + ("s" if clients > 1 else "")
            how += f", {COMMANDS} commands per commit" if pipelined else ", a commit per command"
            load = ("one" if clients == 1 else "many") if durability == "on" else None
            durable = f"synchronous_commit={durability}"
            rows.append(Row("PostgreSQL", load, how, durable, auctions_per_s * COMMANDS))
        check = "SELECT sum(amount) FROM posting; SELECT count(*) FROM quote q JOIN rfq r"
        check += " ON r.id = q.rfq AND r.state <> 'o'"
        if run_text([*psql, "-At", "-c", check]).split() != ["0", "0"]:
            sys.exit("PostgreSQL's auctions do not add up")
    return rows


def measure_in_server(psql, seconds):
    """Measures whole auctions in a loop inside the server, many to a transaction."""
    auctions, spent = 0, 0.0
    while spent < seconds:
        query = f"SELECT run_auctions({auctions + 1}, {SERVER_AUCTIONS})"
        timed = run_text([*psql, "-At", "-c", "\\timing on", "-c", query])
        spent += float(re.search(r"Time: ([\d.]+) ms", timed).group(1)) / 1e3
        auctions += SERVER_AUCTIONS
    rate, durability = auctions * COMMANDS / spent, f"{SERVER_AUCTIONS} auctions per commit"
    return Row("PostgreSQL", "core", "a loop in the server, no client", durability, rate)


def pgbench_script(number, pipelined):
    """Returns one auction. Variables stay with a client, so each has RFQ numbers of its own."""
    lines = ["\\set n :n + 1"]
    lines += [f"\\set rfq ({number} * 1000 + :client_id) * 100000000 + :n"]
    lines += [f"\\set buyer random(1, {BUYERS})", f"\\set first random(0, {PROVIDERS - 1})"]
    for quote in range(QUOTES):
        lines.append(f"\\set provider{quote} {BUYERS + 1} + (:first + {quote} * 97) % {PROVIDERS}")
        lines.append(f"\\set price{quote} random(10000000, 45000000)")
    lines += ["\\startpipeline"] * pipelined
    lines.append(f"SELECT open_rfq(:rfq, :buyer, {RESERVE});")
    for quote in range(QUOTES):
        lines.append(f"SELECT place_quote(:rfq, :provider{quote}, :price{quote});")
    lines.append("SELECT close_rfq(:rfq);")
    lines += ["\\endpipeline"] * pipelined
    return "\n".join(lines) + "\n"


# --- Redis ----------------------------------------------------------------------------------------


def measure_redis(folder, seconds):
    rows = []
    for number, durability in enumerate(("no", "everysec", "always")):
        path = folder / f"redis{number}.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", path, "--dir", folder]
        command += ["--save", "", "--appenddirname", f"aof{number}"]
        command += ["--appendonly", "no" if durability == "no" else "yes"]
        if durability != "no":
            command += ["--appendfsync", durability]
        with serving(command, "Redis", path.exists):
            redis = Redis(path)
            redis.ask([["FUNCTION", "LOAD", (HERE / "auction.lua").read_text()]])
            accounts = range(1, BUYERS + PROVIDERS + 1)
            fields = ["available", 10**15, "held", 0, "escrow", 0]
            redis.ask([["HSET", f"account:{account}", *fields] for account in accounts])
            shown = "no journal" if durability == "no" else f"appendfsync={durability}"
            is_durable = durability == "always"
            if durability == "no":
                rate = redis.measure_in_server(seconds)
                rows.append(Row("Redis", "core", "a loop in the server, no client", shown, rate))
            rate = redis.measure(0, seconds)
            rows.append(Row("Redis", "one" if is_durable else None, "one at a time", shown, rate))
            rate = redis.measure(PIPELINED_AUCTIONS, seconds)
            how = f"pipelined, {PIPELINED_AUCTIONS * COMMANDS} commands"
            rows.append(Row("Redis", "many" if is_durable else None, how, shown, rate))
            redis.check()
    return rows


class Redis:
    """A bare client: requests are encoded beforehand, answers are only counted and checked."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.draws = random.Random(1)
        self.rfqs = 0

    def measure(self, auctions_at_once, seconds):
        """Returns commands per second; without auctions at once, a command waits for the last."""
        done, spent = 0, 0.0
        while spent < seconds:
            # Encoding is the client's business: it is kept out of the time.
            batches = [self.auction() for _ in range(max(auctions_at_once, 8))]
            commands = [command for auction in batches for command in auction]
            encoded = [encode(command) for command in commands]
            groups = encoded if auctions_at_once == 0 else [b"".join(encoded)]
            size = 1 if auctions_at_once == 0 else len(encoded)
            start = time.perf_counter()
            for group in groups:
                self.socket.sendall(group)
                self.read_answers(size)
            spent += time.perf_counter() - start
            done += len(encoded)
        return done / spent

    def measure_in_server(self, seconds):
        """Returns commands per second of whole auctions in a loop inside the server."""
        auctions, start = 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            self.ask([["FCALL", "run_auctions", 0, self.rfqs + 1, SERVER_AUCTIONS]])
            self.rfqs += SERVER_AUCTIONS
            auctions += SERVER_AUCTIONS
        return auctions * COMMANDS / (time.perf_counter() - start)

    def auction(self):
        self.rfqs += 1
        buyer = self.draws.randint(1, BUYERS)
        first = self.draws.randrange(PROVIDERS)
        commands = [["FCALL", "open_rfq", 0, self.rfqs, buyer, RESERVE]]
        for quote in range(QUOTES):
            provider = BUYERS + 1 + (first + quote * 97) % PROVIDERS
            price = self.draws.randint(10_000_000, 45_000_000)
            commands.append(["FCALL", "place_quote", 0, self.rfqs, provider, price])
        return [*commands, ["FCALL", "close_rfq", 0, self.rfqs]]

    def ask(self, commands):
        self.socket.sendall(b"".join(encode(command) for command in commands))
        self.read_answers(len(commands))

    def read_answers(self, count):
        """Reads simple answers: a line each, or two for a text."""
        pending = b""
        while True:
            pending += self.socket.recv(1 << 20)
            if pending.startswith(b"-") or b"\r\n-" in pending:
                sys.exit(f"Redis refused: {pending[:200]!r}")
            if pending.endswith(b"\r\n") and answers_in(pending) == count:
                return

    def check(self):
        """Checks that no money was made or lost, and that no quote was left over."""
        script = """
            local sum = 0
            for account = 1, tonumber(ARGV[1]) do
                local key = 'account:' .. account
                local money = redis.call('HMGET', key, 'available', 'held', 'escrow')
                if money[2] ~= '0' then return -1 end
                sum = sum + (tonumber(money[1]) + tonumber(money[3]) - 10^15)
            end
            return sum + #redis.call('KEYS', 'quotes:*')
        """
        self.socket.sendall(encode(["EVAL", script, 0, BUYERS]))
        answer = self.socket.recv(1 << 16)
        if answer != b":0\r\n":
            sys.exit(f"Redis' auctions do not add up: {answer!r}")


def answers_in(pending):
    """Returns how many whole answers there are. A text (`$4`, then `1234`) has a line more; a nil
    (`$-1`) has not."""
    lines = pending.count(b"\r\n")
    texts = pending.count(b"$") - pending.count(b"$-1")
    return lines - texts


def encode(command):
    words = [str(word).encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


# --- Gavel ----------------------------------------------------------------------------------------


def measure_gavel(seconds):
    gavel = ["cargo", "run", "--release", "--quiet", "-p", "gavel", "--", "bench"]
    core = last_json([*gavel, "core", "--json"])
    wire = [*gavel, "wire", "--layout", "inline", "--seconds", str(seconds), "--json"]
    wire = last_json([*wire, "--only", "durable", "--only", "updates"])["inline"]
    # A window-0 RFQ against 10 standing quotes opens, holds, ranks, awards, moves and refunds in one
    # command; it stands for the open and the close of the other two.
    auction_ns = QUOTES * core["sealed_quote"]["mean_ns"] + core["window0_rfq_of_10"]["mean_ns"]
    one, many = wire["durable"]["count"] / seconds, wire["durable_updates_per_s"]
    return [
        Row("Gavel", "core", "the core, no client", "no journal", COMMANDS * 1e9 / auction_ns),
        Row("Gavel", "one", "one at a time, over QUIC", "journal, every command", one),
        Row("Gavel", "many", "64 × 32 in flight, over QUIC", "journal, every command", many),
    ]


def last_json(command):
    return json.loads(run_text(command).strip().splitlines()[-1])


def run_text(command, environment=None):
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return done.stdout


def succeeds(command):
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


# --- What came out --------------------------------------------------------------------------------


def report(rows, arguments, postgres):
    versions = [
        run_text([postgres / "postgres", "--version"]).strip(),
        " ".join(run_text(["redis-server", "--version"]).split()[:3]),
    ]
    print(f"{'system':11} {'how':36} {'durability':25} {'commands/s':>11}")
    for row in rows:
        print(f"{row.system:11} {row.how:36} {row.durability:25} {row.commands_per_s:11,.0f}")
    ratios = {load: gavel_ratios(rows, load) for load in ("core", "many", "one")}
    print(f"\n{'Gavel is, against the best of':41} {'PostgreSQL':>11} {'Redis':>11}")
    for load, what in (
        ("core", "in the server, no client"),
        ("many", "durable, many in flight"),
        ("one", "durable, one at a time"),
    ):
        print(f"{what:41} {ratios[load]['PostgreSQL']:9.1f} × {ratios[load]['Redis']:9.1f} ×")
    conditions = dict(vars(arguments), versions=versions, cores=os.cpu_count())
    print(CONDITIONS.format(**conditions | {"versions": "; ".join(versions)}))
    conditions |= {"quotes_per_auction": QUOTES, "commands_per_auction": COMMANDS}
    results = [row._asdict() for row in rows]
    print(json.dumps({"conditions": conditions, "results": results, "gavel_ratios": ratios}))


def gavel_ratios(rows, load):
    """Returns how many times as fast Gavel is as the best row of each peer under the same load."""
    best = {}
    for row in rows:
        if row.load == load:
            best[row.system] = max(row.commands_per_s, best.get(row.system, 0.0))
    return {peer: best["Gavel"] / best[peer] for peer in ("PostgreSQL", "Redis")}


CONDITIONS = f"""
{{versions}}; {{cores}} cores.
Medians of {{rounds}} rounds of {{seconds}} s each, closed loop. An auction is {COMMANDS} commands: open an RFQ,
{QUOTES} sealed quotes, close. Peers: Unix socket; PostgreSQL driven by pgbench with prepared
statements; Redis by a bare socket in Python, which costs it some microseconds a round trip (its
encoding is not counted). Gavel's core: {QUOTES} sealed quotes, and a window-0 RFQ of {QUOTES} for open and
close; it keeps client ids, deadlines and contracts, too. Gavel over QUIC: TLS on loopback, standing-
quote updates, which are cheaper than sealed quotes; the peers' rows are the auction's own commands."""


if __name__ == "__main__":
    main()
