//! Visits every state that a machine can reach, breadth first.
//!
//! A checker of our own for one property: "from every reachable state the end can be reached by fair steps alone". It asks
//! for a path from each state, over a graph with cycles; the checkers at hand follow paths to their ends.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    hash::Hash,
};

/// More states than this are a machine without bounds.
const STATES: usize = 3_000_000;

pub trait Machine {
    type State: Clone + Eq + Hash + Debug;
    type Action: Copy + Debug;

    fn initial(&self) -> Self::State;

    /// What can happen next.
    fn steps(&self, state: &Self::State) -> Vec<(Self::Action, Self::State)>;

    /// Properties that a state breaks by itself.
    fn broken(&self, state: &Self::State) -> Vec<&'static str>;

    fn is_end(&self, state: &Self::State) -> bool;

    /// Whether the action happens by itself, soon, without a fault.
    fn is_fair(&self, action: Self::Action) -> bool;
}

/// The shortest way to a state that breaks a property.
#[derive(Debug)]
pub struct Violation {
    pub property: &'static str,
    pub trace: Vec<String>,
}

pub struct Explored {
    pub states: usize,
    /// The first of each property.
    pub violations: Vec<Violation>,
}

impl Explored {
    pub fn breaks(&self, property: &str) -> bool {
        self.violations.iter().any(|violation| violation.property == property)
    }
}

/// Visits all states; `stuck` names the property of states from which no fair path leads to an end.
pub fn explore<M: Machine>(machine: &M, stuck: &'static str) -> Explored {
    let mut places = HashMap::from([(machine.initial(), 0)]);
    let mut states = vec![machine.initial()];
    let mut came_from: Vec<Option<(usize, M::Action)>> = vec![None];
    let mut fair_into: Vec<Vec<u32>> = vec![Vec::new()];
    let mut at = 0;
    while at < states.len() {
        for (action, next) in machine.steps(&states[at]) {
            let place = *places.entry(next.clone()).or_insert_with(|| {
                states.push(next);
                came_from.push(Some((at, action)));
                fair_into.push(Vec::new());
                states.len() - 1
            });
            if machine.is_fair(action) {
                fair_into[place].push(u32::try_from(at).expect("fewer states"));
            }
        }
        at += 1;
        assert!(states.len() <= STATES, "more than {STATES} states");
    }

    let mut ends_well = vec![false; states.len()];
    let mut open: Vec<usize> = (0..states.len()).filter(|place| machine.is_end(&states[*place])).collect();
    while let Some(place) = open.pop() {
        if !std::mem::replace(&mut ends_well[place], true) {
            open.extend(fair_into[place].iter().map(|from| *from as usize));
        }
    }

    let mut found = HashSet::new();
    let mut violations = Vec::new();
    for (place, state) in states.iter().enumerate() {
        let mut broken = machine.broken(state);
        if !ends_well[place] {
            broken.push(stuck);
        }
        for property in broken {
            if found.insert(property) {
                violations.push(Violation { property, trace: trace(&states, &came_from, place) });
            }
        }
    }
    Explored { states: states.len(), violations }
}

fn trace<S: Debug, A: Copy + Debug>(states: &[S], came_from: &[Option<(usize, A)>], mut place: usize) -> Vec<String> {
    let mut trace = vec![format!("{:?}", states[place])];
    while let Some((from, action)) = came_from[place] {
        trace.push(format!("{action:?}"));
        place = from;
    }
    trace.reverse();
    trace
}
