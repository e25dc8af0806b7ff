//! The protocol model, explored completely: what must hold holds, and every deliberate mistake is found out.

use std::collections::BTreeSet;
use std::time::Instant;

use cloudai_sim::protocol::{Bounds, Mutation, Policy, Protocol, Reduction, names, recovery};
use stateright::{Checker, HasDiscoveries, Model};

/// All states, and every property of the sound model.
fn holds(bounds: Bounds, policy: Policy, reduction: Reduction, states_min: usize) {
    let begun = Instant::now();
    let checker = Protocol::sound(bounds, policy, reduction).checker().threads(2).spawn_bfs().join();
    println!(
        "{policy:?}, {} tasks: {} states, {} steps, depth {}, {:.1} s",
        bounds.tasks,
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f32()
    );
    assert!(checker.is_done(), "explored to the end");
    checker.assert_properties();
    assert!(checker.unique_state_count() >= states_min, "the model has shrunk: does it still say anything?");
}

#[test]
fn two_tasks_that_continue() {
    holds(Bounds::WIDE, Policy::Continue, Reduction::Past, 400_000);
}

#[test]
fn two_tasks_that_stop() {
    holds(Bounds::WIDE, Policy::Stop, Reduction::Past, 400_000);
}

#[test]
fn one_task_that_continues_under_more_faults() {
    holds(Bounds::DEEP, Policy::Continue, Reduction::Names, 500_000);
}

#[test]
fn one_task_that_stops_under_more_faults() {
    holds(Bounds::DEEP, Policy::Stop, Reduction::Names, 500_000);
}

#[test]
fn every_state_can_come_to_an_end_without_more_faults() {
    for policy in [Policy::Continue, Policy::Stop] {
        for bounds in [Bounds::WIDE, Bounds { breaks: 1, worker_restarts: 2, ..Bounds::DEEP }] {
            let found = recovery(&Protocol::sound(bounds, policy, Reduction::Past));
            println!("{policy:?}: {} states, {} settled, {} stuck", found.states, found.settled, found.stuck);
            assert!(found.settled > 0);
            assert_eq!(found.stuck, 0, "for example {:#?}", found.example);
        }
    }
}

/// Where a mutant is looked for, and what must be violated.
fn caught(mutation: Mutation) -> (Policy, &'static [&'static str]) {
    match mutation {
        Mutation::NoFenceCheck => (Policy::Continue, &[names::CURRENT_RESULT, names::ONE_RESULT, names::NEVER_BACK]),
        Mutation::ReassignBeforeLost => (Policy::Continue, &[names::LOST_FIRST]),
        Mutation::AckBeforeCommit => (Policy::Continue, &[names::SUBMIT_KEPT]),
        Mutation::InheritedLeaseClock => (Policy::Stop, &[names::LOSS_NOT_EARLY, names::NO_OVERLAP]),
        Mutation::AdoptWithoutFence => (Policy::Continue, &[names::CURRENT_RESULT]),
        Mutation::RenewWhileLosing => (Policy::Stop, &[names::LOSS_NOT_EARLY, names::NO_OVERLAP]),
        Mutation::StartBeforeSet => (Policy::Stop, &[names::NO_OVERLAP]),
        Mutation::LeaseFromAck => (Policy::Stop, &[names::NO_OVERLAP]),
        Mutation::DeposedLeaderRenews => (Policy::Stop, &[names::LOSS_NOT_EARLY, names::NO_OVERLAP]),
        Mutation::NoSupervisor => (Policy::Stop, &[names::NO_OVERLAP]),
    }
}

/// Each named property by itself: the shortest way to its violation.
#[test]
fn every_mutant_is_caught() {
    for mutation in Mutation::ALL {
        let (policy, violated) = caught(mutation);
        for name in violated {
            let begun = Instant::now();
            let wanted = HasDiscoveries::AllOf(BTreeSet::from([*name]));
            let checker = Protocol::mutant(Bounds::NARROW, policy, mutation)
                .checker()
                .threads(2)
                .finish_when(wanted)
                .spawn_bfs()
                .join();
            let path = checker.discovery(name).unwrap_or_else(|| panic!("{mutation:?} was not caught by '{name}'"));
            let actions = path.into_actions();
            println!(
                "{mutation:?} violates '{name}' after {} steps ({} states, {:.1} s):",
                actions.len(),
                checker.unique_state_count(),
                begun.elapsed().as_secs_f32()
            );
            for action in actions {
                println!("    {action:?}");
            }
        }
    }
}
