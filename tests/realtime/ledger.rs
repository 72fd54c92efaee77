//! Laws of the ledger, tried through the whole engine: a project that is saved, loaded and rendered plays what was heard,
//! in any block size, with or without the model; saving disturbs nothing.

use crate::host::{Run, SAMPLES_PER_QUARTER, SentNote, TestHost, block, melody, playing, release, strike};
use obbligato::channels::{EditorCommand, SongView};
use obbligato::generators::library::{GeneratorChoice, Loaded};
use obbligato::generators::rules::RuleGenerator;
use obbligato::generators::{Generator, GeneratorError, PartNote, Request};
use obbligato::hearing::HELD;
use obbligato::ledger::saved::from_text;
use obbligato::ledger::{BarState, LedgerCommand};
use obbligato::music::{
    Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Segment, Song, TempoChange, Ticks, Timing,
};
use obbligato::realtime::Block;
use obbligato::settings::{CountInBand, Follow, Settings};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What only a model would play: the rules' notes, a few keys higher and off the grid.
struct Model;

impl Generator for Model {
    fn name(&self) -> &str {
        "Model"
    }

    fn parts(&self) -> PerPart<bool> {
        PerPart::from_fn(|part| part != Part::Drums)
    }

    fn plays(&self, _: Meter) -> bool {
        true
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        RuleGenerator.answer(request, &mut |played| {
            let key = Key::folded(i32::from(played.note.key.number()) + 5);
            write(PartNote { note: Note { key, ..played.note }, timing: Timing::clamped(4), ..played });
        })
    }
}

fn model() -> Loaded {
    Loaded { generator: Box::new(Model), ..Loaded::rules() }
}

/// Six bars, the fifth and sixth like the first two, with triplets and a note over a bar line.
fn song() -> Song {
    let phrase = [(64, 12), (64, 12), (65, 12), (67, 12), (67, 4), (65, 4), (64, 4), (62, 24), (0, 6), (60, 6)];
    let middle = [(60, 12), (62, 12), (64, 18), (62, 6), (62, 30), (60, 9), (62, 9)];
    let tempo = |at, quarters_per_minute| TempoChange { at, quarters_per_minute };
    Song {
        melody: melody(&[&phrase[..], &middle[..], &phrase[..]].concat()),
        tempos: vec![tempo(0, 97.3), tempo(96, 141.0)],
        ..Song::default()
    }
}

fn settings() -> Settings {
    let mut settings = Settings { thru: false, count_in: 1, ..Settings::default() };
    Part::BAND.into_iter().for_each(|part| settings.parts[part].on = true);
    settings
}

/// Plays the song once and returns what came out.
fn pass(host: &mut TestHost, settings: &Settings, run: Run) -> Vec<SentNote> {
    let from = host.elapsed;
    host.play_song(&song(), settings, run);
    host.stop(settings);
    assert_eq!((host.hanging(), host.orphans), (0, 0));
    host.notes_since(from, &song(), run)
}

fn usual_run() -> Run {
    Run::offline(48_000.0, 512)
}

/// Waits until the inference thread has done all there is to do.
fn settle(host: &TestHost, settings: &Settings) {
    let begun = Instant::now();
    let bars = song().bars().count();
    loop {
        let ledger = host.view.get().ledger.clone();
        let heard = ledger.bars().filter(|entry| entry.melody.is_some()).count();
        let written = ledger.bars().filter(|entry| entry.state() == BarState::Arranged).count();
        if heard == bars && (settings.follow == Follow::Jam || written == bars) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{heard} bars heard, {written} written");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_project_that_is_saved_and_loaded_renders_what_was_heard() {
    for settings in [
        settings(),
        Settings { count_in: 2, count_in_band: CountInBand::Rests, ..settings() },
        Settings { follow: Follow::Arrange, ..settings() },
    ] {
        let mut host = TestHost::threaded(model);
        let mut heard = pass(&mut host, &settings, usual_run());
        settle(&host, &settings);
        if settings.follow == Follow::Arrange {
            heard = pass(&mut host, &settings, usual_run());
        }
        assert!(heard.len() > 40, "a band plays: {} notes", heard.len());
        assert_eq!(pass(&mut host, &settings, usual_run()), heard, "played again");
        let saved = host.state.save();
        for block_size in [1, 17, 480, 512, 8192] {
            // The model is missing.
            let mut other = TestHost::threaded(Loaded::rules);
            other.state.load(saved.clone());
            let run = Run::offline(48_000.0, block_size);
            assert_eq!(pass(&mut other, &settings, run), heard, "blocks of {block_size}, {:?}", settings.follow);
        }
    }
}

#[test]
fn what_stands_is_rendered_before_the_model_is_there() {
    for follow in [Follow::Jam, Follow::Arrange] {
        let settings = Settings { follow, ..settings() };
        let mut host = TestHost::threaded(model);
        pass(&mut host, &settings, usual_run());
        settle(&host, &settings);
        let heard = pass(&mut host, &settings, usual_run());
        let (open, gate) = crossbeam_channel::bounded::<()>(0);
        let mut other = TestHost::threaded(move || {
            // Until the test is over.
            let _ = gate.recv();
            model()
        });
        other.state.load(host.state.save());
        assert_eq!(pass(&mut other, &settings, usual_run()), heard, "{follow:?}");
        assert_eq!(
            other.view.get().engine.generator,
            Loaded::rules().generator.name(),
            "the model is still on its way"
        );
        drop(open);
    }
}

#[test]
fn commands_reach_the_song_in_any_block_size() {
    let play = |block_size| {
        let mut host = TestHost::threaded(model);
        let run = Run::offline(48_000.0, block_size);
        let before = pass(&mut host, &settings(), run);
        settle(&host, &settings());
        let bars = 96..144;
        let reroll = LedgerCommand::Reroll { bars: bars.clone(), parts: PerPart::from_fn(|part| part == Part::Chords) };
        host.commands.send(EditorCommand::Ledger(reroll)).expect("somebody listens");
        let rerolled = pass(&mut host, &settings(), run);
        let channel = Part::Chords.default_channel();
        let elsewhere = |notes: &[SentNote]| -> Vec<SentNote> {
            let ticks = |note: &SentNote| note.start / Timing::STEPS_PER_TICK;
            notes.iter().filter(|note| note.channel != channel || !bars.contains(&ticks(note))).copied().collect()
        };
        assert_ne!(rerolled, before);
        assert_eq!(elsewhere(&rerolled), elsewhere(&before));
        host.commands.send(EditorCommand::Ledger(LedgerCommand::Undo)).expect("somebody listens");
        assert_eq!(pass(&mut host, &settings(), run), before);
        rerolled
    };
    assert_eq!(play(64), play(4096));
}

/// The third bar.
const BAR: std::ops::Range<Ticks> = 96..144;

fn send(host: &TestHost, command: LedgerCommand) {
    host.commands.send(EditorCommand::Ledger(command)).expect("somebody listens");
}

/// Waits until the song is so.
fn becomes(host: &TestHost, what: &str, so: impl Fn(&SongView) -> bool) {
    let begun = Instant::now();
    while !so(&host.view.get()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never comes to {what}: {:?}", host.view.get().steps);
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn state_of(view: &SongView) -> Option<BarState> {
    view.ledger.bar_at(BAR.start).map(|entry| entry.state())
}

/// Notes struck in the third bar, and the others.
fn divided(notes: &[SentNote]) -> [Vec<SentNote>; 2] {
    let inside = |note: &&SentNote| BAR.contains(&note.start.div_euclid(Timing::STEPS_PER_TICK));
    let (inside, others) = notes.iter().partition::<Vec<&SentNote>, _>(inside);
    [inside, others].map(|notes| notes.into_iter().copied().collect())
}

#[test]
fn every_command_of_the_editor_does_what_it_says() {
    let (usual, louder) = (settings(), Settings { density: 1.0, ..settings() });
    let mut host = TestHost::threaded(model);
    let before = pass(&mut host, &usual, usual_run());
    settle(&host, &usual);
    let [bar, others] = divided(&before);

    send(&host, LedgerCommand::Lock(BAR));
    becomes(&host, "a locked bar", |view| state_of(view) == Some(BarState::Locked));
    let [locked, changed] = divided(&pass(&mut host, &louder, usual_run()));
    assert_eq!(onsets(&locked), onsets(&bar), "a locked bar plays whatever the knobs say");
    assert_ne!(onsets(&changed), onsets(&others));
    send(&host, LedgerCommand::Unlock(BAR));
    becomes(&host, "an open bar", |view| state_of(view) == Some(BarState::Anticipated));
    let [unlocked, _] = divided(&pass(&mut host, &louder, usual_run()));
    assert_ne!(onsets(&unlocked), onsets(&bar));

    // The way back and forth again: the pass, the lock and the pass before it were a step each, and so was unlocking.
    assert_eq!(host.view.get().steps, (4, 0));
    (0..4).for_each(|_| send(&host, LedgerCommand::Undo));
    becomes(&host, "the beginning", |view| view.steps == (0, 4));
    assert_eq!(pass(&mut host, &usual, usual_run()), before);
    (0..4).for_each(|_| send(&host, LedgerCommand::Redo));
    becomes(&host, "the end", |view| view.steps == (4, 0));
    assert_eq!(onsets(&divided(&pass(&mut host, &louder, usual_run()))[0]), onsets(&unlocked));

    let typed = PlannedChord { chord: "F#m7".parse().ok(), source: PlanSource::User };
    let segment =
        host.view.get().chords.iter().find(|(segment, _)| segment.start() == BAR.start).expect("it is played").0;
    send(&host, LedgerCommand::SetChords(vec![(segment, typed)]));
    pass(&mut host, &louder, usual_run());
    let chord = |view: &SongView| view.ledger.answer_to(&segment).map(|answer| answer.chord);
    becomes(&host, "the typed chord", |view| chord(view) == Some(typed));
    send(&host, LedgerCommand::UnlockChords(BAR));
    pass(&mut host, &louder, usual_run());
    becomes(&host, "the band's own chord", |view| chord(view).is_some_and(|chord| chord.source != PlanSource::User));
    send(&host, LedgerCommand::LockChords(BAR));
    let held = |view: &SongView| view.ledger.bar_at(BAR.start).and_then(|entry| entry.locked_chord(0));
    becomes(&host, "a locked chord", |view| held(view).is_some());
    assert_eq!(held(&host.view.get()).map(|chord| chord.chord), chord(&host.view.get()).map(|chord| chord.chord));

    send(&host, LedgerCommand::Clear(BAR));
    becomes(&host, "an empty bar", |view| state_of(view).is_none());
    send(&host, LedgerCommand::Undo);
    becomes(&host, "the bar again", |view| state_of(view).is_some());
}

fn onsets(notes: &[SentNote]) -> Vec<(i32, u8, Key)> {
    notes.iter().map(|note| (note.start, note.channel, note.key)).collect()
}

#[test]
fn a_hundred_commands_can_be_taken_back() {
    let mut host = TestHost::threaded(model);
    let before = pass(&mut host, &settings(), usual_run());
    settle(&host, &settings());
    let chords = PerPart::from_fn(|part| part == Part::Chords);
    for index in 0..132 {
        let command = match index % 3 {
            0 => LedgerCommand::Lock(BAR),
            1 => LedgerCommand::Unlock(BAR),
            _ => LedgerCommand::Reroll { bars: BAR, parts: chords },
        };
        send(&host, command);
    }
    becomes(&host, "a hundred steps", |view| view.steps == (100, 0));
    let last = pass(&mut host, &settings(), usual_run());
    (0..150).for_each(|_| send(&host, LedgerCommand::Undo));
    becomes(&host, "the first that is kept", |view| view.steps == (0, 100));
    (0..150).for_each(|_| send(&host, LedgerCommand::Redo));
    becomes(&host, "the last", |view| view.steps == (100, 0));
    assert_eq!(pass(&mut host, &settings(), usual_run()), last);
    assert_ne!(last, before);
}

#[test]
fn another_generator_plays_from_then_on_and_what_it_cannot_load_is_said() {
    let use_generator = |host: &TestHost, name: &str| {
        let choice = GeneratorChoice::default().named(Some(name.into()));
        host.commands.send(EditorCommand::UseGenerator(choice)).expect("somebody listens");
    };
    let by_rule = pass(&mut TestHost::threaded(Loaded::rules), &settings(), usual_run());
    let mut host = TestHost::threaded(model);
    let before = pass(&mut host, &settings(), usual_run());
    assert_ne!(before, by_rule);
    settle(&host, &settings());
    use_generator(&host, "Rules");
    assert_eq!(pass(&mut host, &settings(), usual_run()), before, "what was played stays");
    assert_eq!(host.view.get().engine.generator, "Rules");
    let all = EditorCommand::Ledger(LedgerCommand::Clear(Ticks::MIN..Ticks::MAX));
    host.commands.send(all).expect("somebody listens");
    assert_eq!(pass(&mut host, &settings(), usual_run()), by_rule);
    use_generator(&host, "Nobody");
    pass(&mut host, &settings(), usual_run());
    assert!(host.problem().is_some_and(|problem| problem.contains("Nobody")), "{:?}", host.problem());
}

#[test]
fn saving_on_other_threads_disturbs_nothing() {
    let expected = pass(&mut TestHost::threaded(model), &settings(), usual_run());
    let mut host = TestHost::threaded(model);
    let done = AtomicBool::new(false);
    let view = host.view.clone();
    let state = obbligato::state::SongState::new(view, host.commands.clone());
    let played = std::thread::scope(|scope| {
        let savers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut longest = 0;
                    while !done.load(Ordering::Relaxed) {
                        longest = longest.max(from_text(&state.save()).expect("a song at any time").bars().count());
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    longest
                })
            })
            .collect();
        let played = pass(&mut host, &settings(), usual_run());
        settle(&host, &settings());
        done.store(true, Ordering::Relaxed);
        let longest = savers.into_iter().map(|saver| saver.join().expect("it saves")).max();
        assert!(longest.is_some_and(|bars| bars > 2), "{longest:?} bars were seen");
        played
    });
    assert_eq!(played, expected);
}

/// Plays these bars of a tune that comes round every four, a key on each beat, in 4/4. The chords that are shown for what
/// comes when each has begun.
fn ahead_in_bars(host: &mut TestHost, bars: Range<u32>) -> Vec<Vec<(Segment, PlannedChord)>> {
    const TUNE: [i32; 16] = [60, 62, 64, 65, 67, 65, 64, 62, 69, 67, 65, 64, 62, 60, 59, 62];
    const FRAMES: u32 = SAMPLES_PER_QUARTER / 4;
    let settings = Settings { count_in: 0, ..settings() };
    let mut shown = Vec::new();
    for sixteenth in 16 * bars.start..16 * bars.end {
        let key = TUNE[(sixteenth / 4 % 16) as usize];
        let input = match sixteenth % 4 {
            0 => vec![strike(0, key)],
            3 => vec![release(0, key)],
            _ => Vec::new(),
        };
        let block = block(FRAMES, playing(f64::from(sixteenth) / 4.0), &settings);
        host.block(&Block { input: &input, ..block });
        if sixteenth % 16 == 0 {
            shown.push(host.view.get().ahead.clone());
        }
    }
    host.stop(&settings);
    shown
}

/// Whether what was shown is what the song then had.
fn assert_played(shown: &[(Segment, PlannedChord)], view: &SongView) {
    for (segment, planned) in shown {
        let played = view.ledger.answer_to(segment).map(|answer| answer.chord.chord);
        assert!(
            played.is_none_or(|chord| chord == planned.chord),
            "{segment:?}: {planned:?} was shown, {played:?} played"
        );
    }
}

#[test]
fn the_coming_chords_are_shown_when_the_melody_comes_round() {
    let mut host = TestHost::inline(model());
    let shown = ahead_in_bars(&mut host, 0..13);
    let counts: Vec<usize> = shown.iter().map(Vec::len).collect();
    assert_eq!(counts[..4], [0; 4], "what comes next is the generator's choice");
    // Two bars have to come again before it is known that they do.
    assert!(counts[6..].iter().all(|count| *count >= 4), "{counts:?}");
    let view = host.view.get();
    shown.iter().for_each(|shown| assert_played(shown, &view));
    let chords: Vec<_> = shown[6].iter().map(|(_, planned)| planned.chord).collect();
    assert!(
        chords.windows(2).any(|pair| pair[0] != pair[1]),
        "they are of the tune, not one over and over: {chords:?}"
    );
}

#[test]
fn the_coming_chords_are_shown_when_the_transport_loops() {
    let mut host = TestHost::inline(model());
    ahead_in_bars(&mut host, 0..4);
    let shown = ahead_in_bars(&mut host, 0..4);
    // Half a bar is answered already.
    assert_eq!(
        shown[0].iter().map(|(segment, _)| segment.start()).take(7).collect::<Vec<_>>(),
        [24, 48, 72, 96, 120, 144, 168]
    );
    let view = host.view.get();
    for shown in &shown {
        assert!(!shown.is_empty());
        assert_played(shown, &view);
    }
}

#[test]
fn the_melody_is_shown_while_it_is_played_and_each_note_stays() {
    const FRAMES: u32 = SAMPLES_PER_QUARTER / 4;
    let settings = Settings { count_in: 0, ..settings() };
    let mut host = TestHost::inline(model());
    for sixteenth in 0..48 {
        let input = match sixteenth % 4 {
            0 => vec![strike(0, 60 + sixteenth / 4)],
            3 => vec![release(0, 60 + sixteenth / 4)],
            _ => Vec::new(),
        };
        host.block(&Block { input: &input, ..block(FRAMES, playing(f64::from(sixteenth) / 4.0), &settings) });
        let (view, sung) = (host.view.get(), host.view.sung());
        let of_song = view.ledger.bars().flat_map(|entry| entry.melody.iter().flatten());
        let mut shown: Vec<(i32, bool)> =
            of_song.chain(sung.iter()).map(|note| (note.start, note.duration < HELD)).collect();
        shown.dedup();
        let expected: Vec<(i32, bool)> =
            (0..=sixteenth / 4).map(|quarter| (12 * quarter, 4 * quarter + 3 <= sixteenth)).collect();
        assert_eq!(shown, expected, "in sixteenth {sixteenth}");
    }
    assert!(!host.view.sung().is_empty());
    host.stop(&settings);
    assert_eq!(*host.view.sung(), [], "now the song has it");
    assert_eq!(host.view.get().ledger.bars().flat_map(|entry| entry.melody.iter().flatten()).count(), 12);
}
