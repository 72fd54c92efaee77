//! How far a knob turns: by the mouse, the wheel and the keyboard, as in other plugins. Pure.
//!
//! All positions are a host's: 0..=1 along the knob.

/// Points of dragging from one end to the other.
const TRAVEL: f32 = 200.0;
/// How much slower it turns with shift held.
const FINE: f32 = 0.1;
/// Of the whole way: one notch of the wheel or press of a key on a knob without steps.
const NOTCH: f32 = 0.02;
/// Notches of Page Up and Page Down.
pub const PAGE: f32 = 10.0;

/// A drag under way: where it has come to, which is finer than the values the parameter can have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    position: f32,
}

impl Turn {
    /// A drag that begins at `position`, 0..=1.
    pub fn from(position: f32) -> Self {
        Self { position }
    }

    /// Upwards and to the right is more. `points` since the last call; down is positive, as on screens.
    pub fn drag(&mut self, right: f32, down: f32, fine: bool) -> f32 {
        let speed = if fine { FINE } else { 1.0 };
        // Beyond an end nothing is stored up: it turns back at once.
        self.position = (self.position + (right - down) * speed / TRAVEL).clamp(0.0, 1.0);
        self.position
    }
}

/// Where so many notches lead: of the wheel (which may turn by fractions) or of the keyboard. `steps`: how many the
/// parameter has, if it has few; a notch is then one of them, and there is nothing finer.
pub fn notched(position: f32, notches: f32, fine: bool, steps: Option<usize>) -> f32 {
    /// More are no notches that one would want to count.
    const COUNTABLE: usize = 130;
    let notch = match steps.filter(|steps| (1..=COUNTABLE).contains(steps)) {
        Some(steps) => return (position + whole(notches) / steps as f32).clamp(0.0, 1.0),
        None if fine => NOTCH * FINE,
        None => NOTCH,
    };
    (position + notches * notch).clamp(0.0, 1.0)
}

/// A wheel that turns by fractions makes at least a step.
fn whole(notches: f32) -> f32 {
    if notches.abs() < 1.0 { notches.signum() } else { notches.trunc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-5
    }

    #[test]
    fn up_and_right_is_more_and_shift_is_finer() {
        let dragged = |right, down, fine| Turn::from(0.5).drag(right, down, fine);
        assert!(near(dragged(0.0, -50.0, false), 0.75) && near(dragged(50.0, 0.0, false), 0.75));
        assert!(near(dragged(0.0, 50.0, false), 0.25) && near(dragged(0.0, -50.0, true), 0.525));
    }

    #[test]
    fn shift_in_the_middle_of_a_drag_makes_no_jump() {
        let mut turn = Turn::from(0.0);
        turn.drag(0.0, -100.0, false);
        assert!(near(turn.drag(0.0, -10.0, true), 0.505));
        assert!(near(turn.drag(0.0, -10.0, false), 0.555));
    }

    #[test]
    fn beyond_an_end_it_turns_back_at_once() {
        let mut turn = Turn::from(0.9);
        assert!(near(turn.drag(0.0, -500.0, false), 1.0));
        assert!(near(turn.drag(0.0, 20.0, false), 0.9));
    }

    #[test]
    fn small_drags_add_up_though_the_parameter_has_steps() {
        let mut turn = Turn::from(0.0);
        let last = (0..100).map(|_| turn.drag(0.0, -1.0, false)).last();
        assert!(near(last.expect("a hundred"), 0.5));
    }

    #[test]
    fn a_notch_is_a_step_where_there_are_steps() {
        assert!(near(notched(0.5, 1.0, false, None), 0.52) && near(notched(0.5, -1.0, true, None), 0.498));
        assert!(near(notched(0.5, 1.0, false, Some(6)), 0.5 + 1.0 / 6.0));
        assert!(near(notched(0.5, -0.2, true, Some(6)), 0.5 - 1.0 / 6.0), "not less than a step");
        assert!(near(notched(0.5, 1.0, false, Some(1000)), 0.52), "too many to count");
        assert!(near(notched(0.99, 1.0, false, Some(6)), 1.0) && near(notched(0.0, -PAGE, false, None), 0.0));
    }
}
