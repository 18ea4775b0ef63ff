//! The exchange's own solvers: what they propose holds, and they may be stopped at any moment.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gavel_matcher as matcher;
use gavel_protocol::*;
use gavel_solver::{Budget, SolverPool, propose};

const RFQ: RfqId = RfqId::new(7);

/// Returns the time in a minute.
fn in_a_minute() -> TimestampNs {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(60);
    TimestampNs::from_nanos(u64::try_from(now.as_nanos()).unwrap())
}

/// Returns a problem of six items and bundles of neighbours, by four accounts.
fn problem(payment: PaymentRule, all_or_none: bool) -> Problem {
    let items = vec![PosedItem { load: 1, reserve: Micros::new(1_000) }; 6];
    let bundle = |first: u8, size: u8, score: i64, group: u32| PosedBundle {
        items: (first..first + size).collect(),
        score: Micros::new(score),
        price: Micros::new(score),
        group,
        rule: if group == 3 { GroupRule::Or(3) } else { GroupRule::Xor },
        account: group,
    };
    let bundles = vec![
        bundle(0, 3, 1_500, 0),
        bundle(3, 3, 1_900, 0),
        bundle(0, 2, 1_100, 1),
        bundle(4, 2, 1_300, 1),
        bundle(2, 2, 1_200, 2),
        bundle(3, 1, 700, 3),
        bundle(4, 1, 600, 3),
        bundle(5, 1, 650, 3),
    ];
    Problem {
        posed: ProblemPosed {
            rfq: RFQ,
            ends_at: in_a_minute(),
            items,
            free_disposal: false,
            all_or_none,
            payment,
            external_solvers: false,
            bundles: u32::try_from(bundles.len()).unwrap(),
            groups: 4,
        },
        bundles,
    }
}

fn surplus(problem: &Problem, winners: &[u32]) -> Option<Micros> {
    let posed = &problem.posed;
    let checked = matcher::Problem {
        items: &posed.items,
        free_disposal: posed.free_disposal,
        all_or_none: posed.all_or_none,
        bundles: &problem.bundles,
    };
    checked.surplus(winners, &mut matcher::Scratch::new())
}

#[test]
fn what_is_proposed_holds_by_the_cores_own_count() {
    for (rule, all_or_none) in [
        (PaymentRule::PayAsBid, false),
        (PaymentRule::PayAsBid, true),
        (PaymentRule::Vcg, false),
        (PaymentRule::Core, false),
        (PaymentRule::Core, true),
    ] {
        let problem = problem(rule, all_or_none);
        let proposal = propose(&problem, Budget::Unlimited).unwrap();
        assert_eq!(surplus(&problem, &proposal.winners), Some(proposal.surplus));
        assert_eq!(proposal.bound, Some(proposal.surplus));
        assert_eq!(proposal.payments.is_empty(), rule == PaymentRule::PayAsBid);
        for (payment, winner) in proposal.payments.iter().zip(&proposal.winners) {
            let bundle = &problem.bundles[*winner as usize];
            let most = matcher::worth_of(&problem.posed.items, &bundle.items);
            assert!(payment.low >= bundle.price && payment.high <= most, "{rule:?} {payment:?}");
        }
    }
}

#[test]
fn a_pool_answers_what_it_is_asked_and_ends_when_it_is_told() {
    let (proposals, proposed) = mpsc::channel();
    let pool = SolverPool::start(2, move |proposal| drop(proposals.send(proposal))).unwrap();
    let handle = pool.handle();
    let problem = problem(PaymentRule::Vcg, false);
    handle.pose(problem.clone());
    let first = proposed.recv().unwrap();
    assert_eq!(surplus(&problem, &first.winners), Some(first.surplus));
    let paid = proposed.iter().find(|proposal| !proposal.payments.is_empty()).unwrap();
    assert_eq!(paid.bound, Some(paid.surplus));
    // Whoever still poses problems finds nobody, and waits for nobody.
    pool.stop();
    handle.pose(problem);
    handle.forget(RFQ);
    assert!(proposed.try_iter().all(|proposal| proposal.rfq == RFQ));
}

#[test]
fn a_problem_that_makes_no_sense_is_left_alone() {
    let mut gap = problem(PaymentRule::PayAsBid, false);
    gap.bundles[0].group = 9;
    assert_eq!(propose(&gap, Budget::Unlimited), None);
    let mut large = problem(PaymentRule::PayAsBid, false);
    large.posed.items[0].reserve = Micros::new(i64::MAX);
    assert_eq!(propose(&large, Budget::Unlimited), None);
}

#[test]
fn a_pool_may_be_stopped_while_it_searches() {
    let pool = SolverPool::start(1, |_| {}).unwrap();
    let handle = pool.handle();
    let mut hard = problem(PaymentRule::Core, false);
    hard.bundles = (0..200_u32)
        .map(|number| PosedBundle {
            items: (0..6).filter(|item| number >> item & 1 == 1 || *item == 5).collect(),
            score: Micros::new(i64::from(number % 17) * 90 + 500),
            price: Micros::new(i64::from(number % 17) * 90 + 500),
            group: number % 4,
            rule: GroupRule::Xor,
            account: number % 4,
        })
        .collect();
    for _ in 0..100 {
        handle.pose(hard.clone());
    }
    pool.stop();
}
