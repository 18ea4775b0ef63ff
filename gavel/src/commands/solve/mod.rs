//! `gavel solve`: clear bundles from instance files, and show who wins and what is proven.

mod plot;

use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use gavel_solver::file::Instance;
use gavel_solver::{
    Amount, Budget, Config, Payment, Payments, Progress, Solution, Solver, Status, file, generate,
    pay,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::Exit;
use crate::args::SolveArgs;
use crate::output::Output;

/// Bytes of the largest instance file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The budget of an allocation if none is given, in microseconds.
const BUDGET_DEFAULT_US: u64 = 1_000;

/// Solves the files, or generates some.
pub fn run(args: &SolveArgs, output: &Output) -> anyhow::Result<Exit> {
    if let Some(directory) = &args.generate {
        return generate_into(directory, args, output);
    }
    let mut solver = Solver::default();
    let mut exit = Exit::Done;
    let mut solve = |path: &Path, lines: bool| match solve_file(&mut solver, path, args) {
        Ok(solved) if lines => output.line(solved.json()),
        Ok(solved) => output.summary(solved.text(), &solved.json()),
        Err(error) => {
            output.error(&error);
            exit = Exit::Failed;
        }
    };
    for path in &args.files {
        if path.as_os_str() != "-" {
            solve(path, false);
            continue;
        }
        for line in io::stdin().lock().lines() {
            let line = line.context("cannot read file names from standard input")?;
            if !line.trim().is_empty() {
                solve(Path::new(line.trim()), true);
            }
        }
    }
    Ok(exit)
}

fn generate_into(directory: &Path, args: &SolveArgs, output: &Output) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let mut count = 0;
    for instance in generate::all(args.seed, args.count) {
        let path = directory.join(format!("{}.wdp", instance.name));
        std::fs::write(&path, file::write(&instance))
            .with_context(|| format!("cannot write {}", path.display()))?;
        count += 1;
    }
    let text = format!("{count} instances written to {}", directory.display());
    output.summary(text, &json!({ "instances": count, "directory": directory }));
    Ok(Exit::Done)
}

/// An instance that was solved.
struct Solved {
    instance: Instance,
    solution: Solution,
    elapsed: Duration,
    cpu: Duration,
    /// The elapsed times of all runs, in ascending order.
    runs: Vec<Duration>,
    payments: Option<(Payments, Duration)>,
}

fn solve_file(solver: &mut Solver, path: &Path, args: &SolveArgs) -> anyhow::Result<Solved> {
    let instance = read(path)?;
    let budget = match (args.budget_us, args.budget_work) {
        (_, Some(units)) => Budget::Work(units),
        (Some(us), None) => Budget::Time(Duration::from_micros(us)),
        (None, None) => Budget::Time(Duration::from_micros(BUDGET_DEFAULT_US)),
    };
    let config = Config { budget, seed: args.seed, ..Config::default() };
    let mut history = Vec::new();
    let mut runs: Vec<_> = (0..args.repeat)
        .map(|_| {
            history.clear();
            let drawn = args.plot.is_some();
            solve_once(solver, &instance, &config, &mut |progress| {
                if drawn {
                    history.push(progress);
                }
            })
        })
        .collect();
    if let Some(path) = &args.plot {
        draw(path, &instance, &history, &runs)?;
    }
    runs.sort_by_key(|run| run.1);
    let times = runs.iter().map(|run| run.1).collect();
    let (solution, elapsed, cpu) = runs.swap_remove(runs.len() / 2);
    let payments = args.payments.rule().map(|rule| {
        let start = Instant::now();
        let payments = pay(solver, &instance.problem, &solution, rule, budget);
        (payments, start.elapsed())
    });
    Ok(Solved { instance, solution, elapsed, cpu, runs: times, payments })
}

fn solve_once(
    solver: &mut Solver,
    instance: &Instance,
    config: &Config<'_>,
    observer: &mut dyn FnMut(Progress),
) -> (Solution, Duration, Duration) {
    let (start, cpu) = (Instant::now(), cpu_time());
    let solution = solver.solve(&instance.problem, config, observer);
    let elapsed = start.elapsed();
    (solution, elapsed, cpu_time().saturating_sub(cpu))
}

/// Returns the processor time that this thread has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn read(path: &Path) -> anyhow::Result<Instance> {
    let bytes =
        std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if bytes > FILE_BYTES_MAX {
        bail!("{}: {bytes} bytes, expected at most {FILE_BYTES_MAX}", path.display());
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            bail!("{}: line {line}: expected text, found other bytes", path.display());
        }
    };
    file::read(text).with_context(|| path.display().to_string())
}

fn draw(
    path: &PathBuf,
    instance: &Instance,
    history: &[Progress],
    runs: &[(Solution, Duration, Duration)],
) -> anyhow::Result<()> {
    let end = runs.last().map_or(Duration::ZERO, |run| run.1);
    let svg = plot::objective_and_bound(instance, history, end);
    std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))
}

impl Solved {
    fn status(&self) -> &'static str {
        match self.solution.status {
            Status::Optimal => "optimal",
            Status::Feasible => "feasible",
        }
    }

    fn text(&self) -> String {
        let problem = &self.instance.problem;
        let mut text = format!(
            "{}: {} {}, bound {}, {} of {} bids win, {} µs",
            self.instance.name,
            self.status(),
            problem.objective(self.solution.surplus),
            problem.objective(self.solution.bound),
            self.solution.winners.len(),
            problem.bids().len(),
            self.elapsed.as_micros(),
        );
        if let Some((payments, elapsed)) = &self.payments {
            text.push_str(&format!("; payments in {} µs:", elapsed.as_micros()));
            for payment in &payments.payments {
                text.push_str(&format!("\n  {} {}", key(payment), payment.amount));
                if let Amount::Within { low, high } = payment.sure {
                    text.push_str(&format!(" (within {low} and {high})"));
                }
            }
        }
        text
    }

    fn json(&self) -> Value {
        let problem = &self.instance.problem;
        let winners: Vec<_> = self.solution.winners.iter().map(|bid| bid.0).collect();
        let mut json = json!({
            "name": self.instance.name,
            "status": self.status(),
            "objective": problem.objective(self.solution.surplus),
            "bound": problem.objective(self.solution.bound),
            "elapsed_us": micros(self.elapsed),
            "cpu_us": micros(self.cpu),
            "winners": winners,
        });
        if let Some((payments, elapsed)) = &self.payments {
            json["payments"] = payments.payments.iter().map(payment_json).collect();
            json["payments_us"] = json!(micros(*elapsed));
        }
        if self.runs.len() > 1 {
            let at = |percent: usize| micros(self.runs[(self.runs.len() - 1) * percent / 100]);
            json["runs"] = json!({
                "count": self.runs.len(), "p50_us": at(50), "p99_us": at(99), "max_us": at(100),
            });
        }
        json
    }
}

/// Returns a duration in microseconds, with one digit after the point.
fn micros(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 10.0
}

fn payment_json(payment: &Payment) -> Value {
    let sure = match payment.sure {
        Amount::Exact => json!("exact"),
        Amount::Within { low, high } => json!([low, high]),
    };
    json!([payment.group.map_or(payment.bid.0, |group| group.0), payment.amount, sure])
}

fn key(payment: &Payment) -> String {
    match payment.group {
        Some(group) => format!("group {}", group.0),
        None => format!("bid {}", payment.bid.0),
    }
}
