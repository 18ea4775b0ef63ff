//! Measures the solver on a directory of instances, class by class, beside known best solutions.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]
#![allow(clippy::cast_precision_loss, reason = "ratios are printed, not counted")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gavel_solver::{Budget, Config, Kind, Solver, Status, file};

fn main() {
    let mut args = std::env::args().skip(1);
    let root = args.next().expect("a directory");
    let micros: u64 = args.next().map_or(1_000, |us| us.parse().expect("microseconds"));
    let only = args.next().unwrap_or_default();
    let verbose = args.next().is_some();
    let known = std::fs::read_to_string(format!("{root}/optima.json")).expect("optima.json");
    let mut classes: BTreeMap<String, Vec<[f64; 4]>> = BTreeMap::new();
    let mut solver = Solver::default();
    for directory in ["forward", "procurement"] {
        let mut paths: Vec<_> = std::fs::read_dir(format!("{root}/{directory}"))
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        for path in paths {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if !stem.contains(&only) {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a file");
            let instance = file::read(&text).expect("an instance");
            let problem = &instance.problem;
            let (best, proven) = best_of(&known, &stem);
            let budget = match std::env::var("WORK") {
                Ok(_) => Budget::Work(micros * 1_000),
                Err(_) => Budget::Time(Duration::from_micros(micros)),
            };
            let config = Config { budget, ..Config::default() };
            // The best of a few runs is what a quiet machine shows.
            let count = std::env::var("RUNS").map_or(3, |runs| runs.parse().expect("a number"));
            let runs = (0..count).map(|_| {
                let start = Instant::now();
                let solution = solver.solve(problem, &config, &mut |_| {});
                (start.elapsed().as_nanos() as f64 / 1e3, solution)
            });
            let (elapsed, solution) = runs
                .min_by(|(time, a), (other, b)| {
                    let key =
                        |s: &gavel_solver::Solution| (s.status == Status::Feasible, -s.surplus);
                    key(a).cmp(&key(b)).then(time.total_cmp(other))
                })
                .expect("a run");
            let objective = problem.objective(solution.surplus);
            assert_eq!(problem.surplus(&solution.winners), Some(solution.surplus), "{stem}");
            let forward = problem.kind() == Kind::Forward;
            let optimal = solution.status == Status::Optimal;
            let wrong = (optimal && proven && objective != best)
                || (proven && forward && problem.objective(solution.bound) < best)
                || (proven && !forward && problem.objective(solution.bound) > best);
            if wrong {
                println!("WRONG {stem} {objective} {} best {best}", solution.bound);
            }
            let ratio = match forward {
                true => objective as f64 / best as f64,
                false => best as f64 / objective as f64,
            };
            if (objective > best) == forward && objective != best {
                println!("NEW BEST {stem} {objective} over {best}");
            }
            if verbose {
                let bound = problem.objective(solution.bound);
                let gap = (bound - best).abs() as f64 / best as f64 * 100.0;
                println!("{stem} {ratio:.4} gap {gap:.2}% {optimal} {elapsed:.0}us");
            }
            let mut parts = stem.split('-');
            let (a, b) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            let row = [ratio * 100.0, f64::from(u8::from(optimal)) * 100.0, elapsed, 0.0];
            if forward {
                classes.entry(format!("{b} {a}")).or_default().push(row);
                classes.entry(format!("{b} ALL")).or_default().push(row);
            } else {
                let c = parts.next().unwrap_or("");
                classes.entry(format!("proc {b} {c}")).or_default().push(row);
                classes.entry(format!("proc {b} ALL")).or_default().push(row);
            }
        }
    }
    for (class, rows) in classes {
        let mean =
            |column: usize| rows.iter().map(|row| row[column]).sum::<f64>() / rows.len() as f64;
        let mut times: Vec<_> = rows.iter().map(|row| row[2]).collect();
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let p99 = times[(times.len() * 99 / 100).min(times.len() - 1)];
        println!(
            "{class:22} {:3} best {:7.3}% proven {:5.1}% us p50 {median:8.0} p99 {p99:8.0}",
            rows.len(),
            mean(0),
            mean(1)
        );
    }
}

fn best_of(known: &str, stem: &str) -> (i64, bool) {
    let line = known.lines().find(|line| line.starts_with(&format!("\"{stem}\":")));
    let line = line.expect("a known instance");
    let field = |name: &str| {
        let (_, after) = line.split_once(&format!("\"{name}\": "))?;
        after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    (field("best").expect("best"), field("optimum").is_some())
}
