//! Whether the system can always come to an end. Comes in: a model. Goes out: how many of the states that faults can lead to
//! have no way, free of further faults, to a state in which every task is over. `stateright` judges single states and
//! paths without cycles; this question is about the graph, so the graph is built here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use stateright::Model;

use super::model::Protocol;
use super::property;
use super::state::State;

#[derive(Debug)]
pub struct Recovery {
    pub states: usize,
    /// States in which every task is over.
    pub settled: usize,
    /// How many cannot recover.
    pub stuck: usize,
    /// The first of them in the order of exploration.
    pub example: Option<State>,
}

pub fn recovery(model: &Protocol) -> Recovery {
    let mut places: HashMap<State, u32> = HashMap::new();
    let mut states: Vec<State> = vec![];
    // For every fault-free step: to, from.
    let mut backwards: Vec<(u32, u32)> = vec![];
    for state in model.init_states() {
        places.insert(state.clone(), states.len() as u32);
        states.push(state);
    }
    let mut actions = vec![];
    let mut next = 0;
    while next < states.len() {
        model.actions(&states[next], &mut actions);
        for action in actions.drain(..) {
            let Some(reached) = model.next_state(&states[next], action) else { continue };
            let place = match places.entry(reached) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    states.push(new.key().clone());
                    *new.insert(states.len() as u32 - 1)
                }
            };
            if !action.is_fault() {
                backwards.push((place, next as u32));
            }
        }
        next += 1;
    }
    drop(places);
    backwards.sort_unstable();
    let mut recovers: Vec<bool> = states.iter().map(|s| property::settled(s, model.bounds.tasks)).collect();
    let mut front: Vec<u32> = (0..states.len() as u32).filter(|i| recovers[*i as usize]).collect();
    let settled = front.len();
    while let Some(to) = front.pop() {
        let first = backwards.partition_point(|(t, _)| *t < to);
        for (_, from) in backwards[first..].iter().take_while(|(t, _)| *t == to) {
            if !std::mem::replace(&mut recovers[*from as usize], true) {
                front.push(*from);
            }
        }
    }
    let stuck = recovers.iter().filter(|r| !**r).count();
    let example = recovers.iter().position(|r| !r).map(|i| states[i].clone());
    Recovery { states: states.len(), settled, stuck, example }
}
