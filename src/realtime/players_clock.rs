//! Where the host has no positions, the player's first notes start a clock. Runs on the audio thread.

use super::timeline::{sensible_position, told_tempo};
use super::{Block, HostTransport, NoteEvent};
use crate::music::{Key, Meter, TICKS_PER_QUARTER, Velocity};

/// Stands in for the host's transport. With a tempo from the host the first note is the first beat; without one, four
/// onsets count in. It goes on until the player has been silent for long, and then waits for the next first notes.
#[derive(Debug)]
pub struct PlayersClock {
    /// The host has named a position: it leads, also while it stands still.
    host_leads: bool,
    /// The host has played, so that it means something when it does not.
    host_plays: bool,
    running: Option<Running>,
    count_in: CountIn,
    /// The bar line at which the clock starts next, in quarter notes.
    next_start: f64,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    /// Taken where the host tells none.
    quarters_per_minute: f64,
    /// Where the next block begins, in quarter notes, as well as it matters for the next start.
    position: f64,
    /// The timeline has been told of the position; from there on it counts.
    told: bool,
    /// Quarter notes since the player's last strike.
    silence: f64,
}

/// A note of the player's from before the clock ran. Times in quarter notes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FirstNote {
    pub channel: u8,
    pub key: Key,
    pub velocity: Velocity,
    pub struck_at: f64,
    /// `None`: still held.
    pub released_at: Option<f64>,
}

impl PlayersClock {
    /// Eight bars of 4/4, in quarter notes.
    const LONGEST_SILENCE: f64 = 32.0;

    pub fn new() -> Self {
        Self { host_leads: false, host_plays: false, running: None, count_in: CountIn::default(), next_start: 0.0 }
    }

    /// The transport to follow in this block: the host's, if it has one.
    pub fn transport(&mut self, block: &Block<'_>) -> HostTransport {
        let host = block.transport;
        self.host_leads |= sensible_position(host.quarters).is_some();
        self.host_plays |= host.playing;
        let stopped = self.host_leads || block.bypass || (self.host_plays && !host.playing);
        if stopped {
            self.stop(&host);
        }
        match &mut self.running {
            Some(running) => HostTransport {
                playing: true,
                quarters: (!std::mem::replace(&mut running.told, true)).then_some(running.position),
                quarters_per_minute: told_tempo(host.quarters_per_minute).or(Some(running.quarters_per_minute)),
                ..host
            },
            None => HostTransport { playing: host.playing && self.host_leads, ..host },
        }
    }

    /// Takes in what was played in the block, after it has been followed.
    pub fn listen(&mut self, block: &Block<'_>) {
        if self.host_leads || block.bypass || (self.host_plays && !block.transport.playing) {
            return;
        }
        match &mut self.running {
            Some(running) => {
                running.follow(block);
                if running.silence > Self::LONGEST_SILENCE {
                    self.stop(&block.transport);
                }
            }
            None => self.count_in(block),
        }
    }

    /// Where the player's first note stands, in quarter notes.
    pub fn began_at(&self) -> Option<f64> {
        self.running.map(|_| self.next_start)
    }

    /// What was played before the clock ran, by strike. Nothing where the host leads.
    pub fn first_notes(&self) -> impl Iterator<Item = FirstNote> {
        let start = self.began_at();
        start.into_iter().flat_map(|start| self.count_in.notes(start))
    }

    fn count_in(&mut self, block: &Block<'_>) {
        self.count_in.listen(block);
        if let Some(seconds_per_quarter) = self.count_in.settle(told_tempo(block.transport.quarters_per_minute)) {
            self.running = Some(Running {
                quarters_per_minute: 60.0 / seconds_per_quarter,
                position: self.next_start + self.count_in.quarters(self.count_in.now),
                told: false,
                silence: 0.0,
            });
        }
    }

    /// The next start is the bar line after what was played.
    fn stop(&mut self, host: &HostTransport) {
        if let Some(running) = self.running.take() {
            let meter = host.meter.and_then(|(beats, unit)| Meter::new(i64::from(beats), i64::from(unit)).ok());
            let bar = f64::from(meter.unwrap_or_default().bar_length()) / f64::from(TICKS_PER_QUARTER);
            self.next_start = (running.position / bar).ceil() * bar;
        }
        if self.count_in.note_count > 0 {
            self.count_in = CountIn::default();
        }
    }
}

impl Running {
    fn follow(&mut self, block: &Block<'_>) {
        let tempo = told_tempo(block.transport.quarters_per_minute).unwrap_or(self.quarters_per_minute);
        let length = f64::from(block.frames) / block.sample_rate * tempo / 60.0;
        self.position += length;
        let struck = block.input.iter().any(|event| matches!(event.event, NoteEvent::On { .. }));
        self.silence = if struck { 0.0 } else { self.silence + length };
    }
}

/// The player's first notes. Times in seconds since it began to listen.
#[derive(Debug)]
struct CountIn {
    /// The end of the last block.
    now: f64,
    /// Strikes that are not part of a chord.
    onsets: [f64; CountIn::ONSETS],
    onset_count: usize,
    notes: [FirstNote; CountIn::NOTES],
    note_count: usize,
    /// Once it is settled.
    seconds_per_quarter: f64,
}

impl CountIn {
    /// "One, two, three, four".
    const ONSETS: usize = 4;
    /// Four chords for two hands. What is more is not told to the other side.
    const NOTES: usize = 40;
    /// Strikes closer than this are one chord, in seconds.
    const CHORD: f64 = 0.06;
    /// Who waits longer than this, in seconds, begins anew.
    const LONGEST_PAUSE: f64 = 2.5;

    fn listen(&mut self, block: &Block<'_>) {
        for event in block.input {
            let at = self.now + f64::from(event.timing) / block.sample_rate;
            match event.event {
                NoteEvent::On { channel, key, velocity } => {
                    self.strike(FirstNote { channel, key, velocity, struck_at: at, released_at: None });
                }
                NoteEvent::Off { channel, key } => self.release(at, channel, key),
            }
        }
        self.now += f64::from(block.frames) / block.sample_rate;
    }

    fn strike(&mut self, note: FirstNote) {
        let at = note.struck_at;
        if self.last_onset().is_some_and(|last| at - last > Self::LONGEST_PAUSE) {
            (self.onset_count, self.note_count) = (0, 0);
        }
        if self.onset_count < Self::ONSETS && self.last_onset().is_none_or(|last| at - last > Self::CHORD) {
            self.onsets[self.onset_count] = at;
            self.onset_count += 1;
        }
        if self.note_count < Self::NOTES {
            self.notes[self.note_count] = note;
            self.note_count += 1;
        }
    }

    fn release(&mut self, at: f64, channel: u8, key: Key) {
        let mut notes = self.notes[..self.note_count].iter_mut();
        let held = notes.find(|note| note.released_at.is_none() && (note.channel, note.key) == (channel, key));
        if let Some(note) = held {
            note.released_at = Some(at);
        }
    }

    fn last_onset(&self) -> Option<f64> {
        self.onsets[..self.onset_count].last().copied()
    }

    /// Seconds a quarter, once enough has been heard. `told` is the host's tempo.
    fn settle(&mut self, told: Option<f64>) -> Option<f64> {
        let needed = if told.is_some() { 1 } else { Self::ONSETS };
        if self.onset_count < needed {
            return None;
        }
        self.seconds_per_quarter = told.map_or_else(|| beat_of(&self.onsets), |tempo| 60.0 / tempo);
        Some(self.seconds_per_quarter)
    }

    /// Quarter notes from the first onset to a time. The last onset stands on the grid.
    fn quarters(&self, at: f64) -> f64 {
        let (first, last) = (self.onsets[0], self.last_onset().unwrap_or(self.onsets[0]));
        nearest_sixteenth((last - first) / self.seconds_per_quarter) + (at - last) / self.seconds_per_quarter
    }

    fn notes(&self, start: f64) -> impl Iterator<Item = FirstNote> {
        self.notes[..self.note_count].iter().map(move |note| FirstNote {
            struck_at: start + self.quarters(note.struck_at),
            released_at: note.released_at.map(|at| start + self.quarters(at)),
            ..*note
        })
    }
}

impl Default for CountIn {
    fn default() -> Self {
        let nothing = FirstNote {
            channel: 0,
            key: Key::folded(0),
            velocity: Velocity::default(),
            struck_at: 0.0,
            released_at: None,
        };
        Self {
            now: 0.0,
            onsets: [0.0; Self::ONSETS],
            onset_count: 0,
            notes: [nothing; Self::NOTES],
            note_count: 0,
            seconds_per_quarter: 0.5,
        }
    }
}

/// The beat of onsets in seconds: the middle one of their distances, or half or double, so that it is a tempo one
/// counts in (70 to 140), then fitted to all of them.
fn beat_of(onsets: &[f64; CountIn::ONSETS]) -> f64 {
    const SHORTEST: f64 = 60.0 / 140.0;
    const LONGEST: f64 = 60.0 / 70.0;
    let mut distances = [onsets[1] - onsets[0], onsets[2] - onsets[1], onsets[3] - onsets[2]];
    distances.sort_unstable_by(f64::total_cmp);
    let mut beat = distances[1];
    while beat > LONGEST {
        beat /= 2.0;
    }
    while beat < SHORTEST {
        beat *= 2.0;
    }
    let places = onsets.map(|at| (at - onsets[0], nearest_sixteenth((at - onsets[0]) / beat)));
    let squares: f64 = places.iter().map(|(_, quarters)| quarters * quarters).sum();
    let fitted = places.iter().map(|(seconds, quarters)| seconds * quarters).sum::<f64>() / squares;
    if fitted.is_finite() { fitted } else { beat }
}

fn nearest_sixteenth(quarters: f64) -> f64 {
    (4.0 * quarters).round() / 4.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::TimedEvent;
    use crate::settings::Settings;

    const SAMPLE_RATE: f64 = 48_000.0;
    const BLOCK: u32 = 480;

    /// Plays keys at these seconds, each for a tenth, until `end`. The transports that were to be followed, by block.
    fn follow(clock: &mut PlayersClock, host: HostTransport, strikes: &[f64], end: f64) -> Vec<HostTransport> {
        let samples = |seconds: f64| (seconds * SAMPLE_RATE).round() as u64;
        let key = Key::folded(60);
        let mut events: Vec<(u64, NoteEvent)> = Vec::new();
        for at in strikes {
            events.push((samples(*at), NoteEvent::On { channel: 0, key, velocity: Velocity::default() }));
            events.push((samples(at + 0.1), NoteEvent::Off { channel: 0, key }));
        }
        let blocks = (0..samples(end)).step_by(BLOCK as usize);
        let followed = blocks.map(|start| {
            let inside = events.iter().filter(|(at, _)| (start..start + u64::from(BLOCK)).contains(at));
            let input: Vec<TimedEvent> =
                inside.map(|(at, event)| TimedEvent { timing: (at - start) as u32, event: *event }).collect();
            let block = Block {
                frames: BLOCK,
                sample_rate: SAMPLE_RATE,
                transport: host,
                settings: Settings::default(),
                bypass: false,
                panic: false,
                offline: false,
                input: &input,
            };
            let transport = clock.transport(&block);
            clock.listen(&block);
            transport
        });
        followed.collect()
    }

    /// Where and how fast it starts, and in which block.
    fn start_of(followed: &[HostTransport]) -> Option<(usize, f64, f64)> {
        let block = followed.iter().position(|transport| transport.playing)?;
        Some((block, followed[block].quarters?, followed[block].quarters_per_minute?))
    }

    #[test]
    fn the_first_note_starts_a_clock_at_the_tempo_of_the_host() {
        for playing in [false, true] {
            let host = HostTransport { playing, quarters_per_minute: Some(90.0), ..HostTransport::default() };
            let mut clock = PlayersClock::new();
            let (block, position, tempo) = start_of(&follow(&mut clock, host, &[1.003], 2.0)).expect("it starts");
            assert_eq!((block, tempo), (101, 90.0));
            assert!((position - 0.007 * 1.5).abs() < 1e-9, "{position}");
            let first: Vec<FirstNote> = clock.first_notes().collect();
            assert_eq!((first.len(), first[0].struck_at, clock.began_at()), (1, 0.0, Some(0.0)));
        }
    }

    #[test]
    fn four_notes_count_in_where_there_is_no_tempo() {
        for (strikes, expected) in [
            ([0.0, 0.5, 1.0, 1.5], 120.0),
            ([0.0, 0.51, 0.99, 1.5], 120.0),
            ([0.0, 0.35, 0.70, 1.05], 60.0 / 0.7),
            // A dotted rhythm: 3/4, 1/4, 1/2 of a quarter.
            ([0.0, 0.45, 0.60, 0.90], 100.0),
            ([0.0, 1.2, 2.4, 3.6], 100.0),
        ] {
            let mut clock = PlayersClock::new();
            let followed = follow(&mut clock, HostTransport::default(), &strikes, 4.0);
            let (block, position, tempo) = start_of(&followed).expect("it starts");
            assert!((tempo / expected - 1.0).abs() < 0.015, "{strikes:?}: {tempo}");
            let heard = (block as f64 * f64::from(BLOCK) / SAMPLE_RATE) * expected / 60.0;
            assert!((position - heard).abs() < 0.05, "{strikes:?}: {position} {heard}");
            let places: Vec<f64> = clock.first_notes().map(|note| note.struck_at).collect();
            assert_eq!(places.len(), 4);
            assert!(places[0].abs() < 0.05 && (places[3] - nearest_sixteenth(places[3])).abs() < 1e-9, "{places:?}");
        }
    }

    #[test]
    fn three_notes_a_chord_or_a_long_pause_are_no_count_in() {
        for strikes in [vec![0.0, 0.5, 1.0], vec![0.0, 0.01, 0.02, 0.03, 0.5], vec![0.0, 0.5, 1.0, 4.0, 4.5, 5.0]] {
            let followed = follow(&mut PlayersClock::new(), HostTransport::default(), &strikes, 6.0);
            assert_eq!(start_of(&followed), None, "{strikes:?}");
        }
    }

    #[test]
    fn a_long_silence_ends_it_and_the_next_note_begins_at_a_bar_line() {
        let host = HostTransport { quarters_per_minute: Some(240.0), ..HostTransport::default() };
        let mut clock = PlayersClock::new();
        let followed = follow(&mut clock, host, &[0.0, 1.0], 12.0);
        let end = followed.iter().rposition(|transport| transport.playing).expect("it plays");
        // 32 quarters, 8 seconds, after the last strike in block 100.
        assert!((900..=901).contains(&end), "{end}");
        let (_, position, _) = start_of(&follow(&mut clock, host, &[0.001], 1.0)).expect("it starts again");
        // A little more than 36 quarters were played. The block after the first note begins 9 ms after it.
        assert_eq!(clock.began_at(), Some(40.0));
        assert!((position - 40.036).abs() < 1e-9, "{position}");
    }

    #[test]
    fn a_host_with_positions_leads_also_while_it_stands() {
        let host = HostTransport { quarters: Some(7.0), quarters_per_minute: Some(90.0), ..HostTransport::default() };
        let followed = follow(&mut PlayersClock::new(), host, &[0.0, 0.5, 1.0, 1.5, 2.0], 3.0);
        assert!(followed.iter().all(|transport| *transport == host));
        // And where a host that played without positions stops, all stops.
        let mut clock = PlayersClock::new();
        let without = HostTransport { playing: true, quarters_per_minute: Some(90.0), ..HostTransport::default() };
        assert!(start_of(&follow(&mut clock, without, &[0.0], 1.0)).is_some());
        let stopped = HostTransport { playing: false, ..without };
        assert_eq!(start_of(&follow(&mut clock, stopped, &[0.0, 0.5, 1.0, 1.5], 2.0)), None);
    }
}
