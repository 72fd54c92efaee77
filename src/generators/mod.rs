//! What writes music. One file per engine: those of the band all answer the same [`Request`]; [`enhancer`] and
//! [`extender`] work on the melody itself.

pub mod band;
pub mod context;
pub mod controls;
pub mod drums;
pub mod dynamics;
pub mod encoding;
pub mod enhancer;
pub mod extender;
pub mod gan;
pub mod grammar;
pub mod groove;
pub mod library;
pub mod melodists;
#[cfg(feature = "inference")]
pub mod onnx;
pub mod pace;
pub mod reader;
pub mod rehearsal;
pub mod rolls;
pub mod rules;
pub mod sampling;
pub mod transformer;
pub mod watched;

use crate::music::{Bar, Meter, Note, Part, PerPart, PlannedChord, Segment, TICKS_PER_QUARTER, Ticks, Timing};
use crate::settings::Settings;
use serde::{Deserialize, Serialize};

/// A note of the accompaniment, in absolute ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartNote {
    pub part: Part,
    /// On the grid.
    pub note: Note,
    /// How far from the grid it is played, from its strike to its release.
    pub timing: Timing,
}

impl PartNote {
    /// Played where the grid says.
    pub fn on_grid(part: Part, note: Note) -> Self {
        Self { part, note, timing: Timing::default() }
    }

    /// Where it is struck, in quarter notes.
    pub fn struck_at(&self) -> f64 {
        self.played_at(self.note.start)
    }

    /// Where it is released, in quarter notes.
    pub fn released_at(&self) -> f64 {
        self.played_at(self.note.end())
    }

    fn played_at(&self, tick: Ticks) -> f64 {
        (f64::from(tick) + self.timing.ticks()) / f64::from(TICKS_PER_QUARTER)
    }
}

/// A segment that was answered, with all that shaped the answer: what a generator sees of the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentAnswer {
    pub segment: Segment,
    pub chord: PlannedChord,
    /// By part, then start, then key.
    pub notes: Vec<PartNote>,
    pub settings: Settings,
    pub quarters_per_minute: f32,
    /// See [`crate::channels::Cut::margin`].
    pub margin: Ticks,
}

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    /// One segment, before its melody is heard.
    Jam(Segment),
    /// A whole bar whose melody is known.
    Arrange(Bar),
}

impl Ask {
    pub fn bar(&self) -> Bar {
        match self {
            Self::Jam(segment) => segment.bar,
            Self::Arrange(bar) => *bar,
        }
    }

    pub fn start(&self) -> Ticks {
        match self {
            Self::Jam(segment) => segment.start(),
            Self::Arrange(bar) => bar.start,
        }
    }

    pub fn end(&self) -> Ticks {
        match self {
            Self::Jam(segment) => segment.end(),
            Self::Arrange(bar) => bar.end(),
        }
    }

    pub fn segments(&self) -> impl Iterator<Item = Segment> + use<> {
        let (start, end) = (self.start(), self.end());
        self.bar().segments().filter(move |segment| start <= segment.start() && segment.end() <= end)
    }
}

/// A question to a generator.
///
/// The answer depends on the request alone: caches may only make it faster.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub ask: Ask,
    /// The melody by start and key, in absolute ticks. A note still held has an end far in the future.
    /// In a jam, nothing that was struck in the asked segment; arranging, all notes of the bar.
    pub melody: &'a [Note],
    /// Answers to the segments just before, oldest first, without gaps.
    pub past: &'a [SegmentAnswer],
    /// Chords given for the asked segments, in order; `None` where the generator is to choose. As many as segments.
    pub chords: &'a [Option<PlannedChord>],
    /// Parts to be written.
    pub parts: PerPart<bool>,
    /// Notes in the asked segments, of other parts, that stay as they are: what is written goes with them. By part, start
    /// and key.
    pub standing: &'a [PartNote],
    pub settings: &'a Settings,
    pub quarters_per_minute: f32,
    /// See [`crate::channels::Cut::margin`].
    pub margin: Ticks,
    /// Random numbers come from this alone.
    pub seed: u64,
}

impl Request<'_> {
    /// The parts that play in the asked segments: those to be written and those that stand.
    pub fn playing(&self) -> PerPart<bool> {
        PerPart::from_fn(|part| self.parts[part] || self.standing.iter().any(|note| note.part == part))
    }

    /// Before a note is heard or a chord given, a band that jams listens: any chord would be a guess at the key.
    fn is_waiting(&self) -> bool {
        let heard = self.melody.iter().any(|note| note.start < self.ask.start());
        let planned = self.chords.iter().any(Option::is_some);
        let playing = self.past.iter().any(|answer| answer.chord.chord.is_some());
        matches!(self.ask, Ask::Jam(_)) && !heard && !planned && !playing
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GeneratorError(pub String);

/// Writes accompaniment. Runs on the inference thread: may allocate, take its time and fail.
pub trait Generator: Send {
    /// As shown to the user and chosen on the command line.
    fn name(&self) -> &str;

    /// The parts it can write; the others are written by rule from its chords.
    fn parts(&self) -> PerPart<bool>;

    /// Whether it was made for this metre; if not, the rule-based generator answers.
    fn plays(&self, meter: Meter) -> bool;

    /// Where it computes, where that can change while it plays.
    fn device(&self) -> Option<String> {
        None
    }

    /// There is time for a short piece of other work.
    fn at_rest(&mut self) {}

    /// Between answers while music plays: keeps a device awake that would be slow at the next. Answers are the same without.
    ///
    /// # Errors
    /// When the device is lost; the next answer comes from elsewhere.
    fn keep_warm(&mut self) -> Result<(), GeneratorError> {
        Ok(())
    }

    /// There is time for a short piece of what has to be done before a request like this one can be answered, which is yet
    /// to come: its melody goes on. Returns whether there was something to do. Answers are the same without.
    fn read_ahead(&mut self, _request: &Request<'_>) -> bool {
        false
    }

    /// Writes the answer, handing out each note as soon as it is decided. Onsets lie in the asked segments.
    /// Returns the chord of each asked segment.
    ///
    /// # Errors
    /// When the model fails; notes already handed out are then taken back by the caller.
    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError>;
}

/// Plays drums to what the others have written. Runs on the inference thread: may allocate, take its time and fail.
pub trait Drummer: Send {
    /// As shown to the user.
    fn name(&self) -> &str;

    /// Whether it plays to these answers of the asked segments, which are complete but for the drums; if not, the rules do:
    /// in metres it was not made for, and while the band still waits for something to play with.
    fn plays(&self, request: &Request<'_>, written: &[SegmentAnswer]) -> bool;

    /// As [`Generator::read_ahead`].
    fn read_ahead(&mut self, _request: &Request<'_>) -> bool {
        false
    }

    /// As [`Generator::keep_warm`].
    ///
    /// # Errors
    /// When the device is lost; the next drums come from elsewhere.
    fn keep_warm(&mut self) -> Result<(), GeneratorError> {
        Ok(())
    }

    /// Writes the drums of the asked segments, handing out each stroke as soon as it is decided.
    ///
    /// # Errors
    /// When the model fails; strokes already handed out stay.
    fn play(
        &mut self,
        request: &Request<'_>,
        written: &[SegmentAnswer],
        write: &mut dyn FnMut(PartNote),
    ) -> Result<(), GeneratorError>;
}
