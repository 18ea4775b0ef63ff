//! A journal on a server that stops at once: the exchange goes on by itself when it comes back in
//! time, and is started again when it does not.

use rand::RngExt as _;

use crate::load::{Load, from_outside, random, verify, wait_for_health};
use crate::postgres::Cluster;
use crate::process::Served;

#[test]
fn a_server_that_crashes_again_and_again_loses_nothing() {
    let crashes = from_outside("GAVEL_SERVER_CRASHES", 1);
    // Each takes as long as the exchange waits for its server.
    let outages = from_outside("GAVEL_SERVER_OUTAGES", 0);
    let (database, mut random) = (Cluster::start().database(), random());
    let url = database.url();
    let journal = ["--journal", url.as_str()];
    let mut served = Served::start_with(&journal);
    let mut load = Load::start(&served);
    for _ in 0..crashes {
        load.wait_for(&served, random.random_range(1..=128));
        database.cluster.crash();
        database.cluster.start_again();
        load.wait_for(&served, 1);
        // And now and then it is killed itself, in the middle of something.
        if random.random_bool(0.5) {
            load.wait_for(&served, random.random_range(1..=128));
            served.kill();
            served.start_again();
            load.wait_for(&served, 1);
        }
    }
    for _ in 0..outages {
        database.cluster.crash();
        // First it waits, and says so.
        wait_for_health(&mut served, "journal_waiting");
        wait_for_health(&mut served, "journal_failed");
        served.kill();
        database.cluster.start_again();
        served.start_again();
        load.wait_for(&served, 1);
    }
    served.kill();
    let fault = format!(
        "{crashes} × PostgreSQL stopped at once, {outages} × it stayed away until the exchange \
         gave up"
    );
    verify(&served, &load, &journal, &fault);
}
