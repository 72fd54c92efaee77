//! Where everything stands in the timeline, in points from its upper left corner. Pure.
//!
//! Only what is seen is laid out: the cost of a frame does not depend on the length of the song.

use super::drum_lane::Drum;
use super::score::{GridBar, Score, ScoreBar, ScoreNote, ShownChord, Voice};
use super::selection::{Lane, Selection};
use super::viewport::Viewport;
use crate::hearing::HELD;
use crate::ledger::BarState;
use crate::music::{Bar, Note, Part, Segment, Ticks};
use std::ops::RangeInclusive;

/// Closer beats would be a grey veil.
const CLOSEST_BEATS: f32 = 8.0;
/// Ticks that a stroke of the drums takes at most: less than from one sixteenth to the next.
const STROKE: f64 = 2.0;

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Area {
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

impl Area {
    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    /// Whether a point lies in it, or so close that it is meant.
    fn is_meant(&self, x: f32, y: f32) -> bool {
        const NEAR: f32 = 2.0;
        (self.left - NEAR..self.right + NEAR).contains(&x) && (self.top - 1.0..self.bottom + 1.0).contains(&y)
    }
}

/// The timeline from top to bottom, each band as wide as it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bands {
    /// Bar numbers.
    pub ruler: Area,
    /// How the music of each bar came about.
    pub states: Area,
    pub roll: Area,
    /// No height where no drums are played.
    pub drums: Area,
}

impl Bands {
    pub fn of(width: f32, height: f32, drum_rows: usize) -> Self {
        const RULER: f32 = 17.0;
        const STATES: f32 = 15.0;
        const DRUM: f32 = 11.0;
        /// Of the height below the ruler.
        const MOST_DRUMS: f32 = 0.45;
        let band = |top, bottom| Area { left: 0.0, top, right: width, bottom };
        let below = RULER + STATES;
        let drums = (drum_rows as f32 * DRUM).min((height - below).max(0.0) * MOST_DRUMS);
        let floor = height.max(below);
        Self {
            ruler: band(0.0, RULER),
            states: band(RULER, below),
            roll: band(below, floor - drums),
            drums: band(floor - drums, floor),
        }
    }
}

/// Rows of keys in the roll.
#[derive(Debug, Clone, PartialEq)]
pub struct Keys {
    pub keys: RangeInclusive<u8>,
    bottom: f32,
    pub row: f32,
}

impl Keys {
    pub fn of(roll: &Area, keys: RangeInclusive<u8>) -> Self {
        let rows = f32::from(keys.end() - keys.start()) + 1.0;
        Self { bottom: roll.bottom, row: roll.height() / rows, keys }
    }

    /// The lower edge of a key's row.
    pub fn bottom_of(&self, key: u8) -> f32 {
        self.bottom - (f32::from(key) - f32::from(*self.keys.start())) * self.row
    }

    /// A note of a thin row may reach into the row above, else it could not be seen.
    fn area(&self, key: u8, left: f32, right: f32) -> Area {
        const THINNEST: f32 = 3.0;
        let bottom = self.bottom_of(key);
        let gap = if self.row > 5.0 { 1.0 } else { 0.0 };
        Area { left, top: bottom - (self.row - gap).max(THINNEST), right, bottom }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BarBox {
    pub bar: GridBar,
    pub left: f32,
    pub right: f32,
    /// As musicians count, where there is room for it.
    pub number: Option<i32>,
    pub state: Option<BarState>,
    pub listened: bool,
    pub wanted: bool,
    pub selected: Option<Lane>,
    /// The word for its state stands in it: it is the first of a run that has room for it.
    pub named: bool,
    /// Its chords are settled, and from here on its music is not.
    pub planned: Option<f32>,
}

impl BarBox {
    /// How its music has come about, in a word.
    pub fn word(&self) -> Option<&'static str> {
        match self.state {
            Some(_) if self.wanted => Some("new…"),
            Some(BarState::Anticipated) => Some("anticipated"),
            Some(BarState::Arranged) => Some("arranged"),
            Some(BarState::Edited) => Some("edited"),
            Some(BarState::Locked) => Some("locked"),
            None => self.planned.map(|_| "planned"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoteBox {
    pub area: Area,
    pub note: ScoreNote,
    pub bar: Bar,
    /// It will be written anew before it is played. The melody has been heard, wherever the playhead is.
    pub planned: bool,
}

/// Neighbouring segments of a bar that have the same chord.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChordBox {
    pub left: f32,
    pub right: f32,
    pub shown: Option<ShownChord>,
    pub bar: GridBar,
    pub first: Segment,
    pub last: Segment,
    pub sounds_now: bool,
    pub selected: bool,
}

/// All that is seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub bands: Bands,
    pub keys: Keys,
    pub drums: Vec<Drum>,
    pub bars: Vec<BarBox>,
    pub beats: Vec<f32>,
    /// The later ones lie above the earlier ones.
    pub notes: Vec<NoteBox>,
    pub chords: Vec<ChordBox>,
    pub playhead: Option<f32>,
}

/// What is laid out.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub score: &'a Score,
    /// The melody of bars that the score does not have yet.
    pub sung: &'a [Note],
    pub viewport: &'a Viewport,
    pub selection: Option<&'a Selection>,
    /// In ticks.
    pub playhead: f64,
}

impl Picture {
    pub fn of(subject: &Subject<'_>, width: f32, height: f32) -> Self {
        let score = subject.score;
        let drums = score.drums().to_vec();
        let bands = Bands::of(width, height, drums.len());
        let keys = Keys::of(&bands.roll, score.keys_with(subject.sung));
        let playhead = subject.viewport.x_of(subject.playhead);
        let playhead = (0.0..=width).contains(&playhead).then_some(playhead);
        let (bars, beats, notes, chords) = Default::default();
        let mut picture = Self { bands, keys, drums, bars, beats, notes, chords, playhead };
        let visible = subject.viewport.visible();
        for bar in score.grid(visible.start.floor() as Ticks..visible.end.ceil() as Ticks) {
            picture.add_bar(subject, &bar);
        }
        subject.sung.iter().for_each(|note| picture.add_sung(subject, note));
        // Over the parts it is played to.
        picture.notes.sort_by_key(|shown| shown.note.voice == Voice::Melody);
        picture
    }

    fn add_bar(&mut self, subject: &Subject<'_>, bar: &GridBar) {
        let x = |tick: Ticks| subject.viewport.x_of(f64::from(tick));
        let known = subject.score.known(bar);
        let first = self.bars.is_empty();
        let mut shown = BarBox {
            bar: *bar,
            left: x(bar.bar.start),
            right: x(bar.end),
            number: is_numbered(bar, x(bar.bar.end()) - x(bar.bar.start)).then_some(bar.bar.index.0 + 1),
            state: known.and_then(|known| known.state),
            listened: known.is_some_and(|known| known.listened),
            wanted: known.is_some_and(|known| known.wanted),
            selected: subject.selection.filter(|selected| selected.contains(&bar.bar)).map(|selected| selected.lane),
            named: false,
            planned: subject.score.is_planned(bar).then(|| planned_from(subject, bar)).flatten(),
        };
        shown.named = self.is_first_with_room(&shown);
        self.add_beats(subject, bar);
        // Where a window begins between known bars, notes may sound on from the one before.
        let before = if first { known.or_else(|| subject.score.last_before(bar.bar.start)) } else { known };
        before.into_iter().for_each(|known| self.add_notes(subject, known, first, shown.planned.is_some()));
        self.add_chords(subject, bar, shown.selected == Some(Lane::Chords));
        self.bars.push(shown);
    }

    fn is_first_with_room(&self, shown: &BarBox) -> bool {
        /// For a sign and the longest word.
        const ROOM: f32 = 66.0;
        let run = self.bars.iter().rev().take_while(|before| before.word() == shown.word());
        let has_room = shown.right - shown.left.max(0.0) >= ROOM;
        shown.word().is_some() && has_room && !run.into_iter().any(|before| before.named)
    }

    fn add_beats(&mut self, subject: &Subject<'_>, bar: &GridBar) {
        let beat = bar.bar.meter.beat_length();
        let x = |tick: Ticks| subject.viewport.x_of(f64::from(tick));
        if x(beat) - x(0) >= CLOSEST_BEATS {
            let within = (bar.bar.start + beat..bar.end).step_by(beat as usize);
            self.beats.extend(within.map(x).filter(|x| *x >= 0.0));
        }
    }

    /// Each note once: in the bar where it begins, or in the first that is seen.
    fn add_notes(&mut self, subject: &Subject<'_>, known: &ScoreBar, first: bool, planned: bool) {
        let visible = subject.viewport.visible();
        let begins = |note: &&ScoreNote| first || note.start >= known.bar.start;
        let seen = |note: &&ScoreNote| note.played.1 > visible.start && note.played.0 < visible.end;
        for note in known.notes.iter().filter(begins).filter(seen) {
            let (left, right) = (subject.viewport.x_of(note.played.0), subject.viewport.x_of(note.played.1));
            let area = match note.voice {
                Voice::Part(Part::Drums) => {
                    let widest = subject.viewport.x_of(note.played.0 + STROKE) - left;
                    self.drum_area(Drum::of(note.key), left, widest)
                }
                Voice::Melody | Voice::Part(_) => self.keys.area(note.key.number(), left, right.max(left + 2.0)),
            };
            let planned = planned && note.voice != Voice::Melody && note.played.0 >= subject.playhead;
            self.notes.push(NoteBox { area, note: *note, bar: known.bar, planned });
        }
    }

    /// What is still held reaches to the playhead.
    fn add_sung(&mut self, subject: &Subject<'_>, note: &Note) {
        let (start, visible) = (f64::from(note.start), subject.viewport.visible());
        let end = if note.duration < HELD { f64::from(note.end()) } else { subject.playhead.max(start) };
        if end < visible.start || start >= visible.end {
            return;
        }
        let (left, right) = (subject.viewport.x_of(start), subject.viewport.x_of(end));
        let area = self.keys.area(note.key.number(), left, right.max(left + 2.0));
        let Note { start, key, velocity, .. } = *note;
        let played = (f64::from(start), end);
        let note = ScoreNote { voice: Voice::Melody, key, velocity, start, played, silent: false };
        self.notes.push(NoteBox { area, note, bar: subject.score.grid_bar(start).bar, planned: false });
    }

    /// A stroke has no length: as wide as it is high, where it does not touch the next.
    fn drum_area(&self, drum: Drum, left: f32, widest: f32) -> Area {
        let (top, bottom) = self.drum_row(self.drums.iter().position(|known| *known == drum).unwrap_or(0));
        let (top, bottom) = (top + 1.0, bottom - 1.0);
        Area { left, top, right: left + (bottom - top).min(widest).max(1.5), bottom }
    }

    /// Top and bottom of a row of the drum lane, counted from the lowest.
    pub fn drum_row(&self, row: usize) -> (f32, f32) {
        let height = self.bands.drums.height() / self.drums.len().max(1) as f32;
        let bottom = self.bands.drums.bottom - row as f32 * height;
        (bottom - height, bottom)
    }

    fn add_chords(&mut self, subject: &Subject<'_>, bar: &GridBar, selected: bool) {
        let x = |tick: Ticks| subject.viewport.x_of(f64::from(tick));
        for segment in bar.bar.segments().filter(|segment| segment.start() < bar.end) {
            let shown = subject.score.chord(bar, &segment);
            let (start, end) = (segment.start(), segment.end().min(bar.end));
            let sounds_now = (f64::from(start)..f64::from(end)).contains(&subject.playhead);
            match self.chords.last_mut().filter(|last| last.bar == *bar && last.shown == shown) {
                Some(last) => {
                    (last.right, last.last) = (x(end), segment);
                    last.sounds_now |= sounds_now;
                }
                None => {
                    let (left, right, first, last) = (x(start), x(end), segment, segment);
                    self.chords.push(ChordBox { left, right, shown, bar: *bar, first, last, sounds_now, selected });
                }
            }
        }
    }

    /// The note under a point, the uppermost where they cover each other.
    pub fn note_at(&self, x: f32, y: f32) -> Option<&NoteBox> {
        self.notes.iter().rev().find(|shown| shown.area.is_meant(x, y))
    }

    pub fn bar_at(&self, x: f32) -> Option<&BarBox> {
        self.bars.iter().find(|shown| (shown.left..shown.right).contains(&x))
    }

    pub fn chord_at(&self, x: f32) -> Option<&ChordBox> {
        self.chords.iter().find(|shown| (shown.left..shown.right).contains(&x))
    }
}

/// What the playhead has passed has been played, whatever it was.
fn planned_from(subject: &Subject<'_>, bar: &GridBar) -> Option<f32> {
    let from = f64::from(bar.bar.start).max(subject.playhead);
    (from < f64::from(bar.end)).then(|| subject.viewport.x_of(from))
}

/// Every bar, or every second, fourth, ... so that the numbers do not touch.
fn is_numbered(bar: &GridBar, width: f32) -> bool {
    /// Two digits and a half, a little less than twice the narrowest bar.
    const NARROWEST: f32 = 27.5;
    let step = [1, 2, 4, 8].into_iter().find(|step| width * *step as f32 >= NARROWEST);
    step.is_some_and(|step| bar.bar.index.0.rem_euclid(step) == 0)
}

#[cfg(test)]
mod tests {
    use super::super::test_songs::{four, settings, song};
    use super::*;
    use crate::channels::SongView;
    use crate::music::{ChordPlan, Key, Note, Velocity};

    fn score(view: &SongView) -> Score {
        Score::of(view, &ChordPlan::default(), &settings())
    }

    fn viewport(start: f64, zoom: f64) -> Viewport {
        let mut viewport = Viewport::default();
        viewport.resize(868.0);
        viewport.zoom(zoom, 0.0);
        viewport.reveal(&(start..start + viewport.ticks()));
        viewport
    }

    fn picture(score: &Score, viewport: &Viewport) -> Picture {
        Picture::of(&Subject { score, sung: &[], viewport, selection: None, playhead: 0.0 }, 868.0, 300.0)
    }

    #[test]
    fn a_longer_song_is_no_more_work() {
        let (short, long) = (score(&song(80)), score(&song(300)));
        for zoom in [0.01, 1.0, 10.0] {
            let viewport = viewport(480.0, zoom);
            let (of_short, of_long) = (picture(&short, &viewport), picture(&long, &viewport));
            assert_eq!(of_short.notes.len(), of_long.notes.len());
            assert_eq!(of_short.chords, of_long.chords);
            let bars = viewport.ticks() / 48.0;
            assert!((of_long.bars.len() as f64) < bars + 3.0 && of_long.bars.len() <= 65, "{}", of_long.bars.len());
        }
    }

    #[test]
    fn bars_stand_side_by_side_from_edge_to_edge() {
        for (start, zoom) in [(0.0, 1.0), (-200.0, 0.3), (5000.0, 3.0), (100.5, 0.01)] {
            let picture = picture(&score(&song(20)), &viewport(start, zoom));
            let (first, last) = (picture.bars[0], *picture.bars.last().expect("there are bars"));
            assert!(first.left <= 0.0 && first.right > 0.0 && last.left < 868.0 && last.right >= 868.0 - 0.01);
            for pair in picture.bars.windows(2) {
                assert!((pair[0].right - pair[1].left).abs() < 0.01);
            }
        }
    }

    #[test]
    fn every_note_stands_once_in_its_row() {
        let score = score(&song(6));
        let picture = picture(&score, &viewport(0.0, 1.0));
        let all: usize = score.grid(0..288).map(|bar| score.known(&bar).map_or(0, |known| known.notes.len())).sum();
        assert_eq!(picture.notes.len(), all);
        for shown in &picture.notes {
            let band = match shown.note.voice {
                Voice::Part(Part::Drums) => picture.bands.drums,
                Voice::Melody | Voice::Part(_) => picture.bands.roll,
            };
            assert!(shown.area.top >= band.top - 3.0 && shown.area.bottom <= band.bottom + 0.01, "{shown:?}");
            assert_eq!(picture.bar_at(shown.area.left + 0.5).map(|bar| bar.bar.bar), Some(shown.bar));
        }
    }

    #[test]
    fn higher_notes_stand_higher() {
        let picture = picture(&score(&song(2)), &viewport(0.0, 1.0));
        let in_roll = |shown: &&NoteBox| shown.note.voice != Voice::Part(Part::Drums);
        let mut notes: Vec<&NoteBox> = picture.notes.iter().filter(in_roll).collect();
        notes.sort_by_key(|shown| shown.note.key);
        assert!(notes.windows(2).all(|pair| pair[0].area.bottom >= pair[1].area.bottom));
        let melody = picture.notes.iter().position(|shown| shown.note.voice == Voice::Melody);
        let last_of_band = picture.notes.iter().rposition(|shown| shown.note.voice != Voice::Melody);
        assert!(melody > last_of_band, "the melody lies above the band");
    }

    #[test]
    fn a_note_from_before_the_window_is_seen_as_far_as_it_sounds() {
        let mut view = song(3);
        let held = Note { start: 10, key: Key::folded(100), duration: 120, velocity: Velocity::default() };
        view.ledger.hear(four(0), vec![held]);
        view.ledger.clear(48..97);
        let score = score(&view);
        let seen = |start: f64| {
            let picture = picture(&score, &viewport(start, 6.0));
            picture.notes.iter().filter(|shown| shown.note.key == held.key).count()
        };
        assert_eq!([0.0, 49.0, 60.0, 129.0, 131.0].map(seen), [1, 1, 1, 1, 0]);
    }

    #[test]
    fn what_is_under_the_pointer_is_found() {
        let picture = picture(&score(&song(4)), &viewport(0.0, 1.0));
        let melody = picture.notes.iter().find(|shown| shown.note.voice == Voice::Melody).expect("it is heard");
        let (x, y) = ((melody.area.left + melody.area.right) / 2.0, (melody.area.top + melody.area.bottom) / 2.0);
        assert_eq!(picture.note_at(x, y), Some(melody));
        assert_eq!(picture.note_at(x, picture.bands.ruler.top), None);
        assert_eq!(picture.chord_at(x).map(|chord| chord.bar.bar), Some(four(0)));
    }

    #[test]
    fn equal_chords_of_a_bar_are_one_box() {
        let mut view = song(2);
        let (segment, planned) = view.chords[3];
        view.ledger.lock_chords([(segment, planned)]);
        let picture = picture(&score(&view), &viewport(0.0, 1.0));
        let first: Vec<(u8, u8)> =
            picture.chords.iter().take(3).map(|chord| (chord.first.number, chord.last.number)).collect();
        assert_eq!(first, [(0, 1), (0, 0), (1, 1)], "the second bar's second half is locked");
    }

    #[test]
    fn only_what_lies_ahead_of_the_playhead_is_planned() {
        let mut view = song(4);
        view.ledger.clear(96..145);
        let chord = |index| (four(index).segment_at(48 * index), view.chords[0].1);
        view.ahead = (1..6).map(chord).collect();
        let (score, viewport) = (score(&view), viewport(0.0, 1.0));
        let planned = |playhead: f64| {
            let subject = Subject { score: &score, sung: &[], viewport: &viewport, selection: None, playhead };
            let picture = Picture::of(&subject, 868.0, 300.0);
            picture.bars.iter().filter_map(|bar| Some((bar.bar.bar.index.0, bar.planned?))).collect::<Vec<_>>()
        };
        let x = |tick: f64| viewport.x_of(tick);
        assert_eq!(planned(0.0)[..2], [(2, x(96.0)), (3, x(144.0))], "what is arranged is settled");
        assert_eq!(planned(120.0)[..2], [(2, x(120.0)), (3, x(144.0))]);
        assert_eq!(planned(150.0)[0], (3, x(150.0)));
    }

    #[test]
    fn a_run_of_bars_says_once_how_it_has_come_about() {
        let mut view = song(6);
        view.ledger.lock(48..97);
        view.ledger.clear(240..241);
        let picture = picture(&score(&view), &viewport(0.0, 1.0));
        let words: Vec<_> =
            picture.bars.iter().filter(|bar| bar.named).map(|bar| (bar.bar.bar.index.0, bar.word())).collect();
        assert_eq!(words, [(0, Some("arranged")), (1, Some("locked")), (3, Some("arranged"))]);
    }

    #[test]
    fn the_melody_of_a_bar_that_is_under_way_is_shown_as_it_is_played() {
        let (score, viewport) = (score(&SongView::default()), viewport(0.0, 1.0));
        let note =
            |start, key, duration| Note { start, key: Key::folded(key), duration, velocity: Velocity::default() };
        let sung = [note(0, 96, 12), note(12, 60, HELD), note(96 * 48, 62, 12)];
        let subject = Subject { score: &score, sung: &sung, viewport: &viewport, selection: None, playhead: 20.0 };
        let picture = Picture::of(&subject, 868.0, 300.0);
        let x = |tick: f64| viewport.x_of(tick);
        let shown: Vec<(f32, f32)> = picture.notes.iter().map(|shown| (shown.area.left, shown.area.right)).collect();
        assert_eq!(shown, [(x(0.0), x(12.0)), (x(12.0), x(20.0))], "what is held reaches to the playhead");
        assert!(picture.notes.iter().all(|shown| shown.note.voice == Voice::Melody && !shown.planned));
        assert!(picture.keys.keys.contains(&96), "there is room for it");
    }

    #[test]
    fn a_word_that_the_edge_would_cut_stands_in_the_next_bar() {
        let picture = picture(&score(&song(6)), &viewport(20.0, 1.0));
        let named: Vec<i32> = picture.bars.iter().filter(|bar| bar.named).map(|bar| bar.bar.bar.index.0).collect();
        assert_eq!(named, [1]);
    }

    #[test]
    fn numbers_keep_their_distance() {
        let score = score(&song(80));
        for zoom in [0.01, 0.3, 0.5, 1.0, 5.0] {
            let picture = picture(&score, &viewport(0.0, zoom));
            let numbered: Vec<&BarBox> = picture.bars.iter().filter(|bar| bar.number.is_some()).collect();
            assert!(numbered.windows(2).all(|pair| pair[1].left - pair[0].left >= 27.4), "{zoom}");
            assert_eq!(numbered[0].number, Some(1));
        }
    }

    #[test]
    fn bands_fit_into_any_height() {
        for height in [0.0, 20.0, 60.0, 200.0, 900.0] {
            for rows in [0, 3, Drum::COUNT] {
                let Bands { ruler, states, roll, drums } = Bands::of(500.0, height, rows);
                let edges = [ruler.top, ruler.bottom, states.bottom, roll.top, roll.bottom, drums.top, drums.bottom];
                assert!(edges.windows(2).all(|pair| pair[0] <= pair[1] + 0.01), "{height} {rows}: {edges:?}");
                assert!(rows > 0 || drums.height() == 0.0);
            }
        }
    }
}
