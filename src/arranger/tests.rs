//! The engine over several passes, as a host that plays a song again and again sees it.

use super::perform::{cut_of, melody_events};
use super::*;
use crate::channels::{Heard, SHORTEST_MARGIN, TakeId};
use crate::generators::rules::RuleGenerator;
use crate::generators::watched::Watched;
use crate::generators::{GeneratorError, Request};
use crate::ledger::BarState;
use crate::ledger::saved::{from_text, to_text};
use crate::music::{Key, Meter, Part, Song, TICKS_PER_QUARTER, Timing, Velocity};
use crate::settings::CountInBand;
use proptest::prelude::*;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

/// The rules' notes, each by chance a key higher and off the grid: what only a model would write.
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
        let whim = (request.seed % 5) as i32;
        RuleGenerator.answer(request, &mut |played| {
            let key = Key::folded(i32::from(played.note.key.number()) + whim);
            write(PartNote { note: Note { key, ..played.note }, timing: Timing::clamped(whim), ..played });
        })
    }
}

const ALL: Range<Ticks> = Ticks::MIN..Ticks::MAX;

pub(super) fn bar(index: i32) -> Bar {
    Bar::of_constant_meter(index, Meter::COMMON)
}

fn bars(range: RangeInclusive<i32>) -> Range<Ticks> {
    bar(*range.start()).start..bar(*range.end()).end()
}

/// A song in 4/4, a letter a quarter: `c` is C4 and `C` C5, `.` rests; spaces are for the eye.
pub(super) fn song(text: &str) -> Song {
    let key = |letter: char| {
        let steps = [9, 11, 0, 2, 4, 5, 7];
        let step = (letter.to_ascii_lowercase() as u8).checked_sub(b'a')?;
        let octave = if letter.is_ascii_uppercase() { 72 } else { 60 };
        Some(Key::folded(octave + steps.get(usize::from(step))?))
    };
    let letters = text.chars().filter(|letter| *letter != ' ');
    let note = |(quarter, letter): (usize, char)| {
        let start = quarter as Ticks * TICKS_PER_QUARTER;
        Some(Note { start, key: key(letter)?, duration: 10, velocity: Velocity::default() })
    };
    Song { melody: letters.enumerate().filter_map(note).collect(), ..Song::default() }
}

/// Eight bars without a repeat.
pub(super) const TUNE: &str = "cdef gage fedc bCba gfed egCb aCgf edc.";

/// No count-in, and everybody plays.
pub(super) fn settings() -> Settings {
    let mut settings = Settings { count_in: 0, ..Settings::default() };
    Part::BAND.into_iter().for_each(|part| settings.parts[part].on = true);
    settings
}

pub(super) fn arranged() -> Settings {
    Settings { follow: Follow::Arrange, ..settings() }
}

fn band() -> Arranger {
    Arranger::new(Box::new(Model), None)
}

/// Plays bars of a song in one take; without offline, with twice the margin.
pub(super) fn play_bars(
    arranger: &mut Arranger,
    song: &Song,
    settings: impl Fn(i32) -> Settings,
    bars: RangeInclusive<i32>,
    offline: bool,
) -> Vec<SegmentAnswer> {
    let quarters = |ticks: Ticks| f64::from(ticks) / f64::from(TICKS_PER_QUARTER);
    let (start, end) = (bar(*bars.start()).start, bar(*bars.end()).end());
    arranger.hear(&Heard::TakeBegan { take: TakeId(1), at: quarters(start) });
    let events = melody_events(song).into_iter().filter(|(at, _)| (start..end).contains(at));
    let mut events = events.peekable();
    let mut answers = Vec::new();
    for segment in bars.flat_map(|index| bar(index).segments()) {
        let margin = if offline { SHORTEST_MARGIN } else { 2 * SHORTEST_MARGIN };
        while let Some((_, heard)) = events.next_if(|(at, _)| *at <= segment.start() - margin) {
            arranger.hear(&heard);
        }
        let cut = Cut { margin, offline, ..cut_of(song, segment, &settings(segment.bar.index.0)) };
        let mut written = Vec::new();
        let answer = arranger.answer(&cut, &mut |note| written.push(note));
        written.sort_unstable();
        assert_eq!(written, answer.notes, "what is kept is what was handed out");
        answers.push(answer);
    }
    events.for_each(|(_, heard)| arranger.hear(&heard));
    arranger.hear(&Heard::TakeEnded { at: quarters(end) });
    answers
}

/// Plays a song of eight bars, as a render does.
pub(super) fn play(arranger: &mut Arranger, text: &str, settings: &Settings) -> Vec<SegmentAnswer> {
    play_bars(arranger, &song(text), |_| *settings, 0..=7, true)
}

pub(super) fn of_part(answers: &[SegmentAnswer], part: Part) -> Vec<PartNote> {
    answers.iter().flat_map(|answer| &answer.notes).filter(|note| note.part == part).copied().collect()
}

#[test]
fn a_locked_part_stays_and_the_others_go_with_it() {
    const OTHER_TUNE: &str = "gggg eeee cccc gggg aaaa ffff gggg cccc";
    for usual in [settings(), arranged()] {
        let mut arranger = band();
        play(&mut arranger, TUNE, &usual);
        let before = play(&mut arranger, TUNE, &usual);
        let mut turned = Settings { density: 1.0, style: 7.0, seed: 5, ..usual };
        turned.parts[Part::Bass].locked = true;
        for text in [TUNE, OTHER_TUNE] {
            let after = play(&mut arranger, text, &turned);
            assert!(!of_part(&before, Part::Bass).is_empty());
            assert_eq!(of_part(&after, Part::Bass), of_part(&before, Part::Bass), "{text}");
            assert_ne!(of_part(&after, Part::Chords), of_part(&before, Part::Chords), "{text}");
            let chords =
                |answers: &[SegmentAnswer]| answers.iter().map(|answer| answer.chord.chord).collect::<Vec<_>>();
            assert_eq!(chords(&after), chords(&before), "it was written to these");
            let known = play(&mut arranger, text, &turned);
            assert_eq!(of_part(&known, Part::Bass), of_part(&before, Part::Bass), "{text}");
            assert!(play(&mut arranger, text, &turned) == known, "and this is now what stands");
        }
        turned.parts[Part::Bass].locked = false;
        turned.seed = 6;
        assert_ne!(of_part(&play(&mut arranger, TUNE, &turned), Part::Bass), of_part(&before, Part::Bass));
    }
}

#[test]
fn a_locked_part_follows_no_knob_but_the_users_chords_are_his() {
    let mut arranger = band();
    let before = play(&mut arranger, TUNE, &settings());
    let mut locked = settings();
    locked.parts[Part::Bass].locked = true;
    arranger.set_plan(ChordPlan::parse("| F#m |").expect("a plan"));
    let after = play(&mut arranger, TUNE, &locked);
    assert!(after.iter().all(|answer| answer.chord.chord == "F#m".parse().ok()));
    assert_eq!(of_part(&after, Part::Bass), of_part(&before, Part::Bass));
}

#[test]
fn a_part_with_a_density_of_its_own_is_written_anew() {
    let mut arranger = band();
    let before = play(&mut arranger, TUNE, &settings());
    let mut busy = settings();
    busy.parts[Part::Bass].density = 1.0;
    let after = play(&mut arranger, TUNE, &busy);
    assert!(of_part(&after, Part::Bass).len() > of_part(&before, Part::Bass).len());
}

#[test]
fn a_melody_that_is_loaded_is_arranged_without_having_been_heard() {
    let song = song(TUNE);
    let loaded: Vec<(Bar, Vec<Note>)> = (0..8)
        .map(|index| {
            let of_bar = |note: &&Note| (bar(index).start..bar(index).end()).contains(&note.start);
            (bar(index), song.melody.iter().filter(of_bar).copied().collect())
        })
        .collect();
    let mut arranger = band();
    arranger.command(LedgerCommand::LoadMelody(loaded));
    let silent = Song { melody: Vec::new(), ..song.clone() };
    let first = play_bars(&mut arranger, &silent, |_| arranged(), 0..=7, true);
    let states: Vec<BarState> = arranger.ledger().bars().map(|entry| entry.state()).collect();
    assert_eq!(states, [BarState::Arranged; 8], "though nothing was played");
    let mut listening = band();
    play(&mut listening, TUNE, &arranged());
    let second = play(&mut listening, TUNE, &arranged());
    assert_eq!(same_bars(&first, &second), "========", "as after a pass that listens");
    arranger.command(LedgerCommand::Undo);
    assert!(arranger.ledger().bars().all(|entry| entry.melody.is_none()), "it goes again");
}

pub(super) fn idle(arranger: &mut Arranger) {
    while arranger.write_next() {}
}

/// By bar: whether the two play the same notes.
fn same_bars(a: &[SegmentAnswer], b: &[SegmentAnswer]) -> String {
    assert_eq!(a.len(), b.len());
    let pairs =
        a.iter().zip(b).map(|(a, b)| (a.segment.bar.start, a.notes == b.notes && a.chord.chord == b.chord.chord));
    let pairs: Vec<(Ticks, bool)> = pairs.collect();
    pairs.chunk_by(|a, b| a.0 == b.0).map(|bar| if bar.iter().all(|(_, same)| *same) { '=' } else { 'x' }).collect()
}

fn notes_of(answers: &[SegmentAnswer], part: Part) -> Vec<PartNote> {
    answers.iter().flat_map(|answer| &answer.notes).filter(|note| note.part == part).copied().collect()
}

/// What the ledger holds of these bars.
fn held(arranger: &Arranger, range: &Range<Ticks>) -> Vec<SegmentAnswer> {
    let within = arranger.ledger().bars().filter(|entry| range.contains(&entry.bar.start));
    within.flat_map(|entry| entry.answers.clone()).collect()
}

fn states(arranger: &Arranger) -> Vec<BarState> {
    arranger.ledger().bars().filter(|entry| entry.melody.is_some()).map(|entry| entry.state()).collect()
}

#[test]
fn what_was_heard_is_played_again() {
    for settings in [settings(), Settings { count_in: 4, ..settings() }, arranged()] {
        let mut arranger = band();
        let first = play(&mut arranger, TUNE, &settings);
        idle(&mut arranger);
        let second = play(&mut arranger, TUNE, &settings);
        idle(&mut arranger);
        let written = arranger.written();
        let ledger = arranger.ledger().clone();
        assert_eq!(same_bars(&play(&mut arranger, TUNE, &settings), &second), "========");
        assert_eq!(same_bars(&play(&mut arranger, "................................", &settings), &second), "========");
        let live = play_bars(&mut arranger, &song(TUNE), |_| settings, 2..=5, true);
        assert_eq!(same_bars(&live, &second[4..12]), "====");
        assert_eq!((arranger.written(), arranger.ledger()), (written, &ledger), "nothing was written");
        let expected = if settings.follow == Follow::Jam { "========" } else { "xxxxxxxx" };
        assert_eq!(same_bars(&first, &second), expected, "an arrangement replaces the jam once");
    }
}

#[test]
fn a_saved_song_plays_the_same_without_the_model() {
    for settings in [settings(), Settings { count_in: 2, count_in_band: CountInBand::Rests, ..settings() }, arranged()]
    {
        let mut arranger = band();
        play(&mut arranger, TUNE, &settings);
        let heard = play(&mut arranger, TUNE, &settings);
        let saved = to_text(arranger.ledger());
        let mut other = Arranger::new(Box::new(RuleGenerator), None);
        other.restore(from_text(&saved).expect("it was just written"));
        assert_eq!(same_bars(&play(&mut other, TUNE, &settings), &heard), "========");
        assert_eq!(other.written(), 0);
        let longer = play_bars(&mut other, &song(&[TUNE, TUNE].concat()), |_| settings, 0..=9, true);
        assert!(longer[16..].iter().any(|answer| !answer.notes.is_empty()), "new bars come from the rules");
    }
}

#[test]
fn three_hundred_bars_of_a_busy_band_are_small() {
    const KEYS: [i32; 13] = [0, 4, 7, 5, 9, 7, 2, 11, 12, 7, 4, 0, 5];
    let note = |index: i32| Note {
        start: 6 * index,
        key: Key::folded(60 + KEYS[((index * index / 7 + index / 5) % 13) as usize]),
        duration: 6,
        velocity: Velocity::default(),
    };
    let song = Song { melody: (0..2400).map(note).collect(), ..Song::default() };
    let mut arranger = Arranger::new(Box::new(RuleGenerator), None);
    arranger.perform(&song, &Settings { density: 1.0, style: 7.0, ..settings() }, &mut |_| {});
    let notes: usize = arranger.ledger().bars().flat_map(|entry| &entry.answers).map(|answer| answer.notes.len()).sum();
    let size = to_text(arranger.ledger()).len();
    assert_eq!(arranger.ledger().bars().count(), 300);
    assert!(notes > 15_000 && size < 100_000, "{notes} notes in {size} bytes");
}

#[test]
fn another_melody_is_answered_anew_from_where_it_differs() {
    let changed = TUNE.replace("fedc", "fgaC");
    let mut arranger = band();
    let before = play(&mut arranger, TUNE, &settings());
    let after = play(&mut arranger, &changed, &settings());
    // Heard in the third bar, answered in its second half and while the tune is not joined again for a bar.
    assert_eq!(same_bars(&before, &after), "==xx====");
    assert_eq!(before[4].notes, after[4].notes, "its first half was played before it was heard");
    assert_eq!(same_bars(&play(&mut arranger, &changed, &settings()), &after), "========");
    assert_eq!(arranger.steps(), (1, 0), "one step for the take");
    arranger.command(LedgerCommand::Undo);
    assert_eq!(same_bars(&play(&mut arranger, &changed, &settings()), &before), "========", "and the way back");

    let mut arranger = band();
    let jam = play(&mut arranger, TUNE, &arranged());
    let before = play(&mut arranger, TUNE, &arranged());
    play(&mut arranger, &changed, &arranged());
    idle(&mut arranger);
    assert_eq!(states(&arranger), [BarState::Arranged; 8]);
    let after = play(&mut arranger, &changed, &arranged());
    let same = same_bars(&before, &after);
    assert!(same.starts_with("==x") && same.ends_with("===="), "arranged for the new melody: {same}");
    assert_eq!(same_bars(&jam, &after), "xxxxxxxx");
}

#[test]
fn a_knob_counts_from_the_next_bar_on_and_undo_goes_back() {
    let loud = Settings { density: 1.0, temperature: 1.6, ..arranged() };
    for follow in [Follow::Jam, Follow::Arrange] {
        let [usual, turned] = [arranged(), loud].map(|settings| Settings { follow, ..settings });
        let mut arranger = band();
        play(&mut arranger, TUNE, &usual);
        let before = play(&mut arranger, TUNE, &usual);
        let steps = arranger.steps().0;
        let at = |index| if index < 3 { usual } else { turned };
        let after = play_bars(&mut arranger, &song(TUNE), at, 0..=7, true);
        assert_eq!(same_bars(&before, &after), "===xxxxx");
        assert_eq!(arranger.steps().0, steps + 1);
        let back = play_bars(&mut arranger, &song(TUNE), at, 0..=7, true);
        assert_eq!(same_bars(&after, &back), "========");
        // The knob stays where it is: undo is meant to be heard.
        arranger.command(LedgerCommand::Undo);
        let undone = play_bars(&mut arranger, &song(TUNE), at, 0..=7, true);
        assert_eq!(same_bars(&before, &undone), "========");
        arranger.command(LedgerCommand::Redo);
        let redone = play_bars(&mut arranger, &song(TUNE), at, 0..=7, true);
        assert_eq!(same_bars(&after, &redone), "========");
    }
}

#[test]
fn a_knob_turned_inside_a_bar_waits_for_its_end() {
    let mut arranger = band();
    let before = play(&mut arranger, TUNE, &settings());
    arranger.hear(&Heard::TakeBegan { take: TakeId(2), at: 0.0 });
    let turned = Settings { density: 1.0, ..settings() };
    let answers: Vec<SegmentAnswer> = (0..2)
        .flat_map(|index| bar(index).segments())
        .zip([settings(), turned, turned, turned])
        .map(|(segment, settings)| arranger.answer(&cut_of(&song(TUNE), segment, &settings), &mut |_| {}))
        .collect();
    assert_eq!(same_bars(&answers, &before[..4]), "=x");
}

#[test]
fn muting_a_part_changes_nothing_and_a_new_part_goes_with_what_stands() {
    for follow in [Follow::Jam, Follow::Arrange] {
        let all = Settings { follow, ..settings() };
        let mut without = all;
        without.parts[Part::Bass].on = false;
        let mut arranger = band();
        play(&mut arranger, TUNE, &without);
        let before = play(&mut arranger, TUNE, &without);
        assert!(notes_of(&before, Part::Bass).is_empty());
        let after = play(&mut arranger, TUNE, &all);
        assert!(notes_of(&after, Part::Bass).len() > 8, "{follow:?}");
        for part in [Part::Chords, Part::Pad, Part::Counter, Part::Drums] {
            assert_eq!(notes_of(&after, part), notes_of(&before, part), "{follow:?} {part:?}");
        }
        assert_eq!(same_bars(&play(&mut arranger, TUNE, &without), &after), "========", "muted, not taken away");
    }
}

#[test]
fn the_users_chords_replace_what_was_written_for_others() {
    let mut arranger = band();
    play(&mut arranger, TUNE, &arranged());
    let before = play(&mut arranger, TUNE, &arranged());
    let second = before[2].chord.chord.expect("a chord");
    arranger.set_plan(ChordPlan::parse(&format!("| F#m | {second} |")).expect("a plan"));
    idle(&mut arranger);
    let after = play(&mut arranger, TUNE, &arranged());
    assert!(after.iter().filter(|answer| answer.segment.bar.index.0 % 2 == 0).all(|answer| {
        answer.chord.chord.is_some_and(|chord| chord.to_string() == "F#m") && answer.chord.source == PlanSource::User
    }));
    arranger.set_plan(ChordPlan::default());
    let freed = play(&mut arranger, TUNE, &arranged());
    assert!(freed.iter().all(|answer| answer.chord.source != PlanSource::User));
}

#[test]
fn a_loop_is_recognised_when_it_comes_round() {
    let round = "cdef gage fedc bCba";
    let mut arranger = band();
    let rounds = play(&mut arranger, &[round, round].concat(), &settings());
    // Two bars have to be heard before it is known to be the same.
    assert_eq!(same_bars(&moved(&rounds[..8], 4), &rounds[8..]), "xx==");
    assert!(rounds[12..].iter().all(|answer| answer.chord.source == PlanSource::Heard));
    let turned = Settings { density: 1.0, ..settings() };
    let mut arranger = band();
    let other = play_bars(
        &mut arranger,
        &song(&[round, round].concat()),
        |bar| if bar < 4 { settings() } else { turned },
        0..=7,
        true,
    );
    let chords = |answers: &[SegmentAnswer]| answers.iter().map(|answer| answer.chord.chord).collect::<Vec<_>>();
    assert_eq!(chords(&other[4..8]), chords(&other[12..]), "under another knob the plan comes back");
    assert_eq!(same_bars(&moved(&other[..8], 4), &other[8..]), "xxxx", "and the notes are new");
}

#[test]
fn a_melody_that_leaves_the_loop_is_answered_anew_from_the_next_segment() {
    let mut arranger = band();
    let left = play(&mut arranger, "cdef gage fedc bCba cdef gage fgab CCCC", &settings());
    let expected: Vec<bool> = vec![true, false, false, false];
    let same = |(a, b): (&SegmentAnswer, &SegmentAnswer)| a.notes == b.notes;
    assert_eq!(moved(&left[4..8], 4).iter().zip(&left[12..]).map(same).collect::<Vec<_>>(), expected);
}

/// Answers moved on by so many bars.
fn moved(answers: &[SegmentAnswer], bars: i32) -> Vec<SegmentAnswer> {
    let by = |answer: &SegmentAnswer| {
        let segment = Segment { bar: bar(answer.segment.bar.index.0 + bars), ..answer.segment };
        let shift = segment.start() - answer.segment.start();
        let notes = answer.notes.iter();
        let notes = notes.map(|note| PartNote { note: Note { start: note.note.start + shift, ..note.note }, ..*note });
        SegmentAnswer { segment, notes: notes.collect(), ..answer.clone() }
    };
    answers.iter().map(by).collect()
}

/// Four bars that say something, so that they are known when they come again.
const ROUND: &str = "cdef gage fedc bCba";

/// Plays rounds of [`ROUND`] twice and returns the arrangement. `between` happens after the first pass.
fn arrange_rounds(arranger: &mut Arranger, rounds: i32, between: impl FnOnce(&mut Arranger)) -> Vec<SegmentAnswer> {
    let song = song(&ROUND.repeat(rounds as usize));
    let pass = |arranger: &mut Arranger| play_bars(arranger, &song, |_| arranged(), 0..=4 * rounds - 1, true);
    pass(arranger);
    between(arranger);
    pass(arranger)
}

#[test]
fn who_stands_in_for_a_model_does_not_arrange() {
    let mut arranger = Arranger::new(Box::new(RuleGenerator), None);
    play_bars(&mut arranger, &song(TUNE), |_| settings(), 0..=7, false);
    arranger.wait_to_arrange(true);
    play_bars(&mut arranger, &song(TUNE), |_| arranged(), 0..=7, false);
    assert!(!states(&arranger).contains(&BarState::Arranged), "{:?}", states(&arranger));
    // The model is there.
    arranger.set_band(Box::new(Model), None);
    arranger.wait_to_arrange(false);
    idle(&mut arranger);
    assert_eq!(states(&arranger), [BarState::Arranged; 8]);
    let of_model = play_bars(&mut arranger, &song(TUNE), |_| arranged(), 0..=7, false);
    assert_eq!(of_model, play_bars(&mut arranger, &song(TUNE), |_| arranged(), 0..=7, true));
}

/// Whether whole bars are asked for, from where on, and how much there is of the past.
type Asked = Arc<Mutex<Vec<(bool, Ticks, usize)>>>;

fn noted(asked: &Asked, request: &Request<'_>) {
    let whole = matches!(request.ask, Ask::Arrange(_));
    asked.lock().expect("nobody panicked").push((whole, request.ask.start(), request.past.len()));
}

/// Plays by rule; says what it was shown ahead, and what it was asked.
struct Foresighted {
    shown: Asked,
    asked: Asked,
}

impl Generator for Foresighted {
    fn name(&self) -> &str {
        "Foresighted"
    }

    fn parts(&self) -> PerPart<bool> {
        RuleGenerator.parts()
    }

    fn plays(&self, meter: Meter) -> bool {
        RuleGenerator.plays(meter)
    }

    fn read_ahead(&mut self, request: &Request<'_>) -> bool {
        noted(&self.shown, request);
        false
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        noted(&self.asked, request);
        RuleGenerator.answer(request, write)
    }
}

#[test]
fn bars_that_a_moving_knob_has_written_anew_are_read_ahead() {
    let (shown, asked) = (Asked::default(), Asked::default());
    let mut arranger = Arranger::new(Box::new(Foresighted { shown: shown.clone(), asked: asked.clone() }), None);
    play(&mut arranger, TUNE, &arranged());
    play(&mut arranger, TUNE, &arranged());
    idle(&mut arranger);
    let take = |of: &Asked| std::mem::take(&mut *of.lock().expect("nobody panicked"));
    for moves in [true, false] {
        take(&asked);
        arranger.hear(&Heard::TakeBegan { take: TakeId(3), at: 0.0 });
        for segment in (0..8).flat_map(|index| bar(index).segments()) {
            let temperature = if moves { 0.55 + 0.1 * segment.bar.index.0 as f32 } else { 1.2 };
            let cut = cut_of(&song(TUNE), segment, &Settings { temperature, ..arranged() });
            arranger.answer(&Cut { offline: false, ..cut }, &mut |_| {});
            assert!(!arranger.read_ahead());
        }
        arranger.hear(&Heard::TakeEnded { at: 32.0 });
        let (shown, asked) = (take(&shown), take(&asked));
        let bars: Vec<_> = shown.into_iter().filter(|(whole, ..)| *whole).collect();
        if moves {
            // Twice in each bar but the last; the first bar's answer came before anything could be read.
            assert_eq!(asked.len(), 8);
            assert_eq!(bars, asked[1..].iter().flat_map(|bar| [*bar; 2]).collect::<Vec<_>>());
        } else {
            assert!(asked.len() > 1, "the knob has another place than the moment before");
        }
    }
    arranger.hear(&Heard::TakeBegan { take: TakeId(4), at: 0.0 });
    let settings = Settings { temperature: 1.2, ..arranged() };
    for segment in (0..8).flat_map(|index| bar(index).segments()) {
        arranger.answer(&Cut { offline: false, ..cut_of(&song(TUNE), segment, &settings) }, &mut |_| {});
        assert!(!arranger.read_ahead());
    }
    let within: Vec<_> = take(&shown).into_iter().filter(|(_, at, _)| *at < bar(8).start).collect();
    assert_eq!(within, [], "where nothing moves there is nothing to read");
}

#[test]
fn a_render_knows_whether_anything_has_to_be_written() {
    for usual in [settings(), arranged()] {
        let mut arranger = band();
        let needs_nothing = |arranger: &mut Arranger, settings: &Settings| {
            arranger.hear(&Heard::TakeBegan { take: TakeId(2), at: 0.0 });
            let segment = bar(0).segments().next().expect("it has some");
            arranger.plays_again(&cut_of(&song(TUNE), segment, settings))
        };
        assert!(!needs_nothing(&mut arranger, &usual), "nothing is written yet");
        play(&mut arranger, TUNE, &usual);
        play(&mut arranger, TUNE, &usual);
        assert!(needs_nothing(&mut arranger, &usual), "{:?}", usual.follow);
        assert!(!needs_nothing(&mut arranger, &Settings { seed: 77, ..usual }), "other settings");
        arranger.command(LedgerCommand::Reroll { bars: 0..48, parts: PerPart::from_fn(|_| true) });
        assert!(!needs_nothing(&mut arranger, &usual), "the user wants another");
    }
}

/// By bar from the second round on: whether it is played as the same bar was in the round before.
fn as_the_round_before(answers: &[SegmentAnswer]) -> String {
    let of_round = 8;
    same_bars(&moved(&answers[..answers.len() - of_round], 4), &answers[of_round..])
}

#[test]
fn a_tune_that_comes_round_is_arranged_as_it_was() {
    let mut arranger = band();
    let rounds = arrange_rounds(&mut arranger, 3, |_| {});
    // As in a jam, two bars show that it is the same.
    assert_eq!(as_the_round_before(&rounds), "xx======");
    assert_eq!(states(&arranger), [BarState::Arranged; 12]);
    assert_eq!(arranger.steps(), (0, 0), "an arrangement is to be expected");
    // Twelve bars of the jam, and of the arrangement those that were not known.
    assert_eq!(arranger.written(), 48 * (6 + 6), "{} bars", arranger.written() / 48);
    let saved = to_text(arranger.ledger());
    let mut other = Arranger::new(Box::new(RuleGenerator), None);
    other.restore(from_text(&saved).expect("it was just written"));
    let song = song(&ROUND.repeat(3));
    assert_eq!(same_bars(&play_bars(&mut other, &song, |_| arranged(), 0..=11, true), &rounds), "============");
    // Written while idle, or all at once as the command line does, it is the same.
    let mut idling = band();
    assert_eq!(arrange_rounds(&mut idling, 3, idle), rounds);
    assert_eq!(band().perform(&song, &arranged(), &mut |_| {}), rounds);
}

#[test]
fn two_bars_over_and_over_are_not_arranged_alike() {
    let mut arranger = band();
    let text = "cdef gage".repeat(2);
    play(&mut arranger, &text, &arranged());
    let answers = play(&mut arranger, &text, &arranged());
    assert_eq!(same_bars(&moved(&answers[..4], 2), &answers[4..8]), "xx");
}

#[test]
fn a_tune_that_comes_round_under_other_settings_or_chords_is_arranged_anew() {
    let second_round = |settings: Settings| move |bar: i32| if bar < 4 { arranged() } else { settings };
    let all = song(&ROUND.repeat(2));
    let mut louder = arranged();
    louder.density = 1.0;
    let mut without_bass = arranged();
    without_bass.parts[Part::Bass].on = false;
    for (later, expected) in [(arranged(), "xx=="), (louder, "xxxx")] {
        let mut arranger = band();
        play_bars(&mut arranger, &all, second_round(later), 0..=7, true);
        let answers = play_bars(&mut arranger, &all, second_round(later), 0..=7, true);
        assert_eq!(as_the_round_before(&answers), expected);
    }
    // A part that was muted where it was arranged is not missing where it comes round.
    let mut arranger = band();
    let first_round = |bar: i32| if bar < 4 { without_bass } else { arranged() };
    play_bars(&mut arranger, &all, first_round, 0..=7, true);
    let answers = play_bars(&mut arranger, &all, first_round, 0..=7, true);
    assert!(notes_of(&answers[..8], Part::Bass).is_empty());
    assert!(answers[8..].iter().all(|answer| !notes_of(std::slice::from_ref(answer), Part::Bass).is_empty()));

    let typed = |index: i32| {
        let second_half = bar(index).segments().nth(1).expect("a bar has two");
        (second_half, PlannedChord { chord: "F#m7".parse().ok(), source: PlanSource::User })
    };
    let mut arranger = band();
    let answers = arrange_rounds(&mut arranger, 2, |arranger| {
        arranger.command(LedgerCommand::SetChords(vec![typed(6)]));
    });
    assert_eq!(as_the_round_before(&answers), "xxx=");
    assert_eq!(answers[13].chord, typed(6).1);
    // Both have it.
    let mut arranger = band();
    let answers = arrange_rounds(&mut arranger, 2, |arranger| {
        arranger.command(LedgerCommand::SetChords(vec![typed(2), typed(6)]));
    });
    assert_eq!(as_the_round_before(&answers), "xx==");
    assert_eq!(answers[13].chord, typed(6).1);
    // The first alone had it: it was the user's, and only there.
    let mut arranger = band();
    let answers = arrange_rounds(&mut arranger, 2, |arranger| {
        arranger.command(LedgerCommand::SetChords(vec![typed(2)]));
    });
    assert_eq!(as_the_round_before(&answers), "xxx=");
    assert_ne!(answers[13].chord.source, PlanSource::User);
}

#[test]
fn what_the_user_did_to_a_bar_stays_when_its_tune_comes_round() {
    let rounds = |arranger: &mut Arranger| {
        let song = song(&ROUND.repeat(2));
        play_bars(arranger, &song, |_| arranged(), 0..=7, true)
    };
    let everybody = PerPart::from_fn(|_| true);
    let mut arranger = band();
    let before = arrange_rounds(&mut arranger, 2, |_| {});
    assert_eq!(as_the_round_before(&before), "xx==");
    // Another answer in the second round is another, and in the first it leaves the second alone.
    arranger.command(LedgerCommand::Reroll { bars: bars(6..=6), parts: everybody });
    let rolled = rounds(&mut arranger);
    assert_eq!(same_bars(&before, &rolled), "======x=");
    arranger.command(LedgerCommand::Reroll { bars: bars(2..=2), parts: everybody });
    let both = rounds(&mut arranger);
    assert_eq!(same_bars(&rolled, &both), "==x=====");
    arranger.command(LedgerCommand::Undo);
    arranger.command(LedgerCommand::Undo);
    assert_eq!(same_bars(&before, &rounds(&mut arranger)), "========");
    // A bar that is arranged again follows what the user has made of it in the first round, part by part.
    let chords = PerPart::from_fn(|part| part == Part::Chords);
    arranger.command(LedgerCommand::Reroll { bars: bars(2..=2), parts: chords });
    idle(&mut arranger);
    arranger.command(LedgerCommand::Clear(bars(6..=6)));
    rounds(&mut arranger);
    let again = rounds(&mut arranger);
    assert_eq!(same_bars(&before, &again), "==x===x=");
    assert_eq!(same_bars(&moved(&again[4..6], 4), &again[12..14]), "=");
    assert_eq!(notes_of(&before[12..14], Part::Bass), notes_of(&again[12..14], Part::Bass));
    // Locked, it stays through everything.
    arranger.command(LedgerCommand::Lock(bars(6..=6)));
    arranger.command(LedgerCommand::Reroll { bars: bars(2..=2), parts: everybody });
    assert_eq!(same_bars(&again, &rounds(&mut arranger)), "==x=====");
}

#[test]
fn a_count_in_that_was_locked_is_not_what_a_tune_is_arranged_as() {
    let rests = Settings { count_in: 4, count_in_band: CountInBand::Rests, ..arranged() };
    let song = song(&ROUND.repeat(2));
    let mut arranger = band();
    play_bars(&mut arranger, &song, |_| rests, 0..=7, true);
    arranger.command(LedgerCommand::Lock(bars(0..=3)));
    let answers = play_bars(&mut arranger, &song, |_| rests, 0..=7, true);
    assert!(answers[..8].iter().all(|answer| answer.notes.is_empty()), "a rest that was locked");
    assert!(answers[8..].iter().all(|answer| !answer.notes.is_empty()), "and the tune is played");
}

#[test]
fn what_is_to_be_written_anew_is_not_what_a_tune_is_arranged_as() {
    let song = song(&ROUND.repeat(2));
    let mut arranger = band();
    let live = |arranger: &mut Arranger, bars| play_bars(arranger, &song, |_| arranged(), bars, false);
    live(&mut arranger, 0..=5);
    idle(&mut arranger);
    let before = held(&arranger, &bars(2..=2));
    live(&mut arranger, 0..=7);
    // The second round's bar is known and waits; live, the first round's has not been written anew when it is due.
    arranger.command(LedgerCommand::Reroll { bars: bars(2..=2), parts: PerPart::from_fn(|_| true) });
    let answers = live(&mut arranger, 6..=6);
    assert_eq!(same_bars(&moved(&before, 4), &answers), "x");
}

#[test]
fn the_band_counts_in_by_rule_or_rests() {
    let rests = |count_in| Settings { count_in, count_in_band: CountInBand::Rests, ..settings() };
    for count_in in [1, 2, 4] {
        let answers = play(&mut band(), TUNE, &rests(count_in));
        let sounding: Vec<bool> =
            answers.chunks(2).map(|bar| bar.iter().any(|answer| !answer.notes.is_empty())).collect();
        let expected: Vec<bool> = (0..8).map(|bar| bar >= i32::from(count_in)).collect();
        assert_eq!(sounding, expected);

        let by_rule = play(&mut band(), TUNE, &Settings { count_in, ..settings() });
        let on_grid = |bar: &[SegmentAnswer]| {
            let pitched = bar.iter().flat_map(|answer| &answer.notes).filter(|note| note.part != Part::Drums);
            pitched.map(|note| note.timing.sixteenths()).collect::<Vec<_>>()
        };
        for (index, bar) in by_rule.chunks(2).enumerate() {
            // The rules play on the grid.
            assert!(index >= usize::from(count_in) || on_grid(bar).iter().all(|timing| *timing == 0), "bar {index}");
        }
        assert!(by_rule.chunks(2).any(|bar| on_grid(bar).iter().any(|timing| *timing != 0)), "the model comes in");
        assert!(
            by_rule[1].notes.iter().any(|note| note.part == Part::Bass),
            "the band is there from the first notes on"
        );
    }
}

#[test]
fn a_pickup_is_no_bar_and_a_plan_needs_no_count_in() {
    let rests = Settings { count_in: 2, count_in_band: CountInBand::Rests, ..settings() };
    let sounding = |answers: &[SegmentAnswer]| -> String {
        answers.chunks(2).map(|bar| if bar.iter().all(|answer| answer.notes.is_empty()) { '-' } else { '+' }).collect()
    };
    assert_eq!(sounding(&play(&mut band(), "...c defg agfe dcba gfed egCb aCgf edc.", &rests)), "---+++++");
    let mut planned = band();
    planned.set_plan(ChordPlan::parse("| C | G |").expect("a plan"));
    assert_eq!(sounding(&play(&mut planned, TUNE, &rests)), "++++++++");
}

#[test]
fn live_the_band_knows_the_tune_the_second_time_and_a_render_plays_what_was_heard() {
    let rests = Settings { count_in: 4, count_in_band: CountInBand::Rests, ..settings() };
    let live = |arranger: &mut Arranger| play_bars(arranger, &song(TUNE), |_| rests, 0..=7, false);
    let mut arranger = band();
    let first = live(&mut arranger);
    assert_eq!(same_bars(&play(&mut arranger, TUNE, &rests), &first), "========");
    let second = live(&mut arranger);
    assert_eq!(same_bars(&first, &second), "xxxx====");
    assert_eq!(same_bars(&live(&mut arranger), &second), "========");
    assert_eq!(same_bars(&play(&mut arranger, TUNE, &rests), &second), "========");
}

/// Plays four bars with chords that are held from a tick to a tick, without a melody.
fn play_held(arranger: &mut Arranger, chords: &[(Range<Ticks>, [i32; 3])], offline: bool) -> Vec<SegmentAnswer> {
    let settings = Settings { chord_input: ChordInput::Split, ..settings() };
    let quarters = |tick: Ticks| f64::from(tick) / f64::from(TICKS_PER_QUARTER);
    let events = chords.iter().flat_map(|(held, keys)| {
        keys.map(Key::folded).into_iter().flat_map(|key| {
            let on = Heard::ChordOn { key, channel: 0, at: quarters(held.start) };
            [(held.start, on), (held.end, Heard::NoteOff { key, channel: 0, at: quarters(held.end) })]
        })
    });
    let mut events: Vec<(Ticks, Heard)> = events.collect();
    events.sort_by_key(|(at, heard)| (*at, matches!(heard, Heard::ChordOn { .. })));
    let mut events = events.into_iter().peekable();
    arranger.hear(&Heard::TakeBegan { take: TakeId(1), at: 0.0 });
    let margin = if offline { SHORTEST_MARGIN } else { 2 * SHORTEST_MARGIN };
    let segments = (0..4).flat_map(|index| bar(index).segments());
    let answers = segments.map(|segment| {
        while let Some((_, heard)) = events.next_if(|(at, _)| *at <= segment.start() - margin) {
            arranger.hear(&heard);
        }
        arranger.answer(&Cut { margin, offline, ..cut_of(&song("...."), segment, &settings) }, &mut |_| {})
    });
    let answers = answers.collect();
    arranger.hear(&Heard::TakeEnded { at: 16.0 });
    answers
}

fn names(answers: &[SegmentAnswer]) -> String {
    let name = |answer: &SegmentAnswer| answer.chord.chord.map_or_else(|| "-".to_owned(), |chord| chord.to_string());
    answers.iter().map(name).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_render_hears_held_chords_as_late_as_they_were_heard() {
    // The second is struck between the margin of the first pass and that of a render.
    let chords = [(0..69, [48, 52, 55]), (69..180, [53, 57, 60])];
    let mut arranger = band();
    let live = play_held(&mut arranger, &chords, false);
    assert!(names(&live).ends_with("C C C F F F F"), "{}", names(&live));
    assert_eq!(same_bars(&play_held(&mut arranger, &chords, true), &live), "====");
    let saved = to_text(arranger.ledger());
    arranger.restore(from_text(&saved).expect("it was just written"));
    assert_eq!(same_bars(&play_held(&mut arranger, &chords, true), &live), "====");
    let rendered = play_held(&mut band(), &chords, true);
    assert!(names(&rendered).ends_with("C C F F F F F"), "{}", names(&rendered));
}

#[test]
fn chords_that_are_held_end_the_count_in_and_leave_locked_bars_alone() {
    let mut arranger = band();
    let free = play(&mut arranger, TUNE, &settings());
    arranger.command(LedgerCommand::Lock(bars(1..=1)));
    let held = play_held(&mut arranger, &[(0..190, [49, 53, 56])], true);
    assert_eq!(same_bars(&held, &free[..8]), "x=xx");
    arranger.command(LedgerCommand::Unlock(ALL));
    let unlocked = play_held(&mut arranger, &[], true);
    assert_eq!(same_bars(&unlocked, &held), "====", "nothing was written into it");
    let rests =
        Settings { count_in: 4, count_in_band: CountInBand::Rests, chord_input: ChordInput::Split, ..settings() };
    let mut counting = band();
    counting.hear(&Heard::TakeBegan { take: TakeId(1), at: 0.0 });
    let mut plays = |segment: i32, chord: &[i32]| {
        let held = chord.iter().map(|key| Heard::ChordOn { key: Key::folded(*key), channel: 0, at: 1.0 });
        held.for_each(|heard| counting.hear(&heard));
        let cut = cut_of(&song("...."), bar(0).segment_at(24 * segment), &rests);
        !counting.answer(&cut, &mut |_| {}).notes.is_empty()
    };
    assert_eq!([plays(0, &[]), plays(1, &[49, 53, 56])], [false, true]);
}

#[test]
fn after_the_count_in_the_generator_knows_the_first_bars() {
    let seen: Arc<Mutex<Vec<Vec<SegmentAnswer>>>> = Arc::default();
    let shown = seen.clone();
    let watch = move |request: &Request<'_>| shown.lock().expect("no panic").push(request.past.to_vec());
    let mut watched = Arranger::new(Box::new(Watched(watch)), None);
    play(&mut watched, TUNE, &Settings { count_in: 2, count_in_band: CountInBand::Rests, ..settings() });
    let mut knowing = Arranger::new(Box::new(RuleGenerator), None);
    play(&mut knowing, TUNE, &arranged());
    let arranged = play(&mut knowing, TUNE, &arranged());
    let past = seen.lock().expect("no panic")[0].clone();
    assert_eq!(past.len(), 4, "the first it writes is the third bar");
    assert_eq!(same_bars(&past, &arranged[..4]), "==", "as if the rules had played, knowing the melody");
}

#[test]
fn a_reroll_gives_other_notes_in_these_bars_and_parts() {
    for settings in [settings(), arranged()] {
        let mut arranger = band();
        play(&mut arranger, TUNE, &settings);
        let before = play(&mut arranger, TUNE, &settings);
        arranger.command(LedgerCommand::Reroll { bars: bars(2..=3), parts: PerPart::from_fn(|_| true) });
        let after = play(&mut arranger, TUNE, &settings);
        assert_eq!(same_bars(&before, &after), "==xx====");
        assert_eq!(states(&arranger)[2..4], [BarState::Edited; 2]);
        assert_eq!(same_bars(&play(&mut arranger, TUNE, &settings), &after), "========");

        let chords = PerPart::from_fn(|part| part == Part::Chords);
        arranger.command(LedgerCommand::Reroll { bars: bars(5..=5), parts: chords });
        idle(&mut arranger);
        let last = play(&mut arranger, TUNE, &settings);
        assert_eq!(same_bars(&after, &last), "=====x==");
        for part in Part::ALL.into_iter().filter(|part| *part != Part::Chords) {
            assert_eq!(notes_of(&after, part), notes_of(&last, part), "{part:?}");
        }
        let names = |answers: &[SegmentAnswer]| answers.iter().map(|answer| answer.chord.chord).collect::<Vec<_>>();
        assert_eq!(names(&after), names(&last), "the chords are what the others play");
        arranger.command(LedgerCommand::Undo);
        assert_eq!(same_bars(&play(&mut arranger, TUNE, &settings), &after), "========");
        arranger.command(LedgerCommand::Undo);
        assert_eq!(same_bars(&play(&mut arranger, TUNE, &settings), &before), "========");
        arranger.command(LedgerCommand::Redo);
        arranger.command(LedgerCommand::Redo);
        assert_eq!(same_bars(&play(&mut arranger, TUNE, &settings), &last), "========");
    }
}

#[test]
fn live_a_reroll_waits_for_an_idle_moment() {
    let mut arranger = band();
    let live = |arranger: &mut Arranger| play_bars(arranger, &song(TUNE), |_| settings(), 0..=7, false);
    let before = live(&mut arranger);
    arranger.command(LedgerCommand::Reroll { bars: ALL, parts: PerPart::from_fn(|_| true) });
    assert_eq!(same_bars(&live(&mut arranger), &before), "========");
    idle(&mut arranger);
    assert_eq!(same_bars(&live(&mut arranger), &before), "xxxxxxxx");
}

#[test]
fn a_bar_that_was_never_heard_is_rerolled_too() {
    let mut arranger = band();
    play_bars(&mut arranger, &song("cdef gage"), |_| settings(), 0..=1, true);
    // Asked for ahead, then the host stopped.
    arranger.hear(&Heard::TakeBegan { take: TakeId(2), at: 4.0 });
    let ahead: Vec<Segment> = (1..=2).flat_map(|index| bar(index).segments()).collect();
    let cut = |segment: &Segment| cut_of(&song("...."), *segment, &settings());
    let answers: Vec<SegmentAnswer> = ahead.iter().map(|segment| arranger.answer(&cut(segment), &mut |_| {})).collect();
    arranger.hear(&Heard::TakeEnded { at: 8.0 });
    arranger.command(LedgerCommand::Reroll { bars: bars(2..=2), parts: PerPart::from_fn(|_| true) });
    idle(&mut arranger);
    assert_eq!(same_bars(&held(&arranger, &bars(2..=2)), &answers[2..]), "x");
}

#[test]
fn locked_bars_play_whatever_changes_until_they_are_unlocked() {
    for follow in [Follow::Jam, Follow::Arrange] {
        let usual = Settings { follow, ..settings() };
        let turned = Settings { density: 1.0, seed: 9, ..usual };
        let mut arranger = band();
        let before = play(&mut arranger, TUNE, &usual);
        arranger.command(LedgerCommand::Lock(bars(2..=3)));
        arranger.command(LedgerCommand::Reroll { bars: ALL, parts: PerPart::from_fn(|_| true) });
        arranger.set_plan(ChordPlan::parse("| F#m |").expect("a plan"));
        idle(&mut arranger);
        let after = play(&mut arranger, "fgab CbCb aaaa gggg ffff eeee dddd cccc", &turned);
        assert_eq!(same_bars(&before, &after), "xx==xxxx", "{follow:?}");
        assert_eq!(states(&arranger)[2], BarState::Locked);
        arranger.command(LedgerCommand::Unlock(ALL));
        let last = play(&mut arranger, TUNE, &turned);
        assert_eq!(same_bars(&before, &last), "xxxxxxxx");
    }
}

#[test]
fn locked_chords_stay_and_come_from_what_is_planned() {
    let mut arranger = band();
    play_bars(&mut arranger, &song(TUNE), |_| settings(), 0..=3, true);
    let ahead = arranger.ledger().chords();
    arranger.command(LedgerCommand::LockChords(bars(1..=2)));
    let another = Settings { seed: 77, temperature: 2.0, ..settings() };
    let after = play(&mut arranger, "fgab CbCb aaaa gggg ffff eeee dddd cccc", &another);
    for index in 2..6 {
        assert_eq!(after[index].chord, PlannedChord { source: PlanSource::User, ..ahead[index].1 });
    }
    assert_eq!(
        arranger.chords_ahead(bar(1).segment_at(0))[..2].iter().map(|(_, planned)| *planned).collect::<Vec<_>>(),
        [after[2].chord, after[3].chord]
    );
    arranger.command(LedgerCommand::UnlockChords(ALL));
    let freed = play(&mut arranger, "fgab CbCb aaaa gggg ffff eeee dddd cccc", &another);
    assert!(freed.iter().all(|answer| answer.chord.source != PlanSource::User));
}

#[test]
fn chords_can_be_set_where_others_were_played() {
    let mut arranger = band();
    let before = play(&mut arranger, TUNE, &settings());
    let typed = PlannedChord { chord: "F#m7".parse().ok(), source: PlanSource::User };
    let chords = |index| bar(index).segments().map(move |segment| (segment, typed)).collect();
    arranger.command(LedgerCommand::SetChords(chords(2)));
    let after = play(&mut arranger, TUNE, &settings());
    assert!(after[4..6].iter().all(|answer| answer.chord == typed) && after[3].chord != typed);
    assert_eq!(same_bars(&before[..4], &after[..4]), "==", "what was before it stays");
    arranger.command(LedgerCommand::SetChords(chords(20)));
    assert!(arranger.ledger().bar_at(bar(20).start).is_some(), "beyond what was heard");
    arranger.command(LedgerCommand::Undo);
    assert!(arranger.ledger().bar_at(bar(20).start).is_none());
}

#[test]
fn what_is_planned_can_be_locked_before_it_is_played() {
    let round = "cdef gage fedc bCba";
    let mut arranger = band();
    play_bars(&mut arranger, &song(&[round, round].concat()), |_| settings(), 0..=5, true);
    let planned = arranger.chords_ahead(bar(6).segment_at(0));
    assert!(planned.len() >= 4, "the loop says what comes: {planned:?}");
    arranger.command(LedgerCommand::LockChords(bars(6..=7)));
    let after = play_bars(&mut arranger, &song("........ ........ ........ ffff ffff"), |_| settings(), 6..=7, true);
    let played: Vec<_> = after.iter().map(|answer| answer.chord.chord).collect();
    let expected: Vec<_> = planned[..4].iter().map(|(_, planned)| planned.chord).collect();
    assert_eq!(played, expected);
}

#[test]
fn cleared_bars_begin_anew() {
    let mut arranger = band();
    let before = play(&mut arranger, TUNE, &settings());
    arranger.command(LedgerCommand::Lock(bars(1..=1)));
    arranger.command(LedgerCommand::Clear(bars(1..=2)));
    assert_eq!(held(&arranger, &bars(1..=2)), []);
    assert_eq!(arranger.ledger().bars().filter(|entry| entry.melody.is_some()).count(), 6);
    arranger.command(LedgerCommand::Undo);
    arranger.command(LedgerCommand::Undo);
    assert_eq!(same_bars(&play(&mut arranger, TUNE, &settings()), &before), "========");
}

/// Something that happens to a song.
#[derive(Debug, Clone)]
enum Act {
    /// One of a few melodies, under one of a few settings.
    Play {
        melody: usize,
        settings: usize,
        bars: RangeInclusive<i32>,
        offline: bool,
    },
    Command(LedgerCommand),
    Plan(bool),
    Idle,
}

const LAST: i32 = 7;

fn some_bars() -> impl Strategy<Value = RangeInclusive<i32>> {
    (0..=LAST, 0..=LAST).prop_map(|(a, b)| a.min(b)..=a.max(b))
}

fn typed(bars: RangeInclusive<i32>) -> Vec<(Segment, PlannedChord)> {
    let chord = PlannedChord { chord: "Ebm".parse().ok(), source: PlanSource::User };
    bars.flat_map(|index| bar(index).segments()).map(|segment| (segment, chord)).collect()
}

fn command() -> impl Strategy<Value = LedgerCommand> {
    let range = || some_bars().prop_map(bars);
    prop_oneof![
        3 => range().prop_map(LedgerCommand::Lock),
        2 => range().prop_map(LedgerCommand::Unlock),
        3 => (range(), any::<[bool; Part::COUNT]>()).prop_map(|(bars, parts)| LedgerCommand::Reroll { bars, parts: PerPart(parts) }),
        1 => range().prop_map(LedgerCommand::Clear),
        1 => range().prop_map(LedgerCommand::LockChords),
        1 => range().prop_map(LedgerCommand::UnlockChords),
        1 => some_bars().prop_map(|bars| LedgerCommand::SetChords(typed(bars))),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let play = (0..3_usize, 0..4_usize, some_bars(), any::<bool>());
    prop_oneof![
        4 => play.prop_map(|(melody, settings, bars, offline)| Act::Play { melody, settings, bars, offline }),
        5 => command().prop_map(Act::Command),
        2 => Just(Act::Command(LedgerCommand::Undo)),
        1 => Just(Act::Command(LedgerCommand::Redo)),
        1 => any::<bool>().prop_map(Act::Plan),
        2 => Just(Act::Idle),
    ]
}

fn perform(arranger: &mut Arranger, act: &Act) {
    const MELODIES: [&str; 3] = [
        "cdef gage fedc bCba cdef gage fedc bCba",
        "cdef gage fgaC cdef gage fgaC aCba",
        "........ fedc bCba gfed egCb",
    ];
    let some =
        [settings(), arranged(), Settings { density: 0.9, ..arranged() }, Settings { count_in: 3, ..settings() }];
    match act {
        Act::Play { melody, settings, bars, offline } => {
            play_bars(arranger, &song(MELODIES[*melody]), |_| some[*settings], bars.clone(), *offline);
        }
        Act::Command(command) => arranger.command(command.clone()),
        Act::Plan(typed) => {
            let plan = if *typed { ChordPlan::parse("| C | F G |").expect("a plan") } else { ChordPlan::default() };
            arranger.set_plan(plan);
        }
        Act::Idle => idle(arranger),
    }
}

/// The music of the locked bars that an act must leave alone.
fn protected(arranger: &Arranger, act: &Act) -> Vec<(Bar, Vec<SegmentAnswer>)> {
    let freed = match act {
        Act::Command(LedgerCommand::Unlock(bars) | LedgerCommand::Clear(bars)) => bars.clone(),
        Act::Command(LedgerCommand::Undo | LedgerCommand::Redo) => ALL,
        Act::Command(_) | Act::Play { .. } | Act::Plan(_) | Act::Idle => 0..0,
    };
    let locked = arranger.ledger().bars().filter(|entry| entry.locked && !freed.contains(&entry.bar.start));
    locked.map(|entry| (entry.bar, entry.answers.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn locked_bars_never_change(acts in prop::collection::vec(act(), 1..16)) {
        let mut arranger = band();
        for act in &acts {
            let before = protected(&arranger, act);
            perform(&mut arranger, act);
            for (bar, answers) in before {
                let now = arranger.ledger().bar(&bar).map(|entry| (entry.locked, entry.answers.clone()));
                prop_assert_eq!(now, Some((true, answers)), "bar {:?} after {:?}", bar.index, act);
            }
        }
    }

    #[test]
    fn undo_gives_back_the_exact_ledger(
        acts in prop::collection::vec(act(), 1..6),
        commands in prop::collection::vec((command(), any::<bool>()), 1..20),
    ) {
        let mut arranger = band();
        acts.iter().for_each(|act| perform(&mut arranger, act));
        idle(&mut arranger);
        let (before, steps) = (arranger.ledger().clone(), arranger.steps().0);
        for (command, then_idle) in commands {
            arranger.command(command);
            if then_idle {
                idle(&mut arranger);
            }
        }
        idle(&mut arranger);
        let (after, done) = (arranger.ledger().clone(), arranger.steps().0 - steps);
        (0..done).for_each(|_| arranger.command(LedgerCommand::Undo));
        prop_assert_eq!(arranger.ledger(), &before);
        (0..done).for_each(|_| arranger.command(LedgerCommand::Redo));
        idle(&mut arranger);
        prop_assert_eq!(arranger.ledger(), &after);
    }

    #[test]
    fn saving_and_loading_gives_back_the_same_song(acts in prop::collection::vec(act(), 1..8)) {
        let mut arranger = band();
        acts.iter().for_each(|act| perform(&mut arranger, act));
        let saved = to_text(arranger.ledger());
        let loaded = from_text(&saved).expect("it was just written");
        prop_assert_eq!(&loaded, arranger.ledger());
        let mut other = Arranger::new(Box::new(Model), None);
        other.set_plan(arranger.plan.clone());
        other.restore(loaded);
        let render = |arranger: &mut Arranger| play_bars(arranger, &song("cdef gage fedc bCba cdef gage fedc bCba"), |_| settings(), 0..=LAST, true);
        prop_assert_eq!(render(&mut other), render(&mut arranger));
    }
}
