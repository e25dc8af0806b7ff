//! Clusters that are well, and such that are not, as their doctor tells of them.

use cloudai_proto::v1::{Member, MemberRole, WorkerState};

use super::*;
use crate::output::View;
use crate::views::doctor::DoctorView;

const NOW: u64 = 1_800_000_000_000;
const DAY: u64 = 24 * 3_600_000;

fn condition() -> MachineCondition {
    MachineCondition {
        now_ms: NOW,
        software: "1.2.0".to_owned(),
        certificate_end_ms: NOW + 80 * DAY,
        disk_free_bytes: 60 << 30,
        disk_bytes: 100 << 30,
        engine_trouble: String::new(),
    }
}

fn master(id: u64) -> AskedMaster {
    let check = CheckMasterReply {
        name: format!("m{id}"),
        node_id: id,
        condition: Some(condition()),
        version_max: 7,
        leader_id: 1,
        term: 4,
        applied_index: 900_000 + id,
        fsyncs: 1_000,
        fsync_mean_us: 700 + 100 * id,
        has_state: true,
        has_ca_key: true,
    };
    AskedMaster {
        name: check.name.clone(),
        is_voter: true,
        answer: Ok(Answer { check, clock_ahead_ms: 2 * id as i64, uncertain_ms: 1 }),
    }
}

fn worker(name: &str) -> WorkerCheck {
    WorkerCheck {
        name: name.to_owned(),
        state: WorkerState::Ready as i32,
        draining: false,
        condition: Some(condition()),
        told_ms_ago: 5_000,
        clock_ahead_ms: -3,
    }
}

/// Three masters and two workers.
fn well() -> Facts {
    let member = |id: u64| Member {
        node_id: id,
        name: format!("m{id}"),
        role: MemberRole::Voter as i32,
        leader: id == 1,
        ..Member::default()
    };
    let status = ClusterStatusReply {
        leader_id: 1,
        leader: "m1".to_owned(),
        version: 7,
        members: (1..=3).map(member).collect(),
        ..ClusterStatusReply::default()
    };
    Facts {
        now_ms: NOW,
        own_certificate_end_ms: NOW + 85 * DAY,
        status: Some(status),
        masters: (1..=3).map(master).collect(),
        workers: Ok(vec![worker("w1"), worker("w2")]),
    }
}

fn of_master(facts: &mut Facts, n: usize) -> &mut Answer {
    facts.masters[n - 1].answer.as_mut().expect("it answers")
}

fn machine_of_master(facts: &mut Facts, n: usize) -> &mut MachineCondition {
    of_master(facts, n).check.condition.as_mut().expect("it says")
}

fn machine_of_worker(facts: &mut Facts, n: usize) -> &mut MachineCondition {
    facts.workers.as_mut().expect("known")[n - 1].condition.as_mut().expect("it says")
}

/// `code: what`, the worst first.
fn found(facts: &Facts) -> Vec<String> {
    examine(facts).findings.into_iter().map(|f| format!("{}: {}", f.code, f.what)).collect()
}

fn shown(facts: &Facts) -> String {
    let mut out = vec![];
    DoctorView(examine(facts)).table(&mut out).expect("memory takes everything");
    String::from_utf8(out).expect("text")
}

#[test]
fn a_cluster_that_is_well() {
    assert_eq!(
        shown(&well()),
        "\
masters:       3 of 3 answer; m1 leads
log disks:     one sync takes 1.0 ms on average (m3)
clocks:        at most 5ms apart
disks:         least free: 60 %, 60.0 GiB (master m1)
certificates:  the certificate of master m1 ends first, in 80d0h
software:      1.2.0, log format 7
workers:       2 of 2 ready

nothing is wrong
"
    );
}

#[test]
fn one_master_away_and_then_two() {
    let mut facts = well();
    facts.masters[2].answer = Err("c:7601 refuses the connection".to_owned());
    let text = shown(&facts);
    assert!(
        text.contains(
            "\
problem: master m3 does not answer
  why:  c:7601 refuses the connection
  next: start it, or open the way to it; if its machine is gone for good: `cloudai cluster remove`, then `cluster add` another

warning: no master may fail now
  why:  others are away already
  next: bring back those that do not answer

1 problem, 1 warning
"
        ),
        "{text}"
    );
    facts.masters[1].answer = Err("it does not answer".to_owned());
    facts.status.as_mut().expect("known").leader_id = 0;
    facts.workers = Err("nobody leads".to_owned());
    assert_eq!(
        found(&facts),
        [
            "master_unreachable: master m2 does not answer",
            "master_unreachable: master m3 does not answer",
            "no_quorum: 1 of 3 voting masters can be reached, and 2 are needed",
        ]
    );
}

#[test]
fn masters_that_answer_and_do_not_agree() {
    let mut facts = well();
    facts.status.as_mut().expect("known").leader_id = 0;
    of_master(&mut facts, 2).check.leader_id = 2;
    assert_eq!(
        found(&facts),
        [
            "no_leader: the masters have no leader, though enough of them answer",
            "leaders_disagree: the masters do not agree on who leads",
        ]
    );
}

#[test]
fn a_master_that_lags_one_without_state_and_one_that_cannot_sign() {
    let mut facts = well();
    of_master(&mut facts, 1).check.applied_index = 1_000;
    of_master(&mut facts, 2).check.has_state = false;
    of_master(&mut facts, 3).check.has_ca_key = false;
    of_master(&mut facts, 3).check.fsync_mean_us = 80_000;
    assert_eq!(
        found(&facts),
        [
            "behind: master m1 is 899003 log entries behind",
            "no_state: master m2 has no state of the cluster yet",
            "no_ca_key: master m3 has no usable CA key",
            "slow_disk: the disk of master m3 is slow: a sync of the log takes 80ms",
        ]
    );
}

#[test]
fn one_clock_is_wrong_and_only_that_one_is_named() {
    let mut facts = well();
    of_master(&mut facts, 2).clock_ahead_ms = 65_000;
    assert_eq!(found(&facts), ["clock: the clock of master m2 is 1m4s ahead of those of the other masters"]);
    // The leader's, against which workers are measured.
    let mut facts = well();
    of_master(&mut facts, 1).clock_ahead_ms = -10_000;
    for worker in facts.workers.as_mut().expect("known") {
        worker.clock_ahead_ms = 10_002;
    }
    assert_eq!(found(&facts), ["clock: the clock of master m1 is 10.0s behind those of the other masters"]);
    // This machine's.
    let mut facts = well();
    (1..=3).for_each(|n| of_master(&mut facts, n).clock_ahead_ms += 7_000);
    assert_eq!(found(&facts), ["clock: this machine's clock is 7.0s behind the masters'"]);
    // A slow answer proves nothing.
    of_master(&mut facts, 1).uncertain_ms = 8_000;
    (1..=3).for_each(|n| of_master(&mut facts, n).uncertain_ms = 8_000);
    assert!(found(&facts).is_empty());
    let mut facts = well();
    facts.workers.as_mut().expect("known")[1].clock_ahead_ms = -3_000;
    assert_eq!(found(&facts), ["clock: the clock of worker w2 is 3.0s behind the masters'"]);
}

#[test]
fn disks_that_fill() {
    let mut facts = well();
    machine_of_master(&mut facts, 3).disk_free_bytes = 2 << 30;
    machine_of_worker(&mut facts, 1).disk_free_bytes = 9 << 30;
    // What does not say how large it is, is not judged.
    *machine_of_worker(&mut facts, 2) = MachineCondition { disk_free_bytes: 0, disk_bytes: 0, ..condition() };
    assert_eq!(
        found(&facts),
        [
            "disk_full: the disk of master m3 has 2 % free (2.0 GiB)",
            "disk_low: the disk of worker w1 has 9 % free (9.0 GiB)",
        ]
    );
}

#[test]
fn certificates_that_were_not_renewed() {
    let mut facts = well();
    machine_of_master(&mut facts, 2).certificate_end_ms = NOW + 20 * DAY;
    machine_of_worker(&mut facts, 1).certificate_end_ms = NOW + 2 * DAY;
    facts.own_certificate_end_ms = NOW - 1;
    assert_eq!(
        found(&facts),
        [
            "certificate: the certificate of worker w1 ends in 2d0h",
            "certificate: the certificate that you ask with has ended",
            "certificate: the certificate of master m2 ends in 20d0h",
        ]
    );
}

#[test]
fn an_upgrade_that_is_half_done() {
    let mut facts = well();
    machine_of_worker(&mut facts, 2).software = "1.1.0".to_owned();
    facts.status.as_mut().expect("known").version = 6;
    assert_eq!(found(&facts), ["versions: not all run the same software: worker w2 runs 1.1.0"]);
    machine_of_worker(&mut facts, 2).software = "1.2.0".to_owned();
    assert_eq!(found(&facts), ["log_format: the log is still in format 6, and every master that answers knows 7"]);
}

#[test]
fn workers_that_cannot_be_used() {
    let mut facts = well();
    machine_of_worker(&mut facts, 1).engine_trouble = "connection refused".to_owned();
    assert_eq!(found(&facts), ["engine_away: the container engine of worker w1 does not answer"]);
    facts.workers.as_mut().expect("known")[1].state = WorkerState::Lost as i32;
    assert_eq!(
        found(&facts),
        [
            "workers_lost: 1 worker not heard of any more: w2",
            "engine_away: the container engine of worker w1 does not answer",
            "no_usable_worker: no worker can take tasks",
        ]
    );
    facts.workers = Ok(vec![]);
    assert_eq!(found(&facts), ["no_workers: there is no worker"]);
}

#[test]
fn one_master_two_and_four() {
    let mut facts = well();
    facts.masters.truncate(1);
    assert_eq!(found(&facts), ["no_spare: no master may fail now"]);
    facts.masters.push(master(2));
    assert_eq!(found(&facts), ["no_spare: no master may fail now"]);
    facts.masters.extend([master(3), master(4)]);
    assert!(found(&facts).is_empty());
}
