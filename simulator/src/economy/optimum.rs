//! The best that anybody could have made of a world: an assignment of jobs to providers.
//!
//! Whoever knows every value and cost and need not wait would give each job to a provider of its
//! capability, none of them more jobs of a capacity period than its capacity, so that the sum of value
//! less cost is largest. Periods and capabilities do not touch each other, so each is an assignment of
//! its own. It is solved exactly: job after job takes the cheapest path that makes room for it
//! (successive shortest paths; Ahuja, Magnanti, Orlin, Network Flows, section 9.7). No venue can do
//! better, because none lets a provider have more jobs of a period.

use std::collections::{BTreeMap, VecDeque};

use super::world::{Answer, World};

/// What the best assignment comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Optimum {
    /// The sum of value less cost, in millionths.
    pub(super) welfare: i64,
    /// Jobs that are done.
    pub(super) jobs: u32,
}

/// Returns the optimum of a world.
pub(super) fn optimum(world: &World<'_>) -> Optimum {
    let mut parts: BTreeMap<(u64, u32), Vec<usize>> = BTreeMap::new();
    for (index, job) in world.jobs.iter().enumerate() {
        parts.entry((job.period, job.capability)).or_default().push(index);
    }
    let mut sum = Optimum::default();
    for jobs in parts.values() {
        let part = part(world, jobs);
        sum.welfare += part.welfare;
        sum.jobs += part.jobs;
    }
    sum
}

/// Returns the optimum of the jobs of one period and capability.
fn part(world: &World<'_>, jobs: &[usize]) -> Optimum {
    // The same providers answer every job of a capability, in the same order: these are the places.
    let places = |job: usize| {
        let group = |answer: &Answer| world.providers[answer.provider].group;
        let answers = world.answers(job).map(move |answer| (group(&answer), answer.cost));
        answers.filter(|(group, _)| group.behaviour.delivers())
    };
    let Some(first) = jobs.first() else { return Optimum::default() };
    let capacities = places(*first).map(|(group, _)| group.capacity as usize);
    let mut assignment = Assignment::new(capacities.collect());
    for job in jobs {
        let value = world.jobs[*job].value.raw();
        assignment.add(places(*job).map(|(_, cost)| value - cost.raw()).collect());
    }
    assignment.optimum()
}

/// Jobs on places of limited capacity, at every moment the best assignment of the jobs so far.
#[derive(Debug)]
struct Assignment {
    capacities: Vec<usize>,
    /// The gain of each job on each place.
    gains: Vec<Vec<i64>>,
    /// The jobs on each place.
    on: Vec<Vec<usize>>,
}

/// The best way found so far to bring a new job in that leaves a place with one more.
#[derive(Clone, Copy, Debug)]
struct Step {
    gain: i64,
    /// The job that moves here, and from where; none if it is the new job itself.
    from: Option<(usize, usize)>,
}

impl Assignment {
    fn new(capacities: Vec<usize>) -> Self {
        let on = vec![Vec::new(); capacities.len()];
        Self { capacities, gains: Vec::new(), on }
    }

    fn optimum(&self) -> Optimum {
        let mut sum = Optimum::default();
        for (place, jobs) in self.on.iter().enumerate() {
            for job in jobs {
                sum.welfare += self.gains[*job][place];
                sum.jobs += 1;
            }
        }
        sum
    }

    /// Adds a job with its gain on each place, and moves others where that gains more.
    fn add(&mut self, gains: Vec<i64>) {
        let job = self.gains.len();
        let best = (0..gains.len()).max_by_key(|place| gains[*place]);
        self.gains.push(gains);
        let Some(best) = best else { return };
        if self.gains[job][best] <= 0 {
            return;
        }
        // Moving others cannot pay while the job's best place has room: the others are where they
        // are best off already.
        if self.on[best].len() < self.capacities[best] {
            self.on[best].push(job);
            return;
        }
        let steps = self.paths(job);
        self.follow_best(job, &steps);
    }

    /// Returns for each place the best way to bring `job` in that leaves that place with one more.
    fn paths(&self, job: usize) -> Vec<Step> {
        let gains = self.gains[job].iter();
        let mut steps: Vec<_> = gains.map(|gain| Step { gain: *gain, from: None }).collect();
        // Bellman and Ford with a queue: gains may be negative, gaining cycles there are none.
        let mut queue: VecDeque<usize> = (0..steps.len()).collect();
        let mut is_queued = vec![true; steps.len()];
        while let Some(place) = queue.pop_front() {
            is_queued[place] = false;
            if self.on[place].len() < self.capacities[place] {
                continue;
            }
            for moved in &self.on[place] {
                let left = steps[place].gain - self.gains[*moved][place];
                for to in 0..steps.len() {
                    let gain = left + self.gains[*moved][to];
                    if gain > steps[to].gain {
                        steps[to] = Step { gain, from: Some((place, *moved)) };
                        if !is_queued[to] {
                            is_queued[to] = true;
                            queue.push_back(to);
                        }
                    }
                }
            }
        }
        steps
    }

    /// Brings `job` in along the path that gains most: it ends at a place with room, or drops a job.
    fn follow_best(&mut self, job: usize, steps: &[Step]) {
        let ends = (0..steps.len()).map(|place| match self.on[place].len() {
            jobs if jobs < self.capacities[place] => (steps[place].gain, place, None),
            _ => {
                let dropped = self.on[place].iter().min_by_key(|job| self.gains[**job][place]);
                let dropped = *dropped.expect("invariant: a place without room has jobs");
                (steps[place].gain - self.gains[dropped][place], place, Some(dropped))
            }
        });
        let Some((gain, mut place, dropped)) = ends.max_by_key(|(gain, ..)| *gain) else { return };
        if gain <= 0 {
            return;
        }
        if let Some(dropped) = dropped {
            self.on[place].retain(|job| *job != dropped);
        }
        while let Some((from, moved)) = steps[place].from {
            self.on[place].push(moved);
            self.on[from].retain(|job| *job != moved);
            place = from;
        }
        self.on[place].push(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the best sum over every assignment there is.
    fn tried_out(gains: &[Vec<i64>], capacities: &mut [usize]) -> i64 {
        let Some((first, rest)) = gains.split_first() else { return 0 };
        let mut best = tried_out(rest, capacities);
        for place in 0..capacities.len() {
            if capacities[place] > 0 {
                capacities[place] -= 1;
                best = best.max(first[place] + tried_out(rest, capacities));
                capacities[place] += 1;
            }
        }
        best
    }

    #[test]
    fn the_optimum_is_that_of_trying_everything_out() {
        use rand::{RngExt as _, SeedableRng as _};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for _ in 0..500 {
            let places = random.random_range(1..=4);
            let mut capacities: Vec<usize> =
                (0..places).map(|_| random.random_range(1..=2)).collect();
            let jobs = random.random_range(1..=6);
            let all: Vec<i64> = (0..jobs * places).map(|_| random.random_range(-3..=12)).collect();
            let gains: Vec<_> = all.chunks(places).map(<[i64]>::to_vec).collect();
            let mut assignment = Assignment::new(capacities.clone());
            gains.iter().for_each(|gains| assignment.add(gains.clone()));
            assert_eq!(
                assignment.optimum().welfare,
                tried_out(&gains, &mut capacities),
                "{gains:?}"
            );
        }
    }
}
