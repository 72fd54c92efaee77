//! Laws of the real-time side, tried on songs and on random hosts: it never allocates, its notes do not depend on the
//! block size, every struck note is released, and it plays what the engine writes.
// The guard against allocating is there in debug builds only.
#![cfg(debug_assertions)]

mod common;

use assert_no_alloc::AllocDisabler;
use common::{Run, SentNote, TestHost, melody};
use obbligato::arranger::Arranger;
use obbligato::generators::library::Loaded;
use obbligato::generators::rules::RuleGenerator;
use obbligato::generators::{Generator, GeneratorError, PartNote, Request};
use obbligato::music::{
    Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Song, TICKS_PER_QUARTER, TempoChange, Timing, Velocity,
};
use obbligato::realtime::{Block, HostTransport, NoteEvent, TimedEvent};
use obbligato::settings::{Follow, Settings};
use proptest::prelude::*;
use std::sync::atomic::Ordering;

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

fn all_parts() -> Settings {
    let mut settings = Settings { thru: false, ..Settings::default() };
    Part::ALL.into_iter().for_each(|part| settings.parts[part].on = true);
    settings
}

/// Two phrases with a change of tempo and metre, triplets, and notes that are held over bar lines.
fn song() -> Song {
    let meter = |beats, unit| Meter::new(beats, unit).expect("usual");
    let tempo = |at, quarters_per_minute| TempoChange { at, quarters_per_minute };
    Song {
        melody: melody(&[
            (64, 12),
            (64, 12),
            (65, 12),
            (67, 12),
            (67, 4),
            (65, 4),
            (64, 4),
            (62, 24),
            (0, 6),
            (60, 18),
            (60, 12),
            (62, 12),
            (64, 18),
            (62, 6),
            (62, 30),
            (60, 9),
            (62, 9),
            (64, 12),
            (65, 48),
            (67, 18),
            (69, 18),
            (72, 36),
        ]),
        tempos: vec![tempo(0, 97.3), tempo(96, 141.0)],
        meters: vec![(0, meter(4, 4)), (192, meter(3, 4))],
    }
}

/// At a change of metre what was guessed of the bar after it may have begun early; here nothing has to be guessed.
fn song_in_one_metre() -> Song {
    Song { meters: vec![(0, Meter::COMMON)], ..song() }
}

/// The rules' notes, each played around the grid by its own chance.
struct LooseBand(RuleGenerator);

impl Generator for LooseBand {
    fn name(&self) -> &str {
        "Loose band"
    }

    fn parts(&self) -> PerPart<bool> {
        self.0.parts()
    }

    fn plays(&self, meter: Meter) -> bool {
        self.0.plays(meter)
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        self.0.answer(request, &mut |note| write(PartNote { timing: chance_timing(&note), ..note }))
    }
}

/// Anything that a timing can be, by the note.
fn chance_timing(note: &PartNote) -> Timing {
    let number = u64::from(note.note.start.unsigned_abs()) << 16 | u64::from(note.note.key.number()) << 3;
    let mixed = (number | note.part.index() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let (earliest, latest) = (Timing::EARLIEST.sixteenths(), Timing::LATEST.sixteenths());
    Timing::clamped(earliest + (mixed % (latest - earliest + 1) as u64) as i32)
}

fn loose_band() -> Loaded {
    Loaded { generator: Box::new(LooseBand(RuleGenerator)), ..Loaded::rules() }
}

fn played(load: fn() -> Loaded, song: &Song, settings: &Settings, run: Run, passes: usize) -> Vec<SentNote> {
    let mut host = TestHost::threaded(load);
    let mut from = 0;
    for _ in 0..passes {
        from = host.elapsed;
        host.play_song(song, settings, run);
    }
    host.stop(settings);
    assert_eq!((host.hanging(), host.orphans), (0, 0));
    assert_eq!(host.meters.late_notes.load(Ordering::Relaxed), 0);
    assert_eq!(host.meters.dropped.load(Ordering::Relaxed), 0);
    host.notes_since(from, song, run)
}

/// A strike: when (in sixteenths of a tick), on which channel, which key.
type Onset = (i32, u8, Key);

/// What the engine writes. Nothing is struck before the song begins.
fn written(load: fn() -> Loaded, song: &Song, settings: &Settings) -> Vec<Onset> {
    let loaded = load();
    let mut arranger = Arranger::new(loaded.generator, loaded.drummer);
    let answers = arranger.perform(song, settings, &mut |_| {});
    let notes = answers.iter().flat_map(|answer| &answer.notes).filter(|note| note.released_at() > 0.0);
    let onset = |note: &PartNote| {
        let part = &settings.parts[note.part];
        let start = Timing::STEPS_PER_TICK * note.note.start + note.timing.sixteenths();
        (start.max(0), part.channel, part.apply(note.part, note.note).key)
    };
    in_order(notes.map(onset))
}

fn onsets(notes: &[SentNote]) -> Vec<Onset> {
    in_order(notes.iter().map(|note| (note.start, note.channel, note.key)))
}

fn in_order(onsets: impl Iterator<Item = Onset>) -> Vec<Onset> {
    let mut onsets: Vec<Onset> = onsets.collect();
    onsets.sort_unstable();
    onsets.dedup();
    onsets
}

/// A song in one metre, without the last moment in which a bar after it would begin early.
fn assert_plays_what_is_written(load: fn() -> Loaded, song: &Song, settings: &Settings, passes: usize) {
    let end = song.bars().last().map_or(0, |bar| bar.end()) * Timing::STEPS_PER_TICK + Timing::EARLIEST.sixteenths();
    let within = |onsets: Vec<Onset>| onsets.into_iter().filter(|(start, ..)| *start < end).collect::<Vec<_>>();
    let notes = played(load, song, settings, Run::offline(48_000.0, 256), passes);
    assert_eq!(within(onsets(&notes)), within(written(load, song, settings)));
}

#[test]
fn block_size_and_sample_rate_do_not_change_the_notes() {
    let (song, settings) = (song(), all_parts());
    for load in [Loaded::rules, loose_band] {
        let expected = played(load, &song, &settings, Run::offline(48_000.0, 512), 1);
        assert!(expected.len() > 60, "a band plays: {} notes", expected.len());
        for block_size in [1, 17, 64, 480, 4096, 8192] {
            let notes = played(load, &song, &settings, Run::offline(48_000.0, block_size), 1);
            assert_eq!(notes, expected, "blocks of {block_size}");
        }
        for sample_rate in [44_100.0, 96_000.0] {
            let notes = played(load, &song, &settings, Run::offline(sample_rate, 512), 1);
            assert_eq!(onsets(&notes), onsets(&expected), "{sample_rate} Hz");
        }
    }
}

#[test]
fn the_first_pass_plays_the_jam_that_the_engine_writes() {
    assert_plays_what_is_written(Loaded::rules, &song(), &all_parts(), 1);
    assert_plays_what_is_written(loose_band, &song_in_one_metre(), &all_parts(), 1);
}

#[test]
fn the_second_pass_plays_the_arrangement_that_the_engine_writes() {
    let settings = Settings { follow: Follow::Arrange, ..all_parts() };
    assert_plays_what_is_written(Loaded::rules, &song(), &settings, 2);
    assert_plays_what_is_written(loose_band, &song_in_one_metre(), &settings, 2);
}

/// Strikes a key at the start of each segment, always so far from the grid.
struct Metronome(Timing);

impl Generator for Metronome {
    fn name(&self) -> &str {
        "Metronome"
    }

    fn parts(&self) -> PerPart<bool> {
        PerPart::from_fn(|part| part == Part::Bass)
    }

    fn plays(&self, _: Meter) -> bool {
        true
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        for segment in request.ask.segments() {
            let note =
                Note { start: segment.start(), key: Key::folded(40), duration: 12, velocity: Velocity::default() };
            write(PartNote { part: Part::Bass, note, timing: self.0 });
        }
        Ok(request.ask.segments().map(|_| PlannedChord { chord: None, source: PlanSource::Rule }).collect())
    }
}

#[test]
fn a_note_before_its_segment_is_struck_in_time_or_as_soon_as_it_is_known() {
    const SAMPLES_PER_TICK: i32 = 2000;
    const SEGMENT: i32 = 24 * SAMPLES_PER_TICK;
    // Half a tick.
    const BLOCK: i32 = 1000;
    for (sixteenths, expected) in [(0, 0), (5, 625), (18, 2250), (-5, -625), (-8, -1000), (-12, -1000), (-18, -1000)] {
        let generator = Box::new(Metronome(Timing::clamped(sixteenths)));
        let mut host = TestHost::inline(Loaded { generator, ..Loaded::rules() });
        for start in (0..8 * SEGMENT).step_by(BLOCK as usize) {
            let quarters = f64::from(start) / f64::from(SAMPLES_PER_TICK * TICKS_PER_QUARTER);
            let block = Block {
                frames: BLOCK as u32,
                sample_rate: 48_000.0,
                transport: HostTransport { playing: true, quarters: Some(quarters), ..HostTransport::default() },
                settings: Settings::default(),
                bypass: false,
                offline: false,
                input: &[],
            };
            // The worker wakes once a segment, so each answer has come half a tick before it is due.
            let awake = start == 0 || (start + 2 * BLOCK) % SEGMENT == 0;
            if awake { host.block(&block) } else { host.block_without_worker(&block) }
        }
        let strikes = host.sent.iter().filter(|sent| matches!(sent.event, NoteEvent::On { .. }));
        let strikes: Vec<i64> = strikes.map(|sent| sent.sample as i64).collect();
        // The first segment is known when its first block is over.
        let later = (1..8).map(|segment| i64::from(segment * SEGMENT + expected));
        assert_eq!(strikes[1..8], later.collect::<Vec<_>>(), "{sixteenths} sixteenths");
        assert_eq!(host.meters.late_notes.load(Ordering::Relaxed), 0);
        assert_eq!(host.meters.late_segments.load(Ordering::Relaxed), 0);
    }
}

/// A held chord is struck, then something happens: which channels still sound after that block?
fn sounding_after(happens: impl Fn(&mut Block<'_>)) -> Vec<u8> {
    let settings = Settings { style: 0.0, ..all_parts() };
    let mut host = TestHost::inline(Loaded::rules());
    let melody = [67, 64].map(|key| TimedEvent {
        timing: 0,
        event: NoteEvent::On { channel: 0, key: Key::folded(key), velocity: Velocity::default() },
    });
    for eighth in 0..18 {
        let mut block = Block {
            frames: 12_000,
            sample_rate: 48_000.0,
            transport: HostTransport {
                playing: true,
                quarters: Some(f64::from(eighth) / 2.0),
                quarters_per_minute: Some(120.0),
                meter: Some((4, 4)),
                ..HostTransport::default()
            },
            settings,
            bypass: false,
            offline: false,
            input: if eighth == 0 { &melody } else { &[] },
        };
        if eighth == 17 {
            // Short, so that nothing ends by itself.
            block.frames = 16;
            happens(&mut block);
        }
        host.block(&block);
    }
    let mut channels: Vec<u8> =
        host.sounding.iter().filter(|(_, count)| **count > 0).map(|((channel, _), _)| *channel).collect();
    channels.dedup();
    channels
}

#[test]
fn notes_are_released_where_what_holds_them_ends() {
    let pitched = [Part::Bass, Part::Chords, Part::Pad];
    let channel_of = |part: &Part| part.default_channel();
    let undisturbed = sounding_after(|_| {});
    assert!(pitched.iter().all(|part| undisturbed.contains(&channel_of(part))), "{undisturbed:?}");

    assert_eq!(sounding_after(|block| block.transport.playing = false), [0_u8; 0], "stop");
    assert_eq!(sounding_after(|block| block.bypass = true), [0_u8; 0], "bypass");
    assert_eq!(sounding_after(|block| block.transport.quarters = Some(400.0)), [0_u8; 0], "jump");
    let muted = sounding_after(|block| block.settings.parts[Part::Chords].on = false);
    assert!(!muted.contains(&Part::Chords.default_channel()) && muted.contains(&Part::Bass.default_channel()));
    let moved = sounding_after(|block| block.settings.parts[Part::Bass].channel = 12);
    assert!(!moved.contains(&Part::Bass.default_channel()) && !moved.contains(&12), "struck anew only by new notes");
}

#[test]
fn what_comes_late_is_played_by_the_reserve_and_counted() {
    let settings = all_parts();
    let mut host = TestHost::inline(Loaded::rules());
    let transport = |quarters| HostTransport {
        playing: true,
        quarters: Some(quarters),
        quarters_per_minute: Some(120.0),
        meter: Some((4, 4)),
        ..HostTransport::default()
    };
    let note = NoteEvent::On { channel: 0, key: Key::folded(67), velocity: Velocity::default() };
    // Blocks of a quarter; the worker sleeps through the third bar.
    for quarter in 0..20 {
        let input = [TimedEvent { timing: 100, event: note }];
        let block = Block {
            frames: 24_000,
            sample_rate: 48_000.0,
            transport: transport(f64::from(quarter)),
            settings,
            bypass: false,
            offline: false,
            input: if quarter % 4 == 0 { &input } else { &[] },
        };
        if (8..12).contains(&quarter) { host.block_without_worker(&block) } else { host.block(&block) }
    }
    let in_bar = |bar: u64| {
        let ons = host.sent.iter().filter(|sent| matches!(sent.event, NoteEvent::On { .. }));
        ons.filter(|sent| sent.sample / 96_000 == bar).count()
    };
    assert!(host.meters.late_segments.load(Ordering::Relaxed) > 0);
    assert!(in_bar(2) > 0, "the reserve plays where no answer came");
    assert!(in_bar(4) > 0, "and the band comes back");
}

/// One thing a random host does.
#[derive(Debug, Clone)]
enum Act {
    Play { frames: u32 },
    Stop,
    Jump { quarters: f64 },
    Tempo(f64),
    Metre(i32, i32),
    Note { key: u8, channel: u8, on: bool },
    Part { part: usize, on: bool, channel: u8, octave: i8 },
    Thru(bool),
    Bypass(bool),
    Reset,
    WorkerSleeps(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0_u32..9000).prop_map(|frames| Act::Play { frames }),
        1 => Just(Act::Stop),
        2 => prop_oneof![-8.0..64.0_f64, Just(0.0), Just(f64::NAN), Just(1e12)].prop_map(|quarters| Act::Jump { quarters }),
        1 => prop_oneof![20.0..400.0_f64, Just(0.0), Just(f64::INFINITY)].prop_map(Act::Tempo),
        1 => (-1..13, prop_oneof![Just(4), Just(8), Just(0), Just(2), Just(16)]).prop_map(|(beats, unit)| Act::Metre(beats, unit)),
        8 => (0_u8..128, 0_u8..16, any::<bool>()).prop_map(|(key, channel, on)| Act::Note { key, channel, on }),
        2 => (0_usize..5, any::<bool>(), 0_u8..20, -4_i8..5)
            .prop_map(|(part, on, channel, octave)| Act::Part { part, on, channel, octave }),
        1 => any::<bool>().prop_map(Act::Thru),
        1 => any::<bool>().prop_map(Act::Bypass),
        1 => Just(Act::Reset),
        1 => any::<bool>().prop_map(Act::WorkerSleeps),
    ]
}

fn survive(acts: Vec<Act>) {
    let mut host = TestHost::inline(loose_band());
    let mut settings = all_parts();
    let mut transport = HostTransport { quarters: Some(0.0), ..HostTransport::default() };
    let (mut bypass, mut sleeping) = (false, false);
    let mut input: Vec<TimedEvent> = Vec::new();
    for act in acts {
        match act {
            Act::Stop => transport.playing = false,
            Act::Jump { quarters } => transport.quarters = Some(quarters),
            Act::Tempo(tempo) => transport.quarters_per_minute = Some(tempo),
            Act::Metre(beats, unit) => transport.meter = Some((beats, unit)),
            Act::Note { key, channel, on } => {
                let key = Key::folded(i32::from(key));
                let velocity = Velocity::default();
                let event = if on { NoteEvent::On { channel, key, velocity } } else { NoteEvent::Off { channel, key } };
                // Also at and past the end of the block: some hosts do that.
                input.push(TimedEvent { timing: 40 * input.len() as u32, event });
            }
            Act::Part { part, on, channel, octave } => {
                let part = &mut settings.parts[Part::ALL[part]];
                (part.on, part.channel, part.octave) = (on, channel, octave);
            }
            Act::Thru(on) => settings.thru = on,
            Act::Bypass(on) => bypass = on,
            Act::Reset => host.reset(),
            Act::WorkerSleeps(sleeps) => sleeping = sleeps,
            Act::Play { frames } => {
                transport.playing = true;
                let sample_rate = 48_000.0;
                let block = Block { frames, sample_rate, transport, settings, bypass, offline: false, input: &input };
                if sleeping {
                    host.block_without_worker(&block)
                } else {
                    host.block(&block)
                }
                input.clear();
                let tempo = transport.quarters_per_minute.filter(|tempo| tempo.is_finite()).unwrap_or(120.0);
                let on = f64::from(frames) / sample_rate * tempo / 60.0;
                transport.quarters = transport.quarters.map(|quarters| quarters + on);
            }
        }
    }
    // Keys that the random player never let go of are released too.
    host.reset();
    host.stop(&settings);
    assert_eq!(host.hanging(), 0, "hanging notes");
    assert_eq!(host.orphans, 0, "releases of what was not struck");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A failure prints its history, shortened, and the seed that makes it again.
    #[test]
    fn no_host_can_make_a_note_hang(acts in prop::collection::vec(act(), 1..80)) {
        survive(acts);
    }
}
