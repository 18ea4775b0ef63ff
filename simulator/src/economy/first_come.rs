//! First come, first served: the venue that the exchange is compared with.
//!
//! The same providers answer the same jobs after the same times. The first quote at or below the
//! reserve gets the job on the spot; one above it is turned down and the next is awaited. There is no
//! window, no ranking and no ledger, and the fee is the same.

use gavel_protocol::{DurationNs, LossReason, Micros, RejectReason, TimestampNs};

use super::agenda::Agenda;
use super::commitments::Commitments;
use super::market::BEGIN;
use super::strategy::{Beliefs, Venue};
use super::tally::{Payment, Tally};
use super::world::{Answer, World};

/// Lets a world trade first come, first served. `window` only tells which answers would have been in
/// time elsewhere.
pub(super) fn trade(world: &World<'_>, window: DurationNs) -> Tally {
    let mut race = Race {
        world,
        window,
        beliefs: Beliefs::of(world, Venue::FirstCome),
        awarded: vec![false; world.jobs.len()],
        awaited: Vec::new(),
        commitments: Commitments::default(),
        tally: Tally::new(world),
    };
    let mut agenda = Agenda::new();
    for index in 0..world.jobs.len() {
        let opens_at = BEGIN.after(world.jobs[index].opens_after);
        // Whoever answers before this RFQ opens comes first.
        race.run(&mut agenda, opens_at);
        race.awaited.push(0);
        for answer in world.answers(index) {
            race.awaited[index] += 1;
            agenda.plan(opens_at.after(answer.after), (index, answer));
        }
    }
    race.run(&mut agenda, TimestampNs::MAX);
    race.tally
}

struct Race<'a> {
    world: &'a World<'a>,
    window: DurationNs,
    /// By capability.
    beliefs: Vec<Beliefs>,
    /// Which jobs are taken.
    awarded: Vec<bool>,
    /// How many answers each job still awaits.
    awaited: Vec<u32>,
    commitments: Commitments,
    tally: Tally,
}

impl Race<'_> {
    /// Takes the answers that come before `until`.
    fn run(&mut self, agenda: &mut Agenda<(usize, Answer)>, until: TimestampNs) {
        while agenda.next_at().is_some_and(|at| at < until)
            && let Some((_, (job, answer))) = agenda.take()
        {
            self.awaited[job] -= 1;
            self.answer(job, answer);
            if self.awaited[job] == 0 && !self.awarded[job] {
                self.tally.passed += 1;
                self.ended(answer);
            }
        }
    }

    fn answer(&mut self, index: usize, answer: Answer) {
        let (job, provider) = (&self.world.jobs[index], &self.world.providers[answer.provider]);
        let group = provider.group_index;
        if !self.commitments.commit(answer.provider, job.period, provider.group.capacity) {
            self.tally.withheld += 1;
            return;
        }
        self.tally.answered(group, &answer, self.window);
        let beliefs = &self.beliefs[provider.capability as usize];
        let price = beliefs.price(provider.group.behaviour, answer.cost);
        let refusal = if self.awarded[index] {
            Some(RejectReason::TooLate.info().name)
        } else if price > job.reserve {
            Some(LossReason::AboveReserve.info().name)
        } else {
            None
        };
        if let Some(reason) = refusal {
            *self.tally.refusals.entry(reason).or_default() += 1;
            self.commitments.release(answer.provider, job.period);
            return;
        }
        self.awarded[index] = true;
        self.tally.won(group, &answer);
        self.ended(answer);
        if provider.group.behaviour.delivers() {
            let fee = price.fee_rounded_down(self.world.population.fee_ppm);
            let fee = fee.unwrap_or(Micros::ZERO);
            self.tally.delivered(group, job, answer.cost, Payment { price, fee });
        } else {
            self.tally.faded += 1;
        }
    }

    /// Counts how long the buyer waited: until this answer, and not a moment longer.
    fn ended(&mut self, last: Answer) {
        self.tally.waited.push(last.after.nanos());
        self.tally.waited_after_last.push(0);
    }
}
