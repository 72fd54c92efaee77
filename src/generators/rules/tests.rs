//! What a listener would notice of the rule-based band.

use super::voicing::{BASS_RANGE, CHORD_RANGE, COUNTER_RANGE, PAD_RANGE};
use super::*;
use crate::music::{Bar, ChordPlan, PitchClass, PitchClassSet, Style, style_from_text};
use crate::settings::Settings;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::fmt::Write;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Playing {
    Jam,
    Arrange,
}

/// A session of the band: what is played with what, from the first bar on.
#[derive(Debug, Clone)]
struct Session {
    melody: Vec<Note>,
    meter: Meter,
    bars: i32,
    playing: Playing,
    plan: ChordPlan,
    settings: Settings,
    parts: PerPart<bool>,
    quarters_per_minute: f32,
    seed: u64,
}

impl Session {
    fn with(melody: Vec<Note>) -> Self {
        Self {
            melody,
            meter: Meter::COMMON,
            bars: 8,
            playing: Playing::Arrange,
            plan: ChordPlan::default(),
            settings: Settings { temperature: 0.3, ..Settings::default() },
            parts: PerPart::from_fn(|_| true),
            quarters_per_minute: 110.0,
            seed: 1,
        }
    }

    fn only(mut self, parts: &[Part]) -> Self {
        self.parts = PerPart::from_fn(|part| parts.contains(&part));
        self
    }

    fn style(mut self, style: &str) -> Self {
        self.settings.style = style_from_text(style).expect("a style of the palette");
        self
    }

    fn chords(mut self, plan: &str) -> Self {
        self.plan = ChordPlan::parse(plan).expect("a readable plan");
        self
    }

    fn asks(&self) -> Vec<Ask> {
        let bars = (0..self.bars).map(|index| Bar::of_constant_meter(index, self.meter));
        match self.playing {
            Playing::Jam => bars.flat_map(Bar::segments).map(Ask::Jam).collect(),
            Playing::Arrange => bars.map(Ask::Arrange).collect(),
        }
    }

    /// Plays it all, answer by answer, each with those before as its past.
    fn play(&self) -> Vec<SegmentAnswer> {
        let mut past: Vec<SegmentAnswer> = Vec::new();
        for ask in self.asks() {
            let chords: Vec<_> = ask.segments().map(|segment| self.plan.chord_of(&segment)).collect();
            let request = Request {
                ask,
                melody: &self.melody,
                past: &past,
                chords: &chords,
                parts: self.parts,
                standing: &[],
                settings: &self.settings,
                quarters_per_minute: self.quarters_per_minute,
                margin: 2,
                seed: self.seed + ask.start() as u64,
            };
            let answers = self.answers(&request);
            past.extend(answers);
        }
        past
    }

    fn answers(&self, request: &Request<'_>) -> Vec<SegmentAnswer> {
        let mut notes = Vec::new();
        let chords = RuleGenerator.answer(request, &mut |note| notes.push(note)).expect("rules do not fail");
        assert!(notes.is_sorted(), "by part, start and key");
        assert!(
            notes.iter().all(|note| request.ask.start() <= note.note.start && note.note.end() <= request.ask.end())
        );
        assert_eq!(chords.len(), request.ask.segments().count());
        let answer = |(segment, chord): (Segment, PlannedChord)| SegmentAnswer {
            segment,
            chord,
            notes: notes.iter().filter(|n| (segment.start()..segment.end()).contains(&n.note.start)).copied().collect(),
            settings: self.settings,
            quarters_per_minute: self.quarters_per_minute,
            margin: request.margin,
        };
        request.ask.segments().zip(chords).map(answer).collect()
    }
}

fn notes_of(answers: &[SegmentAnswer], part: Part) -> Vec<Note> {
    answers.iter().flat_map(|answer| &answer.notes).filter(|note| note.part == part).map(|note| note.note).collect()
}

/// Keys a quarter apart; 0 rests.
pub fn quarters(keys: &[u8]) -> Vec<Note> {
    let note = |(index, key): (usize, &u8)| {
        let key = Key::new(*key).filter(|key| key.number() > 0)?;
        Some(Note { start: 12 * index as Ticks, key, duration: 12, velocity: Velocity::default() })
    };
    keys.iter().enumerate().filter_map(note).collect()
}

fn ode_to_joy() -> Vec<Note> {
    quarters(&[
        64, 64, 65, 67, 67, 65, 64, 62, 60, 60, 62, 64, 64, 62, 62, 0, //
        64, 64, 65, 67, 67, 65, 64, 62, 60, 60, 62, 64, 62, 60, 60, 0,
    ])
}

/// Greensleeves in A minor, 6/8.
fn greensleeves() -> Vec<Note> {
    let mut start = 0;
    let note = |(key, duration): &(u8, Ticks)| {
        start += duration;
        Note {
            start: start - duration,
            key: Key::folded(i32::from(*key)),
            duration: *duration,
            velocity: Velocity::default(),
        }
    };
    #[rustfmt::skip]
    let notes = [
        (72, 12), (74, 6), (76, 9), (77, 3), (76, 6), (74, 12), (71, 6), (67, 9), (69, 3), (71, 6),
        (72, 12), (69, 6), (69, 9), (68, 3), (69, 6), (71, 12), (68, 6), (64, 18),
        (72, 12), (74, 6), (76, 9), (77, 3), (76, 6), (74, 12), (71, 6), (67, 9), (69, 3), (71, 6),
        (72, 9), (71, 3), (69, 6), (68, 9), (66, 3), (68, 6), (69, 18), (69, 18),
    ];
    notes.iter().map(note).collect()
}

/// Chords by segment, bars between `|`.
fn chord_names(answers: &[SegmentAnswer]) -> String {
    let mut text = String::new();
    for answer in answers {
        let border = if answer.segment.number == 0 { "| " } else { "" };
        let name = answer.chord.chord.map_or("N.C.".to_owned(), |chord| chord.to_string());
        write!(text, "{border}{name} ").expect("text grows");
    }
    text + "|"
}

/// Each part of a few bars, a line a bar: `tick key+key/duration`, ticks from the bar line.
fn score(answers: &[SegmentAnswer], bars: std::ops::Range<i32>) -> String {
    let mut text = String::new();
    for part in Part::BAND {
        for bar in bars.clone() {
            let notes: Vec<(Ticks, Note)> = answers
                .iter()
                .filter(|answer| answer.segment.bar.index.0 == bar)
                .flat_map(|answer| answer.notes.iter().map(|note| (answer.segment.bar.start, note)))
                .filter(|(_, note)| note.part == part)
                .map(|(start, note)| (note.note.start - start, note.note))
                .collect();
            if notes.is_empty() {
                continue;
            }
            write!(text, "{:<7}", part.id()).expect("text grows");
            for group in notes.chunk_by(|a, b| a.0 == b.0 && a.1.duration == b.1.duration) {
                let keys: Vec<String> = group.iter().map(|(_, note)| key_name(part, note.key)).collect();
                write!(text, " {} {}/{}", group[0].0, keys.join("+"), group[0].1.duration).expect("text grows");
            }
            text += "\n";
        }
    }
    text
}

/// Drums by their General MIDI number.
fn key_name(part: Part, key: Key) -> String {
    if part == Part::Drums { key.number().to_string() } else { key.to_string() }
}

fn check(session: Session, bars: std::ops::Range<i32>, expected: Expect) {
    expected.assert_eq(&score(&session.play(), bars));
}

#[test]
fn ode_to_joy_is_played_on_its_plain_chords() {
    for playing in [Playing::Arrange, Playing::Jam] {
        let answers = Session { playing, ..Session::with(ode_to_joy()) }.play();
        let plain: PitchClassSet = [0, 5, 7].map(PitchClass::new).into_iter().collect();
        let primary = answers.iter().filter(|a| a.chord.chord.is_some_and(|chord| plain.contains(chord.root))).count();
        assert!(primary * 4 >= answers.len() * 3, "{playing:?}: {}", chord_names(&answers));
    }
}

#[test]
fn each_style_has_its_own_texture() {
    for (style, expected) in [
        (
            "chorale",
            expect![[r#"
                bass    0 F2/12 12 A2/12 24 G2/12 36 B2/12
                bass    0 C3/12 12 A2/12 24 G2/12 36 B2/12
                chords  0 A3+C4+F4/12 12 A3+C4+F4/12 24 G3+B3+D4/12 36 G3+B3+D4/12
                chords  0 G3+C4+E4/12 12 G3+C4+E4/12 24 G3+B3+D4/12 36 G3+B3+D4/12
                pad     0 A3+F4+C5/24 24 G3+D4+B4/24
                pad     0 G3+E4+C5/24 24 G3+D4+B4/24
                counter 0 A4/24 24 G4/24
                counter 0 G4/24 24 B4/12 36 G4/12
                drums   0 51/3 12 51/3 24 51/3 36 51/3
                drums   0 51/3 12 51/3 24 51/3 36 51/3
            "#]],
        ),
        (
            "hymn",
            expect![[r#"
                bass    0 F2/24 24 G2/24
                bass    0 C2/24 24 G2/24
                chords  0 A3+C4+F4/12 12 A3+C4+F4/12 24 G3+B3+D4/12 36 G3+B3+D4/12
                chords  0 G3+C4+E4/12 12 G3+C4+E4/12 24 G3+B3+D4/24
                pad     0 A3+F4+C5/24 24 G3+D4+B4/24
                pad     0 G3+E4+C5/24 24 G3+D4+B4/24
                counter 0 A4/24 24 G4/24
                counter 0 G4/24 24 B4/12 36 G4/12
                drums   0 51/3 12 51/3 24 51/3 36 51/3
                drums   0 51/3 12 51/3 24 51/3 36 51/3
            "#]],
        ),
        (
            "romantic",
            expect![[r#"
                bass    0 F2/24 24 G2/24
                bass    0 C2/24 24 G2/24
                chords  0 A3/6 6 C4+F4/5 12 C4+F4/5 18 C4+F4/5 24 G3/6 30 B3+D4/5 36 B3+D4/5 42 B3+D4/5
                chords  0 G3/6 6 C4+E4/5 12 C4+E4/5 18 C4+E4/5 24 G3/6 30 B3+D4/5 36 B3+D4/5 42 B3+D4/5
                pad     0 A3+F4+C5/24 24 G3+D4+B4/24
                pad     0 G3+E4+C5/24 24 G3+D4+B4/24
                counter 0 A4/24 24 G4/24
                counter 0 G4/24 24 B4/12 36 G4/12
                drums   0 51/3 12 51/3 24 51/3 36 51/3
                drums   0 51/3 12 51/3 24 51/3 36 51/3
            "#]],
        ),
        (
            "arpeggio",
            expect![[r#"
                bass    0 F2/24 24 G2/24
                bass    0 C2/24 24 G2/24
                chords  0 F3/24 6 C4/18 12 F4/12 18 A4/6 24 D3/24 30 B3/18 36 D4/12 42 G4/6
                chords  0 E3/24 6 C4/18 12 E4/12 18 G4/6 24 D3/24 30 B3/18 36 D4/12 42 G4/6
                pad     0 A3+F4+C5/24 24 G3+D4+B4/24
                pad     0 G3+E4+C5/24 24 G3+D4+B4/24
                counter 0 A4/24 24 G4/24
                counter 0 G4/24 24 B4/12 36 G4/12
                drums   0 36+42/3 6 42/3 12 37+42/3 18 42/3 24 36+42/3 30 42/3 36 37+42/3 42 42/3
                drums   0 36+42/3 6 42/3 12 37+42/3 18 42/3 24 36+42/3 30 42/3 36 38/3 42 47/3
            "#]],
        ),
        (
            "broken",
            expect![[r#"
                bass    0 F2/24 24 G2/24
                bass    0 C2/24 24 G2/24
                chords  0 A3/12 6 C4+F4/6 12 A3/12 18 C4+F4/6 24 G3/12 30 B3+D4/6 36 G3/12 42 B3+D4/6
                chords  0 G3/12 6 C4+E4/6 12 G3/12 18 C4+E4/6 24 G3/12 30 B3+D4/6 36 G3/12 42 B3+D4/6
                pad     0 A3+F4+C5/24 24 G3+D4+B4/24
                pad     0 G3+E4+C5/24 24 G3+D4+B4/24
                counter 0 A4/24 24 G4/24
                counter 0 G4/24 24 B4/12 36 G4/12
                drums   0 36+42/3 6 42/3 12 37+42/3 18 42/3 24 36+42/3 30 42/3 36 37+42/3 42 42/3
                drums   0 36+42/3 6 42/3 12 37+42/3 18 42/3 24 36+42/3 30 42/3 36 38/3 42 47/3
            "#]],
        ),
        (
            "block",
            expect![[r#"
                bass    0 F2/18 18 F2/6 24 G2/18 42 D2/6
                bass    0 C2/18 18 C2/6 24 G2/18 42 G2/6
                chords  0 A3+C4+F4+A4/11 12 A3+C4+F4+A4/11 24 G3+B3+D4+G4/11 36 G3+B3+D4+G4/11
                chords  0 G3+C4+E4+G4/11 12 G3+C4+E4+G4/11 24 G3+B3+D4+G4/11 36 G3+B3+D4+G4/11
                pad     0 A3+F4+C5/24 24 G3+D4+B4/24
                pad     0 G3+E4+C5/24 24 G3+D4+B4/24
                counter 0 A4/24 24 G4/24
                counter 0 G4/24 24 B4/12 36 G4/12
                drums   0 36+42/3 6 42/3 12 37+42/3 18 42/3 24 36+42/3 30 42/3 36 37+42/3 42 42/3
                drums   0 36+42/3 6 42/3 12 37+42/3 18 42/3 24 36+42/3 30 42/3 36 38/3 42 47/3
            "#]],
        ),
        (
            "driving",
            expect![[r#"
                bass    0 F2/6 6 F2/6 12 F2/6 18 F2/6 24 G2/6 30 G2/6 36 G2/6 42 G2/6
                bass    0 C2/6 6 C2/6 12 C2/6 18 F2/6 24 G2/6 30 G2/6 36 G2/6 42 G2/6
                chords  0 A3+C4+F4/4 6 A3+C4+F4/4 12 A3+C4+F4/4 18 A3+C4+F4/4 24 G3+B3+D4/4 30 G3+B3+D4/4 36 G3+B3+D4/4 42 G3+B3+D4/4
                chords  0 G3+C4+E4/4 6 G3+C4+E4/4 12 G3+C4+E4/4 18 G3+C4+E4/4 24 G3+B3+D4/4 30 G3+B3+D4/4 36 G3+B3+D4/4 42 G3+B3+D4/4
                pad     0 A3+F4+C5/24 24 G3+D4+B4/24
                pad     0 G3+E4+C5/24 24 G3+D4+B4/24
                counter 0 A4/24 24 G4/24
                counter 0 G4/24 24 B4/12 36 G4/12
                drums   0 36+42/3 6 42/3 12 38+42/3 18 42/3 24 36+42/3 30 36+42/3 36 38+42/3 42 42/3
                drums   0 36+42/3 6 42/3 12 38+42/3 18 42/3 24 36+42/3 30 36+42/3 36 38/3 39 50/3 42 47/3 45 45/3
            "#]],
        ),
    ] {
        check(Session::with(ode_to_joy()).style(style), 2..4, expected);
    }
}

#[test]
fn a_jam_finds_its_chords_from_what_was_heard_before() {
    let jam = Session { playing: Playing::Jam, bars: 16, ..Session::with(ode_to_joy()) };
    expect!["| N.C. C | C G7 | G C | C C | F C | G7 G7 | C C | C C | C C | F F | C C | F G | C C | F F | C G | C C |"]
        .assert_eq(&chord_names(&jam.play()));
}

#[test]
fn a_minor_tune_has_minor_chords_and_a_leading_note() {
    let meter = Meter::new(6, 8).expect("a playable metre");
    let session = Session { meter, ..Session::with(greensleeves()).style("romantic") };
    expect!["| C C | G G | Am Am | E E | Am Am | Dm G | Am E | Am Am |"].assert_eq(&chord_names(&session.play()));
    check(
        session.clone(),
        6..8,
        expect![[r#"
            bass    0 A2/18 18 E2/18
            bass    0 A2/18 18 E2/18
            chords  0 C4/6 6 E4+A4/5 12 E4+A4/5 18 B3/6 24 E4+Ab4/5 30 E4+Ab4/5
            chords  0 C4/6 6 E4+A4/5 12 E4+A4/5 18 C4+E4+A4/14
            pad     0 C4+A4+E5/18 18 B3+Ab4+E5/18
            pad     0 C4+A4+E5/36
            counter 0 E5/18 18 B4/18
            counter 0 C5/18 18 E5/18
            drums   0 51/3 18 51/3
            drums   0 51/3 18 44+51/3
        "#]],
    );
    expect!["| N.C. C | C G | G C | Am E | Am Am | E7 G | Am Am | E Am |"]
        .assert_eq(&chord_names(&Session { playing: Playing::Jam, ..session }.play()));
}

#[test]
fn before_anything_is_heard_the_drums_count_and_the_others_rest() {
    let answers = Session { playing: Playing::Jam, bars: 1, ..Session::with(vec![]) }.play();
    expect![[r#"
        drums   0 42/3 12 42/3 24 42/3 36 42/3
    "#]]
    .assert_eq(&score(&answers, 0..1));
    assert_eq!(chord_names(&answers), "| N.C. N.C. |");
}

#[test]
fn every_metre_has_its_own_groove() {
    for (beats, unit, expected) in [
        (
            3,
            4,
            expect![[r#"
                bass    0 F2/30 30 F2/6
                chords  0 A3+C4+F4+A4/11 12 A3+C4+F4+A4/11 24 A3+C4+F4+A4/11
                drums   0 36+42/3 6 42/3 12 42/3 18 42/3 24 37+42/3 30 42/3
            "#]],
        ),
        (
            6,
            8,
            expect![[r#"
                bass    0 F2/12 12 F2/6 18 G2/12 30 G2/6
                chords  0 A3+C4+F4+A4/17 18 G3+B3+D4+G4/17
                drums   0 36+42/3 6 42/3 12 42/3 18 37+42/3 24 42/3 30 42/3
            "#]],
        ),
        (
            5,
            4,
            expect![[r#"
                bass    0 F2/30 30 F2/6 36 G2/18 54 G2/6
                chords  0 A3+C4+F4+A4/11 12 A3+C4+F4+A4/11 24 A3+C4+F4+A4/11 36 G3+B3+D4+G4/11 48 G3+B3+D4+G4/11
                drums   0 36+42/3 6 42/3 12 42/3 18 42/3 24 37+42/3 30 42/3 36 36+42/3 42 42/3 48 37+42/3 54 42/3
            "#]],
        ),
        (
            7,
            8,
            expect![[r#"
                bass    0 F2/18 18 F2/6 24 G2/12 36 G2/6
                chords  0 A3+C4+F4+A4/11 12 A3+C4+F4+A4/11 24 G3+B3+D4+G4/17
                drums   0 36+42/3 6 42/3 12 37+42/3 18 42/3 24 36+42/3 30 42/3 36 37+42/3
            "#]],
        ),
    ] {
        let meter = Meter::new(beats, unit).expect("a playable metre");
        let session = Session { meter, bars: 2, ..Session::with(ode_to_joy()).style("block").chords("| C | F G |") };
        check(session.only(&[Part::Bass, Part::Chords, Part::Drums]), 1..2, expected);
    }
}

#[test]
fn nothing_pitched_sounds_under_no_chord() {
    let answers = Session::with(ode_to_joy()).chords("| C | N.C. | F N.C. |").play();
    for answer in answers.iter().filter(|answer| answer.chord.chord.is_none()) {
        assert!(answer.notes.iter().all(|note| note.part == Part::Drums), "{answer:?}");
    }
    let silent = |answer: &SegmentAnswer| answer.chord.chord.is_none();
    for note in answers.iter().flat_map(|answer| &answer.notes).filter(|note| note.part != Part::Drums) {
        let rests = answers.iter().filter(|answer| silent(answer)).map(|answer| answer.segment);
        for rest in rests {
            assert!(note.note.end() <= rest.start() || rest.end() <= note.note.start, "{note:?} sounds in {rest:?}");
        }
    }
}

#[test]
fn the_counter_melody_sings() {
    for playing in [Playing::Jam, Playing::Arrange] {
        let answers = Session { playing, ..Session::with(ode_to_joy()) }.play();
        for pair in notes_of(&answers, Part::Counter).windows(2) {
            let leap = pair[0].key.number().abs_diff(pair[1].key.number());
            assert!(leap <= 7 && pair[0].end() <= pair[1].start, "{playing:?}: {pair:?}");
        }
    }
}

#[test]
fn louder_melodies_get_a_louder_band() {
    let played = |velocity| {
        let louder = ode_to_joy().into_iter().map(|note| Note { velocity: Velocity::clamped(velocity), ..note });
        let notes = notes_of(&Session::with(louder.collect()).play(), Part::Chords);
        notes.iter().map(|note| i32::from(note.velocity.get())).sum::<i32>() / notes.len() as i32
    };
    let (soft, usual, loud) = (played(40), played(80), played(120));
    assert!(soft + 5 < usual && usual + 5 < loud && loud - soft < 60, "{soft} {usual} {loud}");
}

#[test]
fn more_density_means_more_notes() {
    for style in Style::all() {
        let counts: Vec<usize> = [0.0, 0.25, 0.5, 0.75, 1.0]
            .into_iter()
            .map(|density| {
                let settings = Settings { style: style.position(), density, temperature: 0.1, ..Settings::default() };
                let answers = Session { settings, ..Session::with(ode_to_joy()) }.play();
                answers.iter().map(|answer| answer.notes.len()).sum()
            })
            .collect();
        assert!(counts.is_sorted() && counts[4] > 2 * counts[0], "{}: {counts:?}", style.name());
    }
}

fn any_meter() -> impl Strategy<Value = Meter> {
    let metres = [
        (2, 4),
        (3, 4),
        (4, 4),
        (5, 4),
        (6, 4),
        (2, 2),
        (3, 8),
        (5, 8),
        (6, 8),
        (7, 8),
        (9, 8),
        (12, 8),
        (7, 16),
        (6, 16),
        (1, 16),
    ];
    proptest::sample::select(metres.to_vec()).prop_map(|(beats, unit)| Meter::new(beats, unit).expect("playable"))
}

fn any_chord() -> impl Strategy<Value = Option<Chord>> {
    use crate::music::Quality;
    let quality = proptest::sample::select(Quality::ALL.to_vec());
    let slash = proptest::option::weighted(0.3, 0..12);
    let chord = (0..12, quality, slash).prop_map(|(root, quality, slash)| {
        let root = PitchClass::new(root);
        Chord { root, quality, slash: slash.map(PitchClass::new).filter(|bass| *bass != root) }
    });
    proptest::option::weighted(0.9, chord)
}

fn any_melody() -> impl Strategy<Value = Vec<Note>> {
    let step = (0..20i32, 48u8..90, 1..40i32, 1..127i32);
    proptest::collection::vec(step, 1..60).prop_map(|steps| {
        let mut start = 0;
        let note = |(rest, key, duration, velocity)| {
            start += rest;
            Note { start, key: Key::folded(i32::from(key)), duration, velocity: Velocity::clamped(velocity) }
        };
        let mut melody: Vec<Note> = steps.into_iter().map(note).collect();
        melody.sort_unstable();
        melody
    })
}

prop_compose! {
    fn any_session()(
        melody in any_melody(),
        meter in any_meter(),
        playing in proptest::sample::select(vec![Playing::Jam, Playing::Arrange]),
        plan in proptest::collection::vec(proptest::collection::vec(any_chord(), 1..=2), 0..4),
        (style, density, temperature) in (0.0f32..8.0, 0.0f32..=1.0, 0.1f32..=2.0),
        quarters_per_minute in 40.0f32..240.0,
        seed in 0..u64::MAX / 2,
    ) -> Session {
        let settings = Settings { style, density, temperature, ..Settings::default() };
        let plan = ChordPlan::from_bars(plan);
        Session { meter, playing, plan, settings, quarters_per_minute, seed, bars: 5, ..Session::with(melody) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_same_request_has_the_same_answer(session in any_session()) {
        prop_assert_eq!(session.play(), session.play());
    }

    #[test]
    fn given_chords_are_obeyed(session in any_session().prop_filter("a plan", |session| !session.plan.is_empty())) {
        for answer in session.play() {
            prop_assert_eq!(Some(answer.chord), session.plan.chord_of(&answer.segment));
            let Some(chord) = answer.chord.chord else { continue };
            let allowed = chord.class_set().with(chord.bass());
            for PartNote { part, note, .. } in answer.notes.iter().filter(|note| note.part != Part::Drums) {
                let strong = rhythm::strength_at(answer.segment.bar, note.start) > 0.7;
                // Only the bass passes between chords, and only between the strong places.
                if strong || *part != Part::Bass {
                    prop_assert!(allowed.contains(note.key.pitch_class()), "{chord}: {part:?} {note:?}");
                }
                if *part == Part::Bass && note.start == answer.segment.bar.start {
                    prop_assert_eq!(note.key.pitch_class(), chord.bass());
                }
            }
        }
    }

    #[test]
    fn muted_parts_are_silent_and_change_nothing_for_the_others(session in any_session(), muted in 0..Part::BAND.len()) {
        let muted = Part::BAND[muted];
        let without = session.clone().only(&Part::BAND.map(|part| if part == muted { Part::Drums } else { part }));
        let (with, without) = (session.play(), without.play());
        for part in Part::BAND {
            if part == muted && part != Part::Drums {
                prop_assert_eq!(notes_of(&without, part), vec![]);
            } else {
                prop_assert_eq!(notes_of(&without, part), notes_of(&with, part));
            }
        }
    }

    #[test]
    fn no_segment_is_silent_once_a_melody_was_heard(session in any_session()) {
        let session = Session { plan: ChordPlan::default(), ..session };
        let answers = session.play();
        for part in [Part::Bass, Part::Chords, Part::Pad] {
            let notes = notes_of(&answers, part);
            for segment in answers.iter().map(|answer| answer.segment) {
                let heard_until = if session.playing == Playing::Jam { segment.start() } else { segment.bar.end() };
                let sounds = notes.iter().any(|note| note.start <= segment.start() && note.end() > segment.start());
                prop_assert_eq!(sounds, session.melody[0].start < heard_until, "{:?} in {:?}", part, segment);
            }
        }
    }

    #[test]
    fn a_jam_does_not_know_what_is_yet_to_come(session in any_session(), cut in 0..200) {
        let known: Vec<Note> = session.melody.iter().filter(|note| note.start < cut).copied().collect();
        let (all, known) = (Session { playing: Playing::Jam, ..session.clone() }, Session { playing: Playing::Jam, melody: known, ..session });
        let before_cut = |answer: &SegmentAnswer| answer.segment.start() <= cut;
        let answers = |session: &Session| session.play().into_iter().filter(before_cut).collect::<Vec<_>>();
        prop_assert_eq!(answers(&all), answers(&known));
    }

    #[test]
    fn parts_keep_their_registers_and_do_not_leap(session in any_session()) {
        let answers = session.play();
        for (part, range) in [(Part::Bass, BASS_RANGE), (Part::Chords, CHORD_RANGE), (Part::Pad, PAD_RANGE), (Part::Counter, COUNTER_RANGE)] {
            let notes = notes_of(&answers, part);
            prop_assert!(notes.iter().all(|note| range.contains(&i32::from(note.key.number()))), "{part:?}: {notes:?}");
        }
        for pair in notes_of(&answers, Part::Bass).windows(2) {
            prop_assert!(pair[0].key.number().abs_diff(pair[1].key.number()) <= 12, "{pair:?}");
        }
    }

    #[test]
    fn the_counter_melody_is_not_on_the_melody(session in any_session()) {
        let session = Session { playing: Playing::Arrange, ..session };
        for note in notes_of(&session.play(), Part::Counter) {
            // Wherever the melody is on every note of the chord, the counter-melody rests.
            let same = |other: &&Note| other.key == note.key && other.start < note.end() && note.start < other.end();
            let within = session.melody.iter().filter(|other| other.start < note.end());
            prop_assert_eq!(within.filter(same).count(), 0, "{:?}", note);
        }
    }
}

/// Not a check: prints what an answer takes. `cargo test --release --no-default-features -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn microseconds_per_bar() {
    for playing in [Playing::Jam, Playing::Arrange] {
        let session = Session { playing, bars: 64, ..Session::with(ode_to_joy()) };
        session.play();
        let started = std::time::Instant::now();
        session.play();
        println!("{playing:?}: {:.0} µs a bar", started.elapsed().as_secs_f64() * 1e6 / f64::from(session.bars));
    }
}
