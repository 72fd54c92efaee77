//! The song in the plugin's saved state, on whatever thread a host saves and loads: between text and the inference thread,
//! without the audio thread.

use crate::channels::{EditorCommand, SharedView};
use crate::ledger::saved::{from_text, to_text};
use crate::ledger::{Ledger, LedgerCommand};
use crossbeam_channel::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Saves the ledger as the inference thread last published it, and sends it a loaded one.
pub struct SongState {
    view: SharedView,
    commands: Sender<EditorCommand>,
    loaded: Mutex<Loaded>,
}

/// The text that was loaded last.
#[derive(Default)]
struct Loaded {
    /// Counts loads.
    number: u32,
    text: String,
    problem: Option<String>,
}

impl SongState {
    pub fn new(view: SharedView, commands: Sender<EditorCommand>) -> Self {
        Self { view, commands, loaded: Mutex::default() }
    }

    /// The song as text.
    ///
    /// That is the loaded one itself until the inference thread has taken it over (it may not even run yet), and also while
    /// it cannot be read and nothing new has been played: whoever opens a project only to look must not lose its song.
    pub fn save(&self) -> String {
        let loaded = self.lock();
        let view = self.view.get();
        let waiting = view.restored != loaded.number;
        let unread = loaded.problem.is_some() && view.ledger.is_empty();
        if waiting || unread { loaded.text.clone() } else { to_text(&view.ledger) }
    }

    /// Takes a saved song in. One that cannot be read leaves an empty song and a [`SongState::problem`].
    pub fn load(&self, text: String) {
        let mut loaded = self.lock();
        let (ledger, problem) = match from_text(&text) {
            Ok(ledger) => (ledger, None),
            Err(error) => (Ledger::default(), Some(error.to_string())),
        };
        *loaded = Loaded { number: loaded.number.wrapping_add(1), text, problem };
        // Fails only when the inference thread is gone; then the text is what stays.
        let _ = self.commands.send(EditorCommand::Restore { ledger, number: loaded.number });
    }

    /// Passes on what the user does to the bars.
    pub fn command(&self, command: LedgerCommand) {
        // Fails only when the inference thread is gone, and with it the song.
        let _ = self.commands.send(EditorCommand::Ledger(command));
    }

    /// Why the song that was loaded is not played, in words for the user.
    pub fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::SongView;
    use crate::music::{Bar, Meter};
    use crossbeam_channel::Receiver;

    fn song(bars: i32) -> Ledger {
        let mut ledger = Ledger::default();
        (0..bars).for_each(|index| ledger.hear(Bar::of_constant_meter(index, Meter::COMMON), Vec::new()));
        ledger
    }

    fn state() -> (SongState, Receiver<EditorCommand>, SharedView) {
        let (sender, commands) = crossbeam_channel::unbounded();
        let view = SharedView::default();
        (SongState::new(view.clone(), sender), commands, view)
    }

    /// The inference thread at work: it takes over what was loaded, and then the song is as `played` leaves it.
    fn work(commands: &Receiver<EditorCommand>, view: &SharedView, played: impl FnOnce(Ledger) -> Ledger) {
        let Ok(EditorCommand::Restore { ledger, number }) = commands.try_recv() else { panic!("a song was sent") };
        view.publish(SongView { ledger: played(ledger), restored: number, ..SongView::default() });
    }

    #[test]
    fn what_is_published_is_saved() {
        let (state, _commands, view) = state();
        assert_eq!(state.save(), "");
        view.publish(SongView { ledger: song(3), ..SongView::default() });
        assert_eq!(from_text(&state.save()), Ok(song(3)));
    }

    #[test]
    fn a_loaded_song_is_saved_before_anyone_has_taken_it_over() {
        let (state, commands, view) = state();
        view.publish(SongView { ledger: song(9), ..SongView::default() });
        state.load(to_text(&song(3)));
        assert_eq!(from_text(&state.save()), Ok(song(3)), "and not the one of before");
        work(&commands, &view, |ledger| {
            assert_eq!(ledger, song(3));
            song(4)
        });
        assert_eq!(from_text(&state.save()), Ok(song(4)));
        state.load(String::new());
        assert_eq!(state.save(), "", "a project without a song empties it");
        work(&commands, &view, |ledger| ledger);
        assert_eq!((state.save(), state.problem()), (String::new(), None));
    }

    #[test]
    fn commands_are_passed_on_in_order() {
        let (state, commands, _view) = state();
        let sent = [LedgerCommand::Lock(0..48), LedgerCommand::Undo];
        sent.iter().for_each(|command| state.command(command.clone()));
        assert_eq!(commands.try_iter().collect::<Vec<_>>(), sent.map(EditorCommand::Ledger));
    }

    #[test]
    fn a_song_that_cannot_be_read_is_explained_and_not_thrown_away() {
        let (state, commands, view) = state();
        for unread in ["4:from the future", "rubbish"] {
            state.load(unread.into());
            assert!(state.problem().is_some_and(|problem| problem.contains("bars in this project")));
            work(&commands, &view, |ledger| {
                assert!(ledger.is_empty());
                ledger
            });
            assert_eq!(state.save(), unread);
        }
        view.publish(SongView { ledger: song(1), restored: 2, ..SongView::default() });
        assert_eq!(from_text(&state.save()), Ok(song(1)), "once something new is played");
        state.load(to_text(&song(1)));
        assert_eq!(state.problem(), None);
    }
}
