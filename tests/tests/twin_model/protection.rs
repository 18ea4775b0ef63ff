//! Reputation, and who is kept out.

use super::*;

impl Twin {
    /// Returns an agent's reputation: for each whole day it moves a 64th towards the start.
    pub(super) fn reputation(&self, who: usize) -> i64 {
        let agent = &self.agents[who];
        let mut reputation = agent.reputation;
        for _ in 0..(self.now - agent.fades_from) / DAY {
            let distance = reputation - 5_000;
            // Rounded down is rounded towards the start's opposite: nothing moves too far.
            reputation -= distance / 64;
        }
        reputation
    }

    pub(super) fn is_eligible(&self, who: usize, terms: &Terms) -> bool {
        self.reputation(who) >= terms.reputation_min && (is_in_eu(who) || !terms.in_eu)
    }

    pub(super) fn is_suspended(&self, who: usize) -> bool {
        self.now < self.agents[who].suspended_until
    }

    /// Work was paid: a 32nd of what is missing is gained, or a 16th lost if it came late.
    pub(super) fn reward(&mut self, who: usize, late: bool) {
        let from = self.reputation(who);
        let to = if late { from - (from + 15) / 16 } else { from + (10_000 - from + 31) / 32 };
        self.change_reputation(who, from, to);
    }

    fn change_reputation(&mut self, who: usize, from: i64, to: i64) {
        let to = to.clamp(1_000, 10_000);
        let agent = &mut self.agents[who];
        let days = (self.now - agent.fades_from) / DAY;
        (agent.reputation, agent.fades_from) = (to, agent.fades_from + days * DAY);
        if from != to {
            self.say(format!("reputation {who} {from} -> {to}"));
        }
    }

    /// A provider has failed: a quarter of its reputation is gone, and it is kept out for a minute,
    /// then two, four and so on. Each day without a failure forgives one.
    pub(super) fn punish(&mut self, who: usize) {
        let from = self.reputation(who);
        self.change_reputation(who, from, from - (from + 3) / 4);
        let now = self.now;
        let agent = &mut self.agents[who];
        let forgiven = (now - agent.failed_at) / DAY;
        agent.fails = (agent.fails.saturating_sub(forgiven) + 1).min(11);
        agent.failed_at = now;
        agent.suspended_until = now + (1 << (agent.fails - 1)) * 60_000 * MS;
        let (until, fails) = (agent.suspended_until, agent.fails);
        self.say(format!("suspended {who} {until} {fails}"));
    }
}
