//! The drummer with a network that only pretends to compute: what holds for any model.

use super::*;
use crate::contract::drums::VOCABULARY;
use crate::contract::drums::tests::contract;
use crate::generators::Ask;
use crate::music::{Bar, Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Segment, Ticks, Velocity};
use crate::settings::Settings;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Logits that depend on every token and condition read so far, and on their places, as a real model's do.
///
/// What was read piece by piece is remembered with another rounding than what was read one by one.
struct Hashing {
    remembered: Vec<u64>,
    logits: Vec<f32>,
    /// Tokens read so far, padding not counted.
    work: Arc<AtomicUsize>,
    /// The likelihood of the end.
    end: f32,
}

impl Hashing {
    fn new(end: f32) -> Self {
        Self { remembered: Vec::new(), logits: Vec::new(), work: Arc::default(), end }
    }

    fn remember(&mut self, past: usize, token: Token, condition: &Condition, rounding: u64) {
        assert!(past <= self.remembered.len(), "the network was not shown what it is to remember");
        assert!(past < contract().window, "the window is full");
        self.remembered.truncate(past);
        let before = self.remembered.last().copied().unwrap_or(17);
        let bits = condition.map(f32::to_bits);
        self.remembered.push(hash(&(before, bits, token, past, rounding)));
        self.work.fetch_add(1, Ordering::Relaxed);
    }

    fn logits(&mut self) -> &[f32] {
        let seed = *self.remembered.last().expect("something was read");
        // The nearer a stroke, the likelier: else there would be few before the segment is over.
        let logit = |token: usize| (hash(&(seed, token)) % 1000) as f32 / 200.0 - token as f32 / 20.0;
        self.logits = (0..VOCABULARY).map(logit).collect();
        self.logits[usize::from(END)] += self.end;
        &self.logits
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl Network<CONDITIONS> for Hashing {
    fn read_piece(&mut self, past: usize, tokens: &[Token], conditions: &[Condition]) -> Result<&[f32], String> {
        assert!(past.is_multiple_of(32) && (1..=32).contains(&tokens.len()));
        for (index, (token, condition)) in tokens.iter().zip(conditions).enumerate() {
            self.remember(past + index, *token, condition, 0);
        }
        Ok(self.logits())
    }

    fn read_one(&mut self, past: usize, token: Token, condition: &Condition) -> Result<&[f32], String> {
        self.remember(past, token, condition, 1);
        Ok(self.logits())
    }
}

/// Some eight strokes a segment.
const MUSICAL: f32 = -12.0;

fn drummer(end: f32) -> DrumTransformer {
    DrumTransformer::new(contract(), Box::new(Hashing::new(end)))
}

fn with_drums() -> Settings {
    let mut settings = Settings::default();
    settings.parts[Part::Drums].on = true;
    settings
}

fn melody(bars: Ticks) -> Vec<Note> {
    let note = |beat: Ticks| Note {
        start: 12 * beat + beat % 3,
        key: Key::folded(60),
        duration: 9,
        velocity: Velocity::clamped(60 + beat % 40),
    };
    (0..4 * bars).map(note).collect()
}

/// What the others play: the bass on the segment and a little after, under a chord.
fn written(ask: Ask, settings: &Settings, chord: Option<&str>) -> Vec<SegmentAnswer> {
    let answer = |segment: Segment| {
        let bass = |start| {
            let note = Note { start, key: Key::folded(36), duration: 6, velocity: Velocity::default() };
            PartNote::on_grid(Part::Bass, note)
        };
        SegmentAnswer {
            segment,
            chord: PlannedChord { chord: chord.map(|c| c.parse().expect("a chord")), source: PlanSource::Rule },
            notes: vec![bass(segment.start()), bass(segment.start() + 6 + segment.bar.index.0 % 5)],
            settings: *settings,
            quarters_per_minute: 100.0,
            margin: 2,
        }
    };
    ask.segments().map(answer).collect()
}

fn request<'a>(ask: Ask, melody: &'a [Note], past: &'a [SegmentAnswer], settings: &'a Settings) -> Request<'a> {
    let parts = PerPart::from_fn(|part| settings.part_is_on(part));
    Request {
        ask,
        melody,
        past,
        chords: &[],
        parts,
        standing: &[],
        settings,
        quarters_per_minute: 100.0,
        margin: 2,
        seed: 9,
    }
}

fn strokes(
    drummer: &mut DrumTransformer,
    request: &Request<'_>,
    written: &[SegmentAnswer],
) -> Result<Vec<PartNote>, GeneratorError> {
    let mut notes = Vec::new();
    drummer.play(request, written, &mut |note| notes.push(note))?;
    Ok(notes)
}

/// Plays a song with one drummer, and each answer also with one that has read nothing. All strokes, and tokens read.
fn play(arrange: bool, meter: Meter, bars: i32) -> (Vec<PartNote>, usize) {
    let (melody, settings) = (melody(bars), with_drums());
    let network = Hashing::new(MUSICAL);
    let work = network.work.clone();
    let mut seasoned = DrumTransformer::new(contract(), Box::new(network));
    let (mut past, mut all) = (Vec::new(), Vec::new());
    for bar in (0..bars).map(|index| Bar::of_constant_meter(index, meter)) {
        let asks: Vec<Ask> = if arrange { vec![Ask::Arrange(bar)] } else { bar.segments().map(Ask::Jam).collect() };
        for ask in asks {
            let memory = past.len().saturating_sub(48);
            let request = request(ask, &melody, &past[memory..], &settings);
            let mut written = written(ask, &settings, Some("C"));
            let notes = strokes(&mut seasoned, &request, &written).expect("the network works");
            assert_eq!(
                strokes(&mut drummer(MUSICAL), &request, &written).expect("it works"),
                notes,
                "bar {}",
                bar.index.0
            );
            assert!(notes.is_sorted_by_key(|note| note.note.start));
            for answer in &mut written {
                let within = answer.segment.start()..answer.segment.end();
                answer.notes.extend(notes.iter().filter(|note| within.contains(&note.note.start)));
            }
            let kept: usize = written.iter().map(|answer| answer.notes.len() - 2).sum();
            assert_eq!(kept, notes.len(), "strokes lie in the segments that are asked for");
            past.extend(written);
            all.extend(notes);
        }
    }
    (all, work.load(Ordering::Relaxed))
}

#[test]
fn an_answer_depends_on_the_request_alone() {
    let meter = |beats, unit| Meter::new(beats, unit).expect("a usual metre");
    for (arrange, meter, bars) in [
        (false, Meter::COMMON, 30),
        (true, Meter::COMMON, 30),
        (false, meter(3, 4), 9),
        (true, meter(6, 8), 9),
        (false, meter(2, 4), 18),
    ] {
        let (strokes, _) = play(arrange, meter, bars);
        assert!(strokes.len() > 6 * bars as usize, "{} strokes are too few to tell", strokes.len());
        assert!(strokes.iter().all(|stroke| stroke.part == Part::Drums));
    }
}

#[test]
fn what_is_remembered_is_not_read_again() {
    let (strokes, work) = play(false, Meter::COMMON, 30);
    let written = 2 * strokes.len() + 2 * 60;
    // Twice (written and read anew), at most a piece before each segment, and what stays when bars are dropped.
    let most = 2 * written + 60 * 32 + 15 * 158;
    assert!(work < most, "{work} tokens were read for {written} written; {most} should do");
}

#[test]
fn the_drums_hear_the_bass_of_their_own_segment() {
    let (melody, settings) = (melody(4), with_drums());
    let ask = Ask::Arrange(Bar::of_constant_meter(2, Meter::COMMON));
    let request = request(ask, &melody, &[], &settings);
    let as_it_was = written(ask, &settings, Some("C"));
    let mut moved = as_it_was.clone();
    moved[0].notes[1].note.start += 1;
    let play = |written: &[SegmentAnswer]| strokes(&mut drummer(MUSICAL), &request, written).expect("it works");
    assert_ne!(play(&as_it_was), play(&moved));
}

#[test]
fn the_rules_count_until_the_band_begins_and_play_metres_the_model_does_not_know() {
    let (melody, settings) = (melody(4), with_drums());
    let drummer = drummer(MUSICAL);
    let plays = |index, meter, past: &[SegmentAnswer], chord| {
        let ask = Ask::Arrange(Bar::of_constant_meter(index, meter));
        drummer.plays(&request(ask, &melody, past, &settings), &written(ask, &settings, chord))
    };
    let before = written(Ask::Arrange(Bar::of_constant_meter(0, Meter::COMMON)), &settings, Some("F"));
    assert!(plays(1, Meter::COMMON, &[], Some("C")));
    assert!(!plays(1, Meter::COMMON, &[], None));
    assert!(plays(1, Meter::COMMON, &before, None), "a break in the harmony does not stop the drums");
    assert!(!plays(1, Meter::new(5, 4).expect("a metre"), &before, Some("C")));
}

#[test]
fn a_count_in_and_bars_without_drums_are_not_gone_on_with() {
    let settings = with_drums();
    let shown = |settings_before: &Settings, chord| {
        let past: Vec<SegmentAnswer> = (0..2)
            .flat_map(|index| {
                written(Ask::Arrange(Bar::of_constant_meter(index, Meter::COMMON)), settings_before, chord)
            })
            .collect();
        let ask = Ask::Arrange(Bar::of_constant_meter(2, Meter::COMMON));
        let next = ask.segments().next().expect("a bar has segments");
        context_before(&next, &past, &request(ask, &[], &past, &settings), &contract()).len()
    };
    assert_eq!(shown(&settings, Some("C")), 1 + 4 * 2, "START, and four segments without strokes");
    assert_eq!(shown(&settings, None), 1);
    assert_eq!(shown(&Settings::default(), Some("C")), 1);
}

#[test]
fn a_model_that_never_ends_is_ended() {
    let (melody, settings) = (melody(4), with_drums());
    let ask = Ask::Arrange(Bar::of_constant_meter(2, Meter::COMMON));
    let request = request(ask, &melody, &[], &settings);
    let notes = strokes(&mut drummer(-1e6), &request, &written(ask, &settings, Some("C"))).expect("it works");
    // It leaps ahead at random, but goes on to the last tick of each segment.
    assert!(notes.iter().any(|note| note.note.start == 96 + 23) && notes.iter().any(|note| note.note.start == 96 + 47));
}

#[test]
fn a_broken_model_is_an_error_in_words() {
    let (melody, settings) = (melody(4), with_drums());
    let ask = Ask::Arrange(Bar::of_constant_meter(2, Meter::COMMON));
    let request = request(ask, &melody, &[], &settings);
    let error = strokes(&mut drummer(f32::NAN), &request, &written(ask, &settings, Some("C"))).expect_err("broken");
    assert_eq!(error.to_string(), "what it computed is not a number");
}
