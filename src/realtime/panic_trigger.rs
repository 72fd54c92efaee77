//! Finds the moments at which everything is to fall silent. Runs on the audio thread.

/// The host's switch acts when it is turned on; the editor's button each time it is pressed.
#[derive(Debug, Default)]
pub struct PanicTrigger {
    /// As it stood in the last block; `None` before the first, so that a song saved with the switch on is not silenced.
    switch: Option<bool>,
    presses: u32,
}

impl PanicTrigger {
    /// Takes the switch as it stands and how often the button has been pressed in all; returns whether to silence.
    pub fn fires(&mut self, switch: bool, presses: u32) -> bool {
        let turned_on = self.switch.replace(switch) == Some(false) && switch;
        let pressed = std::mem::replace(&mut self.presses, presses) != presses;
        turned_on || pressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_fires() {
        let mut trigger = PanicTrigger::default();
        let states = [(true, 0), (true, 0), (false, 0), (true, 0), (true, 0), (true, 1), (true, 3), (false, 3)];
        let fired = states.map(|(switch, presses)| trigger.fires(switch, presses));
        assert_eq!(fired, [false, false, false, true, false, true, true, false]);
    }
}
