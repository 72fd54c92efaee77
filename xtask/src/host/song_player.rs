//! Plays a song to a plugin, block by block, as a sequencer does, and records what the plugin sends.
//!
//! Tempo, metre and position stand in the transport at the start of each block, so a block ends where tempo or metre
//! change and where the transport jumps. (CLAP allows transport events inside a block; few hosts send them.)

use super::{BlockProcessor, HostBlock, HostTransport, HostedPlugin, Message, Recording, Timed, parameter_number};
use anyhow::Result;
use obbligato::midi_file::PlayedNote;
use obbligato::music::{Bar, Song, TICKS_PER_QUARTER, Ticks, in_quarters};
use std::ops::Range;
use std::time::{Duration, Instant};

/// After the last stretch the transport stands still for so many blocks, time enough to release what sounds.
const STOPPED_BLOCKS: usize = 4;

/// How the song is played.
#[derive(Debug, Clone)]
pub struct PlayOptions {
    pub sample_rate: f64,
    /// In samples. Blocks at the end of a stretch or before a change of tempo are shorter.
    pub block_size: u32,
    /// What is played, in quarter notes, one stretch after the other; between two the transport jumps.
    pub stretches: Vec<Range<f64>>,
    /// Each block waits for its time on the clock.
    pub live: bool,
}

/// A song as a sequencer holds it.
#[derive(Debug, Clone)]
pub struct SongPlayer {
    song: Song,
    /// By start.
    notes: Vec<PlayedNote>,
    bars: Vec<Bar>,
    automation: Vec<Automation>,
}

/// A parameter that the host turns in each pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Automation {
    /// In quarter notes.
    pub at: f64,
    pub id: &'static str,
    /// As in [`Message::Parameter`].
    pub value: f64,
}

/// An input message and the sample of its stretch at which it is due.
type Due = (u64, Message);

impl SongPlayer {
    /// `notes` are what is played; `song` gives tempo, metre and bars.
    pub fn new(song: &Song, notes: &[PlayedNote]) -> Self {
        let mut notes = notes.to_vec();
        notes.sort_by(|a, b| a.start_quarters.total_cmp(&b.start_quarters).then(a.key.cmp(&b.key)));
        Self { song: song.clone(), notes, bars: song.bars().collect(), automation: Vec::new() }
    }

    /// The same with parameters that are turned at their places, also inside blocks.
    #[must_use]
    pub fn automated(self, automation: &[Automation]) -> Self {
        Self { automation: automation.to_vec(), ..self }
    }

    /// Plays the melody as it stands on the grid, on channel 1.
    pub fn of_song(song: &Song) -> Self {
        Self::new(song, &song.melody.iter().map(PlayedNote::from).collect::<Vec<_>>())
    }

    /// The whole song: to the end of its last bar.
    pub fn whole(&self) -> Range<f64> {
        let end = self.bars.last().map_or(0, Bar::end);
        0.0..in_quarters(end)
    }

    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// Plays on another thread, as hosts do; `progress` is told the quarter notes played so far.
    pub fn play(
        &self,
        plugin: &mut dyn HostedPlugin,
        options: &PlayOptions,
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<Recording> {
        let processor = plugin.processor()?;
        std::thread::scope(|scope| {
            let audio = scope.spawn(move || self.play_to(processor, options, progress));
            audio.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Plays on this thread.
    ///
    /// # Errors
    /// When a call fails.
    pub fn play_to(
        &self,
        processor: &mut dyn BlockProcessor,
        options: &PlayOptions,
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<Recording> {
        Playing::new(self, options, progress).run(processor)
    }

    fn bar_at(&self, quarters: f64) -> Bar {
        // A position is a whole number of samples, so it may lie a hair before the bar it stands for.
        let ticks = (quarters * f64::from(TICKS_PER_QUARTER) + 1e-6).floor() as Ticks;
        let found = self.bars.partition_point(|bar| bar.start <= ticks).checked_sub(1);
        let mut bar = found.map_or(Bar::of_constant_meter(0, self.song.meters[0].1), |index| self.bars[index]);
        while bar.end() <= ticks {
            bar = bar.next();
        }
        bar
    }

    fn transport(&self, quarters: f64, playing: bool) -> HostTransport {
        let bar = self.bar_at(quarters);
        HostTransport {
            playing,
            quarters,
            quarters_per_minute: self.song.tempo_at((quarters * f64::from(TICKS_PER_QUARTER) + 1e-6).floor() as Ticks),
            meter: (u16::from(bar.meter.beats()), u16::from(bar.meter.unit())),
            bar_start: in_quarters(bar.start),
            bar_number: bar.index.0,
        }
    }

    /// Place in the song, in quarter notes, after so many seconds from its start.
    fn quarters_at(&self, seconds: f64) -> f64 {
        let (mut quarters, mut since) = (0.0, 0.0);
        let mut quarters_per_minute = self.song.tempos[0].quarters_per_minute;
        for change in &self.song.tempos {
            let at = in_quarters(change.at);
            let reached = since + (at - quarters) * 60.0 / quarters_per_minute;
            if reached > seconds {
                break;
            }
            (quarters, since, quarters_per_minute) = (at, reached, change.quarters_per_minute);
        }
        quarters + (seconds - since) * quarters_per_minute / 60.0
    }
}

/// One run through all stretches.
struct Playing<'a> {
    player: &'a SongPlayer,
    options: &'a PlayOptions,
    progress: &'a (dyn Fn(f64) + Sync),
    recording: Recording,
    /// Samples since the start of the run.
    sample: u64,
    /// Note-offs of notes that sound at the end of a stretch.
    releases: Vec<Message>,
    began: Instant,
    quarters_played: f64,
}

impl<'a> Playing<'a> {
    fn new(player: &'a SongPlayer, options: &'a PlayOptions, progress: &'a (dyn Fn(f64) + Sync)) -> Self {
        Self {
            player,
            options,
            progress,
            recording: Recording::default(),
            sample: 0,
            releases: Vec::new(),
            began: Instant::now(),
            quarters_played: 0.0,
        }
    }

    fn run(mut self, processor: &mut dyn BlockProcessor) -> Result<Recording> {
        for (index, stretch) in self.options.stretches.iter().enumerate() {
            self.recording.stretch_ends.push(stretch.end);
            self.play_stretch(index, stretch, processor)?;
        }
        self.stand_still(processor)?;
        Ok(self.recording)
    }

    fn play_stretch(&mut self, index: usize, stretch: &Range<f64>, processor: &mut dyn BlockProcessor) -> Result<()> {
        let clock = StretchClock::new(self.player, stretch, self.options.sample_rate);
        let mut due = self.messages(stretch, &clock);
        let mut edges = self.edges(stretch, &clock);
        edges.push(clock.length);
        let mut start = 0;
        let already_played = self.quarters_played;
        while start < clock.length {
            let edge = edges.iter().copied().find(|edge| *edge > start).unwrap_or(clock.length);
            let end = edge.min(start + u64::from(self.options.block_size));
            let frames = (end - start) as u32;
            let later = due.partition_point(|(sample, _)| *sample < end);
            let input: Vec<Timed> = due
                .drain(..later)
                .map(|(sample, message)| Timed { timing: (sample - start) as u32, message })
                .collect();
            let transport = self.player.transport(clock.quarters_at(start), true);
            let place = |timing| clock.quarters_at(start + u64::from(timing));
            self.process(index, &HostBlock { frames, transport, input: &input }, place, processor)?;
            start = end;
            self.quarters_played = already_played + clock.quarters_at(start) - stretch.start;
            (self.progress)(self.quarters_played);
        }
        self.releases = due.into_iter().map(|(_, message)| message).collect();
        Ok(())
    }

    fn stand_still(&mut self, processor: &mut dyn BlockProcessor) -> Result<()> {
        let Some(stretch) = self.options.stretches.last() else {
            return Ok(());
        };
        let end = stretch.end;
        let transport = self.player.transport(end, false);
        for _ in 0..STOPPED_BLOCKS {
            let releases = std::mem::take(&mut self.releases);
            let input: Vec<Timed> = releases.into_iter().map(|message| Timed { timing: 0, message }).collect();
            let block = HostBlock { frames: self.options.block_size, transport, input: &input };
            self.process(self.options.stretches.len() - 1, &block, |_| end, processor)?;
        }
        Ok(())
    }

    fn process(
        &mut self,
        stretch: usize,
        block: &HostBlock<'_>,
        place: impl Fn(u32) -> f64,
        processor: &mut dyn BlockProcessor,
    ) -> Result<()> {
        if self.options.live {
            let due = Duration::from_secs_f64(self.sample as f64 / self.options.sample_rate);
            std::thread::sleep(due.saturating_sub(self.began.elapsed()));
        }
        let mut output = Vec::new();
        let called = Instant::now();
        processor.process(block, &mut output)?;
        self.recording.call_times.push(called.elapsed());
        self.recording.add_block(stretch, block.frames, &output, place);
        self.sample += u64::from(block.frames);
        Ok(())
    }

    /// What is sent in a stretch, by sample, note-offs before note-ons; the last are the releases due at its very end.
    fn messages(&mut self, stretch: &Range<f64>, clock: &StretchClock<'_>) -> Vec<Due> {
        let mut due: Vec<Due> = self.releases.drain(..).map(|message| (0, message)).collect();
        let struck = |note: &&PlayedNote| stretch.start <= note.start_quarters && note.start_quarters < stretch.end;
        for note in self.player.notes.iter().filter(struck) {
            let (channel, key) = (note.channel, note.key.number());
            let on = Message::NoteOn { channel, key, velocity: note.velocity.get() };
            due.push((clock.sample_of(note.start_quarters), on));
            due.push((clock.sample_of(note.end_quarters.min(stretch.end)), Message::NoteOff { channel, key }));
        }
        for Automation { at, id, value } in self.player.automation.iter().filter(|turned| stretch.contains(&turned.at))
        {
            due.push((clock.sample_of(*at), Message::Parameter { number: parameter_number(id), value: *value }));
        }
        due.sort_by_key(|(sample, message)| (*sample, matches!(message, Message::NoteOn { .. })));
        due
    }

    /// Samples at which tempo or metre change.
    fn edges(&self, stretch: &Range<f64>, clock: &StretchClock<'_>) -> Vec<u64> {
        let song = &self.player.song;
        let tempos = song.tempos.iter().map(|change| change.at);
        let changes = tempos.chain(song.meters.iter().map(|(at, _)| *at));
        let mut edges: Vec<u64> =
            changes.map(in_quarters).filter(|at| stretch.contains(at)).map(|at| clock.sample_of(at)).collect();
        edges.sort_unstable();
        edges
    }
}

/// Samples of a stretch and places in the song.
struct StretchClock<'a> {
    player: &'a SongPlayer,
    sample_rate: f64,
    /// Seconds from the start of the song to that of the stretch.
    start_seconds: f64,
    /// In samples.
    length: u64,
}

impl<'a> StretchClock<'a> {
    fn new(player: &'a SongPlayer, stretch: &Range<f64>, sample_rate: f64) -> Self {
        let start_seconds = player.song.seconds_at(stretch.start);
        let mut clock = Self { player, sample_rate, start_seconds, length: 0 };
        clock.length = clock.sample_of(stretch.end);
        clock
    }

    /// The first sample that is not before this place.
    fn sample_of(&self, quarters: f64) -> u64 {
        let samples = (self.player.song.seconds_at(quarters) - self.start_seconds) * self.sample_rate;
        // A place that is a whole number of samples must not become the next one by a rounding error.
        (samples - 1e-6).ceil().max(0.0) as u64
    }

    fn quarters_at(&self, sample: u64) -> f64 {
        self.player.quarters_at(self.start_seconds + sample as f64 / self.sample_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::HostNote;
    use super::*;
    use obbligato::music::{Key, Meter, Note, TempoChange, Velocity};

    /// Sends each note-on back as it comes, and keeps the transports it was shown.
    #[derive(Default)]
    struct Echo {
        shown: Vec<(u32, HostTransport)>,
    }

    impl BlockProcessor for Echo {
        fn process(&mut self, block: &HostBlock<'_>, output: &mut Vec<Timed>) -> Result<()> {
            self.shown.push((block.frames, block.transport));
            output.extend_from_slice(block.input);
            Ok(())
        }
    }

    fn song() -> Song {
        let meter = |beats, unit| Meter::new(beats, unit).expect("usual");
        let note = |start, key| Note { start, key: Key::folded(key), duration: 12, velocity: Velocity::default() };
        Song {
            melody: (0..10).map(|beat| note(beat * 12, 60 + beat)).collect(),
            tempos: vec![
                TempoChange { at: 0, quarters_per_minute: 133.0 },
                TempoChange { at: 48, quarters_per_minute: 71.0 },
            ],
            meters: vec![(0, meter(4, 4)), (48, meter(3, 4))],
        }
    }

    fn play(stretches: Vec<Range<f64>>, block_size: u32) -> (Recording, Echo) {
        let player = SongPlayer::of_song(&song());
        let options = PlayOptions { sample_rate: 44_100.0, block_size, stretches, live: false };
        let mut echo = Echo::default();
        let recording = Playing::new(&player, &options, &|_| {}).run(&mut echo).expect("the echo never fails");
        (recording, echo)
    }

    #[test]
    fn notes_come_back_from_where_they_stand_at_any_block_size() {
        for block_size in [1, 17, 64, 512, 4096] {
            let (recording, _) = play(vec![0.0..10.0], block_size);
            let notes: Vec<Note> = recording.notes(0).iter().filter_map(HostNote::on_grid).collect();
            assert_eq!(notes, song().melody, "{block_size}");
            assert_eq!((recording.hanging(), recording.orphan_offs(), recording.unsorted), (0, 0, 0));
        }
    }

    #[test]
    fn a_block_never_spans_a_change_of_tempo_or_metre() {
        let (_, echo) = play(vec![0.0..10.0], 4096);
        let changed = echo.shown.iter().find(|(_, transport)| transport.quarters_per_minute < 100.0);
        let (_, transport) = changed.expect("the tempo changes");
        assert!((4.0..4.001).contains(&transport.quarters), "{transport:?}");
        assert_eq!((transport.meter, transport.bar_start, transport.bar_number), ((3, 4), 4.0, 1));
    }

    #[test]
    fn a_jump_releases_what_sounds() {
        let (recording, echo) = play(vec![0.0..2.5, 1.0..3.5], 512);
        assert_eq!((recording.notes(0).len(), recording.notes(1).len()), (3, 3));
        assert_eq!((recording.hanging(), recording.orphan_offs()), (0, 0));
        assert_eq!(echo.shown.iter().filter(|(_, transport)| !transport.playing).count(), STOPPED_BLOCKS);
    }
}
