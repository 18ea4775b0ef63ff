//! Real faults: the binary under load is killed at random moments, its syncs fail, its disk fills,
//! the network and the journal's server fail it. What was acknowledged is there afterwards.
//!
//! How often can be set from outside: see `cargo xtask faults`.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

mod load;
mod namespaces;
mod network;
#[path = "../../../tests/src/postgres.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod postgres;
#[path = "../process/mod.rs"]
mod process;
mod relay;
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;

use load::{Load, from_outside, page, random, verify, wait_for_health};
use process::{Served, gavel, json};
use rand::RngExt as _;
use sqlx::Connection as _;

#[test]
fn kills_at_random_moments_lose_nothing_that_was_acknowledged() {
    let kills = from_outside("GAVEL_KILLS", 3);
    let (folder, mut random) = (tempfile::tempdir().unwrap(), random());
    let place = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    let followed = place("followed.sqlite");
    // Each start goes on from a snapshot, and so do the tables and the audit log.
    let snapshots = ["--keep-history", "--snapshot-every", "300", "--keep-snapshots", "3"];
    let beside = ["--audit", "--projection", &followed];
    let mut served = Served::start_with(&[snapshots.as_slice(), &beside].concat());
    let mut load = Load::start(&served);
    for _ in 0..kills {
        load.wait_for(&served, random.random_range(0..128));
        served.kill();
        served.start_again();
    }
    load.wait_for(&served, 1);
    served.kill();
    verify(&served, &load, &[], &format!("{kills} kills"));
    check_what_follows(&served, [&followed, &place("at_once.sqlite")]);
}

#[test]
fn a_projection_has_everything_although_the_journal_forgets() {
    let (folder, mut random) = (tempfile::tempdir().unwrap(), random());
    let place = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    let followed = place("followed.sqlite");
    let forgets = ["--snapshot-every", "50", "--keep-snapshots", "1", "--projection", &followed];
    let mut served = Served::start_with(&forgets);
    let mut load = Load::start(&served);
    for _ in 0..from_outside("GAVEL_KILLS", 30) / 10 {
        load.wait_for(&served, random.random_range(100..200));
        served.kill();
        served.start_again();
    }
    load.wait_for(&served, 100);
    served.stop();
    let data = served.data();
    let project = |more: &[&str]| gavel(&[&["project", "--data", &data, "--json"], more].concat());
    let projected = json(&project(&["--projection", &followed]));
    let whole = project(&["--projection", &place("new.sqlite")]);
    let reason = String::from_utf8_lossy(&whole.stderr);
    assert!(reason.contains("not kept any more"), "{reason}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gaps = "SELECT max(position) - count(*) + (SELECT count(*) FROM pragma_foreign_key_check)
                FROM events";
    let gaps = async |place: &str| -> i64 {
        let mut connection = sqlx::SqliteConnection::connect(place).await.unwrap();
        sqlx::query_scalar(gaps).fetch_one(&mut connection).await.unwrap()
    };
    assert_eq!(runtime.block_on(gaps(&followed)), 0);
    // One run without the option forgets nothing of what is still to come.
    let forgets = ["--snapshot-every", "50", "--keep-snapshots", "1"];
    served = Served::start_again_with(served, &forgets);
    load = Load::start_with(&served, &data);
    load.wait_for(&served, 300);
    served.stop();
    let projected = {
        let went_on = json(&project(&["--projection", &followed]));
        assert!(went_on["seq"].as_u64() > projected["seq"].as_u64(), "{went_on} {projected}");
        went_on
    };
    assert_eq!(runtime.block_on(gaps(&followed)), 0);
    // What can be made anew is the same.
    let before = folder.path().join("before.sqlite");
    std::fs::copy(folder.path().join("followed.sqlite"), &before).unwrap();
    assert_eq!(json(&project(&["--projection", &followed, "--rebuild"])), projected);
    let differing = runtime.block_on(differing_tables(&followed, &place("before.sqlite")));
    assert!(differing.is_empty(), "{differing:?}");
}

/// Checks that tables and audit log are what they are when they are made at once.
fn check_what_follows(served: &Served, [followed, at_once]: [&str; 2]) {
    let data = served.data();
    let summary = |args: &[&str]| {
        let output = gavel(&[args, &["--data", &data, "--json"]].concat());
        assert!(output.status.success(), "{args:?}: {output:?}");
        json(&output)
    };
    let projected = |place: &str| summary(&["project", "--projection", place]);
    assert_eq!(projected(followed), projected(at_once));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let differing = runtime.block_on(differing_tables(followed, at_once));
    assert!(differing.is_empty(), "{differing:?}");
    let built = summary(&["audit", "build"]);
    assert_eq!(summary(&["audit", "build", "--rebuild"]), built);
}

/// Returns the tables of which a projection has other rows than another one.
async fn differing_tables(one: &str, other: &str) -> Vec<String> {
    let mut connection = sqlx::SqliteConnection::connect(one).await.unwrap();
    let other = other.strip_prefix("sqlite://").unwrap();
    let attach = sqlx::query("ATTACH ?1 AS other").bind(other);
    attach.execute(&mut connection).await.unwrap();
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await.unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let mut differing = Vec::new();
    for table in tables {
        let rows = |from: &str, without: &str| {
            format!(
                "SELECT * FROM (SELECT * FROM {from}.{table} EXCEPT SELECT * FROM {without}.{table})"
            )
        };
        let both = format!(
            "SELECT count(*) FROM ({} UNION ALL {})",
            rows("main", "other"),
            rows("other", "main")
        );
        let count: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(both)).fetch_one(&mut connection).await.unwrap();
        if count != 0 {
            differing.push(table);
        }
    }
    differing
}

/// Builds what makes the disk fail, beside the tests' own outputs.
fn shim(folder: &Path) -> PathBuf {
    let (source, shim) = ("tests/fault_shim.c", folder.join("fault_shim.so"));
    let mut compiler = Command::new("cc");
    compiler.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-shared", "-fPIC", "-O1", "-o"]);
    let built = compiler.arg(&shim).args([source, "-ldl"]).status();
    assert!(built.expect("cc, which linking takes anyway").success());
    shim
}

/// How often it is looked whether what was acknowledged before has reached the load.
const SETTLES_MAX: u32 = 20;

fn a_disk_that_fails(kind: &str, fault: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (shim, switch) = (shim(folder.path()), folder.path().join("fault"));
    let environment = [("LD_PRELOAD", shim.as_path()), ("GAVEL_FAULT", switch.as_path())];
    let mut served = Served::start_under(&environment);
    let mut load = Load::start(&served);
    load.wait_for(&served, 50);
    std::fs::write(&switch, kind).unwrap();
    // It says so, and acknowledges nothing any more.
    wait_for_health(&mut served, "journal_failed");
    let stands_still = (0..SETTLES_MAX).any(|_| {
        let acknowledged = load.acknowledged();
        for _ in 0..50 {
            page(&served, "/healthz");
        }
        load.acknowledged() == acknowledged
    });
    assert!(stands_still, "{fault}: acknowledged what is not durable");
    served.kill();
    std::fs::remove_file(&switch).unwrap();
    served.start_again();
    load.wait_for(&served, 50);
    served.kill();
    verify(&served, &load, &[], fault);
}

#[test]
fn a_failing_sync_is_not_acknowledged() {
    a_disk_that_fails("sync", "syncs fail");
}

#[test]
fn a_full_disk_is_not_acknowledged() {
    a_disk_that_fails("room", "disk full");
}

/// Leaves an exchange that was stopped and its projection, for a build of other rules to go on with.
#[test]
fn what_is_stopped_has_a_snapshot_of_its_end() {
    let projected = tempfile::tempdir().unwrap();
    let projection = format!("sqlite://{}/projection.sqlite", projected.path().display());
    let more = ["--snapshot-every", "100", "--keep-history", "--projection", &projection];
    let mut served = Served::start_with(&more);
    let mut load = Load::start(&served);
    load.wait_for(&served, 300);
    drop(load);
    served.stop();
    let listed = json(&gavel(&["snapshot", "--data", &served.data(), "--json"]));
    let snapshots = listed["snapshots"].as_array().unwrap();
    let verified = json(&gavel(&["verify", "--data", &served.data(), "--json"]));
    assert!(snapshots.len() > 1, "{listed}");
    assert_eq!(snapshots.last().unwrap()["seq"], verified["seq"], "{listed} {verified}");
    if let Ok(to) = std::env::var("GAVEL_UPGRADE_FROM") {
        drop(std::fs::remove_dir_all(&to));
        let projection = Path::new(&to).join("projection");
        for (from, to) in [(served.path(), Path::new(&to)), (projected.path(), &projection)] {
            let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
            assert!(copied.success());
        }
    }
}
