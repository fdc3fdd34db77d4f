//! Names of models as labels of metrics.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex},
};

/// Names that a process tells apart. A tenant may set any name, and each would be a time series for ever.
const MOST: usize = 50;
const OTHER: &str = "other";

static NAMES: LazyLock<Mutex<Names>> = LazyLock::new(Mutex::default);

/// The model's name while there are few, `other` from then on for names that are new.
pub(super) fn label(model: &str) -> String {
    NAMES.lock().expect("not poisoned").label(model)
}

#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn label(&mut self, model: &str) -> String {
        if !self.0.contains(model) {
            if self.0.len() >= MOST {
                return OTHER.to_owned();
            }
            self.0.insert(model.to_owned());
        }
        model.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_first_ones_share_a_label() {
        let mut names = Names::default();
        for n in 0..MOST {
            assert_eq!(names.label(&format!("m{n}")), format!("m{n}"));
        }
        assert_eq!(names.label("one more"), OTHER);
        assert_eq!(names.label("m0"), "m0", "known names keep theirs");
    }
}
