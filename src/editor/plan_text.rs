//! The chord plan while it is typed. Pure.

use crate::music::ChordPlan;

/// It counts when the field is left.
#[derive(Debug, Default)]
pub struct PlanText {
    pub typed: String,
    /// The text that counts, as last seen.
    saved: String,
    /// What it says; nothing where it cannot be read.
    read: ChordPlan,
}

impl PlanText {
    pub fn read(&self) -> &ChordPlan {
        &self.read
    }

    /// Takes in a text that came from elsewhere: a song that was loaded.
    pub fn refresh(&mut self, saved: String) {
        if self.saved != saved {
            self.typed.clone_from(&saved);
            self.take(saved);
        }
    }

    /// What was typed, if it is new.
    pub fn commit(&mut self) -> Option<String> {
        (self.typed != self.saved).then(|| {
            self.take(self.typed.clone());
            self.typed.clone()
        })
    }

    fn take(&mut self, text: String) {
        self.read = ChordPlan::parse(&text).unwrap_or_default();
        self.saved = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_plan_counts_once_and_a_loaded_one_replaces_it() {
        let mut plan = PlanText { typed: "| C |".into(), ..PlanText::default() };
        plan.refresh(String::new());
        assert_eq!(plan.typed, "| C |", "typing is not disturbed");
        assert_eq!(plan.commit(), Some("| C |".into()));
        assert_eq!(plan.commit(), None);
        assert_eq!(plan.read.to_string(), "| C |");
        plan.refresh("| C |".into());
        plan.refresh("| Dm |".into());
        assert_eq!((plan.typed.as_str(), plan.read.to_string()), ("| Dm |", "| Dm |".into()));
        assert_eq!(plan.commit(), None);
    }
}
