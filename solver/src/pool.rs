//! The exchange's own solvers: threads beside the core, fed by a lock-free queue, whose answers are
//! proposals like anybody else's.
//!
//! Nothing depends on them: the core has a first answer of its own, and takes theirs as they come. A
//! pool may so be stopped, or die, at any moment.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam::queue::ArrayQueue;
use gavel_protocol::{
    GroupRule, Micros, PaymentRule, ProposeAllocation, ProposedPayment, RfqId, TimestampNs,
};

use crate::answer::{Config, Solution, Status};
use crate::clock::Budget;
use crate::items::Items;
use crate::limits::POOL_PROBLEMS_MAX;
use crate::payments::{Payments, Rule, pay};
use crate::problem::{Bid, BidId, Cover, Group, GroupId, Item, Problem};
use crate::solver::Solver;

/// Kept back of the time that is left, for the way of a proposal into the order.
const RESERVED: Duration = Duration::from_micros(150);
/// The least that is worth a search.
const SEARCH_MIN: Duration = Duration::from_micros(20);
/// The first turn of a problem, and how often that doubles: a hard problem with much time must not keep
/// the others waiting.
const SLICE_FIRST: Duration = Duration::from_millis(2);
const SLICE_DOUBLINGS_MAX: u32 = 3;
/// What the first search gets of the time that is left, so that there is an answer even if the next one
/// comes too late; and what all get, if payments are to be reckoned.
const FIRST_SHARE: u32 = 2;
const PAYMENTS_SHARE: u32 = 2;

/// Threads that solve the problems of an exchange.
#[derive(Debug)]
pub struct SolverPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The way to the threads: cheap to clone, never waits.
#[derive(Clone, Debug)]
pub struct PoolHandle {
    shared: Arc<Shared>,
    threads: Arc<[Thread]>,
}

#[derive(Debug)]
struct Shared {
    queue: ArrayQueue<Job>,
    /// Set when a problem's answer is wanted no more.
    aborts: Mutex<HashMap<RfqId, Arc<AtomicBool>>>,
    stop: AtomicBool,
}

#[derive(Debug)]
struct Job {
    problem: gavel_protocol::Problem,
    abort: Arc<AtomicBool>,
    /// The problem in the solver's own terms, from the first turn on.
    translated: Option<Problem>,
    /// What was found so far, in so many turns.
    found: Option<Solution>,
    turns: u32,
}

impl SolverPool {
    /// Starts so many threads; `propose` takes what they find. It must not wait.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub fn start(
        threads: usize,
        propose: impl Fn(ProposeAllocation) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: ArrayQueue::new(POOL_PROBLEMS_MAX),
            aborts: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let propose = Arc::new(propose);
        let mut pool = Self { shared, threads: Vec::with_capacity(threads) };
        for number in 0..threads {
            let (shared, propose) = (pool.shared.clone(), propose.clone());
            let thread = std::thread::Builder::new().name(format!("solver-{number}"));
            pool.threads.push(thread.spawn(move || run(&shared, &*propose))?);
        }
        Ok(pool)
    }

    /// Returns the way to the threads.
    pub fn handle(&self) -> PoolHandle {
        let threads = self.threads.iter().map(|thread| thread.thread().clone()).collect();
        PoolHandle { shared: self.shared.clone(), threads }
    }

    /// Ends the threads, whatever they are at.
    pub fn stop(self) {
        self.shared.stop.store(true, Ordering::Release);
        for abort in self.shared.aborts().values() {
            abort.store(true, Ordering::Relaxed);
        }
        for thread in self.threads {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a solver's thread has panicked");
            }
        }
    }
}

impl PoolHandle {
    /// Poses a problem. With too many waiting already, it is left to the exchange's own first answer.
    pub fn pose(&self, problem: gavel_protocol::Problem) {
        let (rfq, abort) = (problem.posed.rfq, Arc::new(AtomicBool::new(false)));
        self.shared.aborts().insert(rfq, abort.clone());
        if self
            .shared
            .queue
            .push(Job { problem, abort, translated: None, found: None, turns: 0 })
            .is_err()
        {
            self.shared.aborts().remove(&rfq);
            tracing::warn!(%rfq, "too many problems wait for solvers: this one is left out");
            return;
        }
        for thread in self.threads.iter() {
            thread.unpark();
        }
    }

    /// Says that nobody needs the answer any more.
    pub fn forget(&self, rfq: RfqId) {
        if let Some(abort) = self.shared.aborts().remove(&rfq) {
            abort.store(true, Ordering::Relaxed);
        }
    }
}

impl Shared {
    fn aborts(&self) -> std::sync::MutexGuard<'_, HashMap<RfqId, Arc<AtomicBool>>> {
        self.aborts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(shared: &Shared, propose: &dyn Fn(ProposeAllocation)) {
    let mut solver = Solver::default();
    while !shared.stop.load(Ordering::Acquire) {
        let Some(job) = shared.queue.pop() else {
            // Whoever pushes unparks afterwards: none is overslept.
            std::thread::park();
            continue;
        };
        let rfq = job.problem.posed.rfq;
        match catch_unwind(AssertUnwindSafe(|| answer(&mut solver, job, propose))) {
            Ok(unfinished) => {
                if unfinished.is_some_and(|job| shared.queue.push(job).is_err()) {
                    tracing::warn!(%rfq, "too many problems wait for solvers: one is given up");
                }
            }
            Err(_) => {
                tracing::error!(%rfq, "a solver has panicked over this problem");
                solver = Solver::default();
            }
        }
    }
}

/// Searches for a while, and proposes what is new. Returns the job if there is time left and more to
/// find: others have their turn before it goes on.
fn answer(solver: &mut Solver, mut job: Job, propose: &dyn Fn(ProposeAllocation)) -> Option<Job> {
    let posed = &job.problem.posed;
    let Some(problem) = job.translated.take().or_else(|| translate(&job.problem)) else {
        tracing::warn!(rfq = %posed.rfq, "amounts too large for the exchange's solvers");
        return None;
    };
    let share = match posed.payment {
        PaymentRule::PayAsBid => 1,
        PaymentRule::Vcg | PaymentRule::Core => PAYMENTS_SHARE,
    };
    let first = if job.found.is_none() { FIRST_SHARE } else { 1 };
    let slice = SLICE_FIRST.saturating_mul(1 << job.turns.min(SLICE_DOUBLINGS_MAX));
    let time = (left(posed.ends_at) / (share * first)).min(slice);
    if time < SEARCH_MIN || job.abort.load(Ordering::Relaxed) {
        return None;
    }
    let start = job.found.as_ref().map_or(&[][..], |found| &found.winners);
    let config = Config {
        budget: Budget::Time(time),
        seed: u64::from(job.turns) + 1,
        start,
        abort: Some(&*job.abort),
        ..Config::default()
    };
    let found = solver.solve(&problem, &config, &mut |_| {});
    let is_news =
        job.found.as_ref().is_none_or(|had| found.surplus > had.surplus || found.bound < had.bound);
    if is_news {
        propose(proposal(posed.rfq, &found, Vec::new()));
    }
    if found.status == Status::Feasible {
        let (translated, found) = (Some(problem), Some(found));
        return Some(Job { translated, found, turns: job.turns + 1, ..job });
    }
    // Each re-solve gets the same; those of the core are many, and mostly short.
    let solves = u32::try_from(found.winners.len()).unwrap_or(u32::MAX).saturating_add(1);
    let budget = Budget::Time(left(posed.ends_at) / solves);
    let payments = payments(solver, &problem, &found, posed.payment, budget);
    if !payments.is_empty() {
        propose(proposal(posed.rfq, &found, payments));
    }
    None
}

/// Returns what a search within `budget` finds, or `None` if the problem's amounts are too large. If it
/// is proven to be the best, with payments by the problem's rule, each re-solve within `budget` too.
pub fn propose(problem: &gavel_protocol::Problem, budget: Budget) -> Option<ProposeAllocation> {
    let (translated, mut solver) = (translate(problem)?, Solver::default());
    let config = Config { budget, ..Config::default() };
    let found = solver.solve(&translated, &config, &mut |_| {});
    let payments = payments(&mut solver, &translated, &found, problem.posed.payment, budget);
    Some(proposal(problem.posed.rfq, &found, payments))
}

/// Returns what the winners are paid; nothing if they are paid as bid.
fn payments(
    solver: &mut Solver,
    problem: &Problem,
    found: &Solution,
    rule: PaymentRule,
    budget: Budget,
) -> Vec<ProposedPayment> {
    let rule = match rule {
        PaymentRule::PayAsBid => return Vec::new(),
        PaymentRule::Vcg => Rule::Vcg,
        PaymentRule::Core => Rule::Core,
    };
    match found.status {
        Status::Feasible => Vec::new(),
        Status::Optimal => per_bundle(problem, found, &pay(solver, problem, found, rule, budget)),
    }
}

/// Returns how long until a proposal must be on its way.
fn left(ends_at: TimestampNs) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_nanos(ends_at.nanos()).saturating_sub(now).saturating_sub(RESERVED)
}

fn proposal(rfq: RfqId, solution: &Solution, payments: Vec<ProposedPayment>) -> ProposeAllocation {
    ProposeAllocation {
        rfq,
        winners: solution.winners.iter().map(|bid| bid.0).collect(),
        surplus: Micros::new(solution.surplus),
        bound: Some(Micros::new(solution.bound)),
        prices: None,
        payments,
    }
}

/// Returns the problem in the solver's own terms, or `None` if its amounts are too large.
fn translate(problem: &gavel_protocol::Problem) -> Option<Problem> {
    let posed = &problem.posed;
    let amount = |amount: Micros| u64::try_from(amount.raw()).ok();
    let item = |item: &gavel_protocol::PosedItem| {
        Some(Item { load: item.load, reserve: amount(item.reserve)? })
    };
    let items = posed.items.iter().map(item).collect::<Option<Vec<_>>>()?;
    let cover = if posed.free_disposal { Cover::AtLeast } else { Cover::Exact };
    let mut translated = Problem::procurement(cover, items).ok()?;
    if posed.all_or_none {
        translated.require(Items::first(posed.items.len()));
    }
    let mut rules = vec![GroupRule::Xor; posed.groups as usize];
    for bundle in &problem.bundles {
        *rules.get_mut(bundle.group as usize)? = bundle.rule;
    }
    for rule in rules {
        let group = match rule {
            GroupRule::Xor => Group::Xor,
            GroupRule::Or(capacity) => Group::Or { capacity },
        };
        translated.add_group(group).ok()?;
    }
    for bundle in &problem.bundles {
        let bid = Bid {
            items: bundle.items,
            score: amount(bundle.score)?,
            price: amount(bundle.price)?,
            group: Some(GroupId(bundle.group)),
            bidder: bundle.account,
        };
        translated.add_bid(bid).ok()?;
    }
    Some(translated)
}

/// Divides what an account is paid among its winning bundles: to each what it asks, and of the rest as
/// much as the reserves of its items leave room for, the first ones first.
fn per_bundle(problem: &Problem, solution: &Solution, payments: &Payments) -> Vec<ProposedPayment> {
    let mut shares =
        vec![ProposedPayment { low: Micros::ZERO, high: Micros::ZERO }; solution.winners.len()];
    for payment in &payments.payments {
        let mine: Vec<_> = (0..solution.winners.len())
            .filter(|place| bid(problem, solution.winners[*place]).bidder == payment.bidder)
            .collect();
        let (low, high) = match payment.sure {
            crate::payments::Amount::Exact => (payment.amount, payment.amount),
            crate::payments::Amount::Within { low, high } => (low, high),
        };
        for (place, amount) in divided(problem, solution, &mine, low) {
            shares[place].low = amount;
        }
        for (place, amount) in divided(problem, solution, &mine, high) {
            shares[place].high = amount.max(shares[place].low);
        }
    }
    shares
}

fn divided(
    problem: &Problem,
    solution: &Solution,
    places: &[usize],
    amount: i64,
) -> Vec<(usize, Micros)> {
    let asked = |place: usize| {
        let price = bid(problem, solution.winners[place]).price;
        i64::try_from(price).unwrap_or(i64::MAX)
    };
    let mut rest = amount - places.iter().map(|place| asked(*place)).sum::<i64>();
    let mut shares = Vec::with_capacity(places.len());
    for place in places {
        let items = bid(problem, solution.winners[*place]).items;
        let room = (problem.reserve_of(&items) - asked(*place)).max(0);
        let more = rest.clamp(0, room);
        rest -= more;
        shares.push((*place, Micros::new(asked(*place) + more)));
    }
    shares
}

fn bid(problem: &Problem, id: BidId) -> &Bid {
    &problem.bids()[id.0 as usize]
}
