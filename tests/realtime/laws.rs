//! The notes do not depend on the block size, and they are what the engine writes.

use crate::bands::{Metronome, all_parts, band_with_melodists, loose_band};
use crate::host::{
    Run, SAMPLE_RATE, SAMPLES_PER_QUARTER, SentNote, TestHost, allocations_in, block, melody, playing, release, strike,
    worker,
};
use obbligato::arranger::Arranger;
use obbligato::channels::{self, Cut, Heard, Reply, ReplyKind, ReplyMessage, SHORTEST_MARGIN, SharedView, TakeId};
use obbligato::generators::library::Loaded;
use obbligato::generators::watched::Watched;
use obbligato::generators::{PartNote, Request};
use obbligato::music::{Key, Meter, Part, PerPart, Song, TICKS_PER_QUARTER, TempoChange, Ticks, Timing, in_quarters};
use obbligato::realtime::{Block, HostTransport, NoteEvent, TimedEvent};
use obbligato::settings::{Follow, Settings};
use std::collections::BTreeMap;
use std::time::Duration;

/// Two phrases with a change of tempo and metre, triplets, and notes that are held over bar lines.
pub fn song() -> Song {
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
pub fn song_in_one_metre() -> Song {
    Song { meters: vec![(0, Meter::COMMON)], ..song() }
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
    assert_eq!(host.count(|meters| &meters.late_notes), 0);
    assert_eq!(host.count(|meters| &meters.dropped), 0);
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
    let notes = played(load, song, settings, Run::offline(SAMPLE_RATE, 256), passes);
    assert_eq!(within(onsets(&notes)), within(written(load, song, settings)));
}

#[test]
fn block_size_and_sample_rate_do_not_change_the_notes() {
    let (song, settings) = (song(), all_parts());
    for load in [Loaded::rules, loose_band] {
        let expected = played(load, &song, &settings, Run::offline(SAMPLE_RATE, 512), 1);
        assert!(expected.len() > 60, "a band plays: {} notes", expected.len());
        for block_size in [1, 17, 32, 64, 480, 512, 4096, 8192] {
            let notes = played(load, &song, &settings, Run::offline(SAMPLE_RATE, block_size), 1);
            assert_eq!(notes, expected, "blocks of {block_size}");
        }
        for sample_rate in [44_100.0, 96_000.0] {
            let notes = played(load, &song, &settings, Run::offline(sample_rate, 512), 1);
            assert_eq!(onsets(&notes), onsets(&expected), "{sample_rate} Hz");
        }
    }
}

/// Rules that take up to so many milliseconds more than they do, now more and now less.
fn dawdler(milliseconds: u64) -> Loaded {
    let dawdle = move |request: &Request<'_>| std::thread::sleep(Duration::from_millis(request.seed % milliseconds));
    Loaded { generator: Box::new(Watched(dawdle)), ..Loaded::rules() }
}

#[test]
fn a_render_does_not_depend_on_how_fast_anyone_is() {
    let (song, settings) = (song(), Settings { follow: Follow::Arrange, ..all_parts() });
    for passes in [1, 2] {
        let expected = played(Loaded::rules, &song, &settings, Run::offline(SAMPLE_RATE, 512), passes);
        for block_size in [32, 480, 8192] {
            let notes = played(|| dawdler(30), &song, &settings, Run::offline(SAMPLE_RATE, block_size), passes);
            assert_eq!(notes, expected, "blocks of {block_size}, {passes} passes");
        }
    }
}

/// A tempo that climbs from 60 to 240 and falls again in steps of a tenth of a second.
struct Ramp {
    /// Where each step begins, in quarter notes, and its tempo.
    steps: Vec<(f64, f64)>,
}

impl Ramp {
    const STEP: u64 = 4800;
    const STEPS: u64 = 120;
    const END: u64 = Self::STEPS * Self::STEP;

    fn new() -> Self {
        let mut start = 0.0;
        let steps = (0..Self::STEPS).map(|step| {
            let tempo = 240.0 - 3.0 * (step as f64 - 60.0).abs();
            let begins = start;
            start += Self::STEP as f64 / SAMPLE_RATE * tempo / 60.0;
            (begins, tempo)
        });
        Self { steps: steps.collect() }
    }

    fn tempo_at(&self, sample: u64) -> f64 {
        self.steps[(sample.min(Self::END - 1) / Self::STEP) as usize].1
    }

    fn quarters_at(&self, sample: u64) -> f64 {
        let step = sample.min(Self::END - 1) / Self::STEP;
        let (start, tempo) = self.steps[step as usize];
        start + (sample - step * Self::STEP) as f64 / SAMPLE_RATE * tempo / 60.0
    }

    /// The first sample that is not before a place.
    fn sample_at(&self, quarters: f64) -> u64 {
        let (mut before, mut after) = (0, Self::END);
        while before < after {
            let middle = before.midpoint(after);
            if self.quarters_at(middle) < quarters { before = middle + 1 } else { after = middle }
        }
        before
    }
}

/// Eight bars under a ramp while knobs are turned: by start and end, in samples, channel and key. A block ends where the tempo
/// changes, and where a knob is turned; some of these are where a block would end anyway.
fn under_a_ramp(block_size: u32, follow: Follow) -> Vec<(u64, u64, u8, Key)> {
    let ramp = Ramp::new();
    let melody =
        [64, 65, 67, 69, 67, 65, 64, 62, 60, 62, 64, 72, 71, 69, 67, 65, 64, 62, 60, 62, 64, 65, 67, 71, 72, 71];
    let mut events = Vec::new();
    for (beat, key) in (0..26).zip(melody) {
        events.push((ramp.sample_at(f64::from(beat)), true, key));
        events.push((ramp.sample_at(f64::from(beat) + 0.8), false, key));
    }
    let knobs = [100_003, 211_001, 250_007, 333_331];
    let settings = |sample: u64| {
        let mut settings = Settings { follow, ..all_parts() };
        let turned = knobs.iter().filter(|knob| **knob <= sample).count();
        settings.density = [0.5, 0.9, 0.9, 0.2, 0.6][turned];
        settings.parts[Part::Bass].on = turned != 1;
        settings.parts[Part::Chords].octave = if turned < 3 { 0 } else { 1 };
        settings
    };
    let mut host = TestHost::threaded(Loaded::rules);
    let mut sample = 0;
    while sample < Ramp::END {
        let until = (sample / u64::from(block_size) + 1) * u64::from(block_size);
        let until = until.min((sample / Ramp::STEP + 1) * Ramp::STEP);
        let until = knobs.iter().copied().filter(|knob| *knob > sample).fold(until, u64::min);
        let within = events.iter().filter(|(at, ..)| (sample..until).contains(at));
        let event = |(at, on, key): &(u64, bool, i32)| {
            let timing = (at - sample) as u32;
            if *on { strike(timing, *key) } else { release(timing, *key) }
        };
        let mut input: Vec<TimedEvent> = within.map(event).collect();
        input.sort_by_key(|event| event.timing);
        let quarters_per_minute = Some(ramp.tempo_at(sample));
        let transport = HostTransport { quarters_per_minute, ..playing(ramp.quarters_at(sample)) };
        let block = block((until - sample) as u32, transport, &settings(sample));
        host.block(&Block { offline: true, input: &input, ..block });
        sample = until;
    }
    host.stop(&all_parts());
    assert_eq!((host.hanging(), host.orphans), (0, 0));
    let mut open = BTreeMap::new();
    let mut notes = Vec::new();
    for sent in &host.sent {
        match sent.event {
            NoteEvent::On { channel, key, .. } => {
                open.insert((channel, key), sent.sample);
            }
            NoteEvent::Off { channel, key } => {
                let start = open.remove(&(channel, key)).expect("it sounds");
                notes.push((start, sent.sample, channel, key));
            }
        }
    }
    notes.sort_unstable();
    notes
}

#[test]
fn block_size_changes_nothing_while_the_tempo_ramps_and_knobs_are_turned_inside_blocks() {
    for follow in [Follow::Jam, Follow::Arrange] {
        let expected = under_a_ramp(512, follow);
        assert!(expected.len() > 100, "{} notes", expected.len());
        for block_size in [1, 17, 32, 64, 480, 512, 4096, 8192] {
            assert_eq!(under_a_ramp(block_size, follow), expected, "blocks of {block_size}, {follow:?}");
        }
    }
}

/// Where segments begin and how many ticks before it hearing stopped, while the worker wants so many seconds.
fn margins(wanted: f32) -> Vec<(Ticks, Ticks)> {
    let mut host = TestHost::bare();
    host.meters.wanted_seconds.store(wanted, std::sync::atomic::Ordering::Relaxed);
    let settings = all_parts();
    let mut told = Vec::new();
    for tick in 0..96 {
        let melody = [strike(0, 60 + tick % 12)];
        let block = block(SAMPLES_PER_QUARTER / 12, playing(f64::from(tick) / 12.0), &settings);
        host.block(&Block { input: &melody, ..block });
        while let Ok(heard) = host.end().heard.pop() {
            told.push(heard);
        }
    }
    // The last strike that was heard before each cut.
    let mut last = 0;
    let mut margins = Vec::new();
    for heard in told {
        if let Heard::NoteOn { at, .. } = heard {
            last = (at * 12.0).round() as Ticks;
        } else if let Heard::Cut(cut) = heard
            && cut.segment.start() > 0
        {
            assert_eq!(last, cut.segment.start() - cut.margin, "all that is counted on has been heard, and no more");
            margins.push((cut.segment.start(), cut.margin));
        }
    }
    margins
}

#[test]
fn capture_is_cut_as_late_as_the_answers_allow() {
    // Three quarters of a segment at most, and a 32nd at least.
    // At 120 a tick is 42 ms, which here is the time from one call to the next as well; rounding takes half of one.
    for (wanted, expected) in
        [(0.0, 2), (0.02, 2), (0.06, 3), (0.1, 4), (0.27, 8), (0.43, 12), (0.65, 18), (0.8, 18), (20.0, 18)]
    {
        let at = |margin| [(24, margin), (48, margin), (72, margin), (96, margin)].to_vec();
        assert_eq!(margins(wanted), at(expected), "{wanted} s wanted");
    }
}

#[test]
fn a_render_is_always_cut_alike() {
    let mut host = TestHost::threaded(|| dawdler(100));
    host.play_song(&song(), &all_parts(), Run::offline(SAMPLE_RATE, 512));
    assert!(
        host.meters.wanted_seconds.load(std::sync::atomic::Ordering::Relaxed) > 0.1,
        "answers that live would be asked for earlier"
    );
    let view = host.view.get();
    let margins: Vec<Ticks> = view.ledger.bars().flat_map(|entry| &entry.answers).map(|answer| answer.margin).collect();
    assert!(margins.len() > 8 && margins.iter().all(|margin| *margin == 2), "{margins:?}");
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

#[test]
fn a_note_before_its_segment_is_struck_in_time_or_as_soon_as_it_is_known() {
    const SAMPLES_PER_TICK: i32 = 2000;
    const SEGMENT: i32 = 24 * SAMPLES_PER_TICK;
    // Half a tick.
    const BLOCK: i32 = 1000;
    let settings = Settings { count_in: 0, ..Settings::default() };
    for (sixteenths, expected) in [(0, 0), (5, 625), (18, 2250), (-5, -625), (-8, -1000), (-12, -1000), (-18, -1000)] {
        let timing = Timing::clamped(sixteenths);
        let mut host = TestHost::inline(Metronome { timing, ..Metronome::default() }.load());
        for start in (0..8 * SEGMENT).step_by(BLOCK as usize) {
            let quarters = f64::from(start) / f64::from(SAMPLES_PER_TICK * TICKS_PER_QUARTER);
            let block = block(BLOCK as u32, playing(quarters), &settings);
            // The worker wakes once a segment, so each answer has come half a tick before it is due.
            let awake = start == 0 || (start + 2 * BLOCK) % SEGMENT == 0;
            if awake { host.block(&block) } else { host.block_without_worker(&block) }
        }
        let strikes: Vec<i64> = host.strikes().into_iter().map(|sample| sample as i64).collect();
        // The first segment is known when its first block is over.
        let later = (1..8).map(|segment| i64::from(segment * SEGMENT + expected));
        assert_eq!(strikes[1..8], later.collect::<Vec<_>>(), "{sixteenths} sixteenths");
        assert_eq!(host.count(|meters| &meters.late_notes), 0);
        assert_eq!(host.count(|meters| &meters.late_segments), 0);
    }
}

/// What the inference thread sends while a song is played to it so many times.
fn replies(load: fn() -> Loaded, song: &Song, settings: &Settings, passes: u32) -> Vec<Reply> {
    let (mut realtime, end) = channels::connect();
    let (_commands, received) = crossbeam_channel::unbounded();
    let mut worker = worker(end, SharedView::default(), received, load());
    let mut events = Vec::new();
    for note in &song.melody {
        let (key, velocity, channel) = (note.key, note.velocity, 0);
        events.push((note.start, Heard::NoteOn { key, velocity, channel, at: in_quarters(note.start) }));
        events.push((note.end(), Heard::NoteOff { key, channel, at: in_quarters(note.end()) }));
    }
    events.sort_by_key(|(at, heard)| (*at, matches!(heard, Heard::NoteOn { .. })));
    let mut replies = Vec::new();
    for take in (1..=passes).map(TakeId) {
        let mut due = events.iter().peekable();
        realtime.heard.push(Heard::TakeBegan { take, at: 0.0 }).expect("there is room");
        for segment in song.bars().collect::<Vec<_>>().iter().flat_map(|bar| bar.segments()) {
            let known = segment.start() - SHORTEST_MARGIN;
            let mut hear = |heard| realtime.heard.push(heard).expect("there is room");
            while let Some((_, heard)) = due.next_if(|(at, _)| *at <= known) {
                hear(*heard);
            }
            let (margin, settings, quarters_per_minute) = (SHORTEST_MARGIN, *settings, 120.0);
            hear(Heard::Cut(Cut { take, segment, margin, settings, quarters_per_minute, offline: false }));
            while worker.run_pending() {}
            while let Ok(reply) = realtime.replies.pop() {
                replies.push(reply);
            }
        }
    }
    replies
}

#[test]
fn the_notes_of_each_part_are_streamed_in_the_order_of_their_times() {
    let mut settings = all_parts();
    Part::ALL.into_iter().for_each(|part| settings.parts[part].on = true);
    for (follow, load) in [Follow::Jam, Follow::Arrange]
        .into_iter()
        .flat_map(|follow| [Loaded::rules, loose_band, band_with_melodists].map(|load: fn() -> Loaded| (follow, load)))
    {
        let mut last = PerPart::from_fn(|_| Ticks::MIN);
        let (mut answers, mut notes) = (0, PerPart::<usize>::default());
        for reply in replies(load, &song(), &Settings { follow, ..settings }, 2) {
            match reply.message {
                ReplyMessage::Begin => last = PerPart::from_fn(|_| Ticks::MIN),
                ReplyMessage::Note(PartNote { part, note, .. }) => {
                    assert!(
                        last[part] <= note.start,
                        "{part:?} in {:?} at {}, {follow:?}",
                        reply.kind,
                        reply.segment_start
                    );
                    last[part] = note.start;
                    notes[part] += 1;
                }
                ReplyMessage::End => answers += usize::from(reply.kind == ReplyKind::Answer),
            }
        }
        assert_eq!(answers, 2 * song().bars().flat_map(|bar| bar.segments()).count());
        assert!(Part::BAND.into_iter().all(|part| notes[part] > 8), "{notes:?}");
    }
}

#[test]
fn the_guard_sees_what_it_guards_against() {
    assert_eq!(allocations_in(|| {}), 0);
    let mut notes = vec![1];
    assert!(allocations_in(|| notes = vec![1, 2, 3]) >= 2, "one for the new notes, one to free the old: {notes:?}");
}
