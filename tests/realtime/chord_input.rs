//! Chords that are held on a split or come on a channel of their own: the band follows them, the melody does not notice, the
//! song keeps them.

use crate::bands::all_parts;
use crate::host::{Run, SAMPLES_PER_QUARTER, SentNote, TestHost, block, melody, playing, release, strike};
use obbligato::channels::{EditorCommand, Heard};
use obbligato::generators::library::Loaded;
use obbligato::ledger::LedgerCommand;
use obbligato::music::{ChordPlan, Key, Note, Part, PlanSource, Song, Ticks, Velocity};
use obbligato::realtime::{Block, HostTransport, TimedEvent};
use obbligato::settings::{ChordInput, Follow, Settings};
use std::time::{Duration, Instant};

/// Four bars of 4/4 above the split.
fn song() -> Song {
    let phrase = [(76, 12), (74, 12), (72, 12), (74, 12), (76, 24), (79, 24), (77, 18), (76, 6), (74, 24), (72, 48)];
    Song { melody: melody(&phrase), ..Song::default() }
}

/// From a tick to a tick, on a channel.
fn chord(channel: u8, ticks: std::ops::Range<Ticks>, keys: &[i32]) -> Vec<(u8, Note)> {
    let note = |key: &i32| Note {
        start: ticks.start,
        key: Key::folded(*key),
        duration: ticks.end - ticks.start,
        velocity: Velocity::default(),
    };
    keys.iter().map(|key| (channel, note(key))).collect()
}

/// A chord a bar, each a sixteenth early; the last is let go in the middle of its bar. None is what the melody asks for.
fn held(channel: u8) -> Vec<(u8, Note)> {
    [
        chord(channel, 0..45, &[49, 53, 56]),
        chord(channel, 45..93, &[46, 49, 53]),
        chord(channel, 93..141, &[42, 46, 49]),
        chord(channel, 141..166, &[44, 48, 51, 54]),
    ]
    .concat()
}

/// By segment, with the first half bar in which nobody knew a chord.
const HELD: [&str; 8] = ["", "Db", "Bbm", "Bbm", "F#", "F#", "Ab7", "Ab7"];

fn split() -> Settings {
    Settings { chord_input: ChordInput::Split, thru: true, ..all_parts() }
}

fn on_channel() -> Settings {
    Settings { chord_input: ChordInput::Channel, chord_channel: 5, ..split() }
}

fn run(block_size: u32) -> Run {
    Run::offline(48_000.0, block_size)
}

/// One pass over the song; all that came out.
fn pass(host: &mut TestHost, chords: &[(u8, Note)], settings: &Settings, run: Run) -> Vec<SentNote> {
    let from = host.elapsed;
    host.play_song_with(&song(), chords, settings, run);
    host.stop(settings);
    assert_eq!((host.hanging(), host.orphans), (0, 0));
    settle(host);
    host.notes_since(from, &song(), run)
}

/// Waits until the last bar has been heard.
fn settle(host: &TestHost) {
    let begun = Instant::now();
    while host.view.get().ledger.bar_at(144).is_none_or(|entry| entry.melody.is_none()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "the song is never heard");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The chords that were answered, by segment of the song, the user's with a star.
fn chords(host: &TestHost) -> Vec<String> {
    let text =
        |chord: Option<_>| chord.map_or_else(|| "-".to_owned(), |chord: obbligato::music::Chord| chord.to_string());
    let view = host.view.get();
    let of_song = view.chords.iter().filter(|(segment, _)| (0..192).contains(&segment.start()));
    of_song
        .map(|(_, planned)| {
            let star = if planned.source == PlanSource::User { "*" } else { "" };
            text(planned.chord) + star
        })
        .collect()
}

fn of_user(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{name}*")).collect()
}

/// What is on a channel.
fn on(notes: &[SentNote], channel: u8) -> Vec<SentNote> {
    notes.iter().filter(|note| note.channel == channel).copied().collect()
}

#[test]
fn the_band_follows_what_is_held() {
    for (settings, channel) in [(split(), 0), (on_channel(), 5)] {
        let mut host = TestHost::threaded(Loaded::rules);
        let notes = pass(&mut host, &held(channel), &settings, run(480));
        let played = chords(&host);
        assert_eq!(played[1..], of_user(&HELD[1..]));
        assert!(!played[0].ends_with('*'), "a chord that is struck on the beat is heard after it");
        // The rules' bass plays the root where a segment begins.
        let bass = on(&notes, Part::Bass.default_channel());
        for (segment, name) in HELD.iter().enumerate().skip(1) {
            let start = 24 * segment as i32 * 16;
            let first = bass.iter().find(|note| note.start == start).expect("a bass note a half bar");
            let root = first.key.pitch_class().to_string();
            assert!(name.starts_with(&root), "{root} under {name}");
        }
    }
}

#[test]
fn chords_are_not_melody_and_do_not_sound() {
    for (settings, channel) in [(split(), 0), (on_channel(), 5)] {
        let mut host = TestHost::threaded(Loaded::rules);
        let notes = pass(&mut host, &held(channel), &settings, run(480));
        let heard: Vec<Note> =
            host.view.get().ledger.bars().filter_map(|entry| entry.melody.clone()).flatten().collect();
        let plain = |notes: &[Note]| notes.iter().map(|note| (note.start, note.key, note.duration)).collect::<Vec<_>>();
        assert_eq!(plain(&heard), plain(&song().melody));
        let through: Vec<Key> = on(&notes, 0).iter().map(|note| note.key).collect();
        let expected: Vec<Key> = song().melody.iter().map(|note| note.key).collect();
        assert_eq!((through, on(&notes, 5)), (expected, Vec::new()));
    }
    // Switched off, all of it is.
    let off = Settings { chord_input: ChordInput::Off, ..split() };
    let mut host = TestHost::threaded(Loaded::rules);
    let notes = pass(&mut host, &held(0), &off, run(480));
    assert_eq!(on(&notes, 0).len(), song().melody.len() + held(0).len());
    assert!(chords(&host).iter().all(|chord| !chord.ends_with('*')));
}

#[test]
fn held_chords_give_the_same_in_any_block_size() {
    for settings in [split(), Settings { follow: Follow::Arrange, ..split() }] {
        let passes = |block_size| {
            let mut host = TestHost::threaded(Loaded::rules);
            let first = pass(&mut host, &held(0), &settings, run(block_size));
            let second = pass(&mut host, &held(0), &settings, run(block_size));
            (first, second, chords(&host))
        };
        let expected = passes(512);
        for block_size in [17, 64, 480, 4096] {
            assert_eq!(passes(block_size), expected, "blocks of {block_size}");
        }
    }
}

#[test]
fn the_song_keeps_the_chords_that_were_held() {
    let settings = split();
    let mut host = TestHost::threaded(Loaded::rules);
    let notes = pass(&mut host, &held(0), &settings, run(480));
    assert_eq!(pass(&mut host, &held(0), &settings, run(480)), notes, "played again");
    assert_eq!(pass(&mut host, &[], &settings, run(480)), notes, "nobody plays chords now");
    let saved = host.state.save();
    for settings in [split(), Settings { chord_input: ChordInput::Off, ..split() }] {
        for chords in [&held(0)[..], &[]] {
            if settings.chord_input == ChordInput::Off && !chords.is_empty() {
                continue;
            }
            let mut other = TestHost::threaded(Loaded::rules);
            other.state.load(saved.clone());
            assert_eq!(pass(&mut other, chords, &settings, run(64)), notes);
        }
    }
    // Freed, the band finds its own.
    host.commands.send(EditorCommand::Ledger(LedgerCommand::UnlockChords(0..192))).expect("somebody listens");
    pass(&mut host, &[], &settings, run(480));
    assert!(chords(&host).iter().all(|chord| !chord.ends_with('*')), "{:?}", chords(&host));
}

#[test]
fn an_arrangement_has_each_chord_where_it_was_held() {
    let on_the_beat = [
        chord(0, 0..48, &[49, 53, 56]),
        chord(0, 48..72, &[46, 49, 53]),
        chord(0, 72..120, &[42, 46, 49]),
        chord(0, 120..190, &[44, 48, 51, 54]),
    ];
    let on_the_beat = on_the_beat.concat();
    let jam = ["Db", "Db", "Bbm", "F#", "F#", "Ab7", "Ab7"];
    let arranged = ["Db", "Db", "Bbm", "F#", "F#", "Ab7", "Ab7", "Ab7"];
    let settings = Settings { follow: Follow::Arrange, ..split() };
    let mut host = TestHost::threaded(Loaded::rules);
    pass(&mut host, &on_the_beat, &settings, run(480));
    let second = pass(&mut host, &on_the_beat, &settings, run(480));
    assert_eq!(chords(&host), of_user(&arranged));
    for again in [&on_the_beat[..], &[]] {
        assert_eq!(pass(&mut host, again, &settings, run(64)), second, "it stays");
    }
    // Other chords are followed once they are heard.
    pass(&mut host, &chord(0, 70..190, &[41, 45, 48]), &settings, run(480));
    assert_eq!(chords(&host), of_user(&["Db", "Db", "Bbm", "F", "F", "F", "F", "F"]));
    // A jam keeps what was played.
    let mut host = TestHost::threaded(Loaded::rules);
    pass(&mut host, &on_the_beat, &split(), run(480));
    pass(&mut host, &on_the_beat, &split(), run(480));
    assert_eq!(chords(&host)[1..], of_user(&jam));
}

#[test]
fn a_later_pass_with_other_chords_plays_these_and_undo_goes_back() {
    let settings = split();
    let mut host = TestHost::threaded(Loaded::rules);
    pass(&mut host, &held(0), &settings, run(480));
    let before = chords(&host);
    assert_eq!(host.view.get().steps, (0, 0), "a first pass replaces nothing");
    // Known in time for the second half of the second bar.
    let other = chord(0, 66..190, &[41, 45, 48]);
    pass(&mut host, &other, &settings, run(480));
    assert_eq!(chords(&host)[..3], before[..3]);
    assert_eq!(chords(&host)[3..], of_user(&["F"; 5]));
    assert_eq!(host.view.get().steps, (1, 0));
    host.commands.send(EditorCommand::Ledger(LedgerCommand::Undo)).expect("somebody listens");
    pass(&mut host, &[], &settings, run(480));
    assert_eq!(chords(&host), before);
}

#[test]
fn keys_that_are_down_win_over_a_typed_plan_and_letting_go_returns_to_it() {
    let settings = split();
    let mut host = TestHost::threaded(Loaded::rules);
    host.commands.send(EditorCommand::SetPlan(ChordPlan::parse("| E |").expect("a plan"))).expect("somebody listens");
    pass(&mut host, &chord(0, 40..80, &[41, 45, 48]), &settings, run(480));
    assert_eq!(chords(&host), of_user(&["E", "E", "F", "F", "E", "E", "E", "E"]));
}

/// Plays blocks of a tick at 120, with events before some of them, and returns what the worker would hear of chords.
fn told(
    settings: impl Fn(Ticks) -> Settings,
    acts: &[(Ticks, TimedEvent)],
    does: impl Fn(Ticks, &mut Block<'_>),
) -> String {
    let mut host = TestHost::bare();
    let mut told = Vec::new();
    for tick in 0..40 {
        let input: Vec<TimedEvent> = acts.iter().filter(|(at, _)| *at == tick).map(|(_, event)| *event).collect();
        let settings = settings(tick);
        let mut block = block(SAMPLES_PER_QUARTER / 12, playing(f64::from(tick) / 12.0), &settings);
        block.input = &input;
        does(tick, &mut block);
        host.block(&block);
        while let Ok(heard) = host.end().heard.pop() {
            told.push(match heard {
                Heard::TakeBegan { .. } => "begins".to_owned(),
                Heard::TakeEnded { .. } => "ends".to_owned(),
                Heard::NoteOn { key, .. } => format!("melody {key}"),
                Heard::ChordOn { key, .. } => format!("chord {key}"),
                Heard::ChordHeld { key, .. } => format!("still {key}"),
                Heard::NoteOff { key, .. } => format!("off {key}"),
                Heard::Cut(_) => continue,
            });
        }
    }
    host.stop(&settings(39));
    assert_eq!((host.hanging(), host.orphans), (0, 0));
    told.join(", ")
}

fn standing_until(start: Ticks) -> impl Fn(Ticks, &mut Block<'_>) {
    move |tick, block| {
        if tick < start {
            block.transport = HostTransport { playing: false, ..block.transport };
        }
    }
}

#[test]
fn what_is_held_before_the_start_is_held_after_it() {
    let acts = [(2, strike(0, 48)), (3, strike(0, 52)), (5, release(0, 48)), (6, strike(0, 72)), (30, release(0, 52))];
    assert_eq!(told(|_| split(), &acts, standing_until(10)), "begins, still E3, off E3");
}

#[test]
fn keys_stay_down_over_a_jump_and_not_over_a_stop_or_a_panic() {
    let acts = [(2, strike(0, 48)), (30, release(0, 48))];
    let jump = |tick, block: &mut Block<'_>| {
        if tick >= 20 {
            block.transport.quarters = Some(40.0 + f64::from(tick) / 12.0);
        }
    };
    assert_eq!(told(|_| split(), &acts, jump), "begins, chord C3, ends, begins, still C3, off C3");
    let stop = |tick, block: &mut Block<'_>| block.transport.playing = !(10..20).contains(&tick);
    assert_eq!(told(|_| split(), &acts, stop), "begins, chord C3, ends, begins, off C3");
    let panic = |tick, block: &mut Block<'_>| block.panic = tick >= 20;
    assert_eq!(told(|_| split(), &acts, panic), "begins, chord C3, off C3, off C3");
}

#[test]
fn a_key_is_released_as_what_it_was_struck() {
    let turned = |off_until| {
        move |tick| Settings {
            chord_input: if tick < off_until { ChordInput::Off } else { ChordInput::Split },
            ..split()
        }
    };
    let acts = [(2, strike(0, 48)), (12, strike(0, 50)), (30, release(0, 48)), (31, release(0, 50))];
    assert_eq!(told(turned(10), &acts, |_, _| {}), "begins, melody C3, chord D3, off C3, off D3");
    let later_off =
        |tick| Settings { chord_input: if tick < 10 { ChordInput::Split } else { ChordInput::Off }, ..split() };
    let jump = |tick, block: &mut Block<'_>| {
        if tick >= 35 {
            block.transport.quarters = Some(40.0 + f64::from(tick) / 12.0);
        }
    };
    assert_eq!(told(later_off, &acts, jump), "begins, chord C3, melody D3, off C3, off D3, ends, begins");
    // Bypassed, all of it passes.
    let bypass = |_, block: &mut Block<'_>| block.bypass = true;
    assert_eq!(told(|_| split(), &acts, bypass), "");
}
