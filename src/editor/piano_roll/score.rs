//! The song as the timeline shows it, indexed by bar, so that what is seen is found without a look at the rest. Pure.

use super::drum_lane::Drum;
use crate::channels::SongView;
use crate::ledger::{BarState, LedgerBar};
use crate::music::{
    Bar, BarIndex, Chord, ChordPlan, Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Segment, Ticks,
    Velocity,
};
use crate::settings::PartSettings;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

/// Who plays a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    Melody,
    Part(Part),
}

impl Voice {
    pub fn name(self) -> &'static str {
        match self {
            Self::Melody => "Melody",
            Self::Part(part) => part.name(),
        }
    }
}

/// A note as it sounds: in the octave and as loud as its part is set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreNote {
    pub voice: Voice,
    pub key: Key,
    pub velocity: Velocity,
    /// Onset on the grid: the bar it belongs to.
    pub start: Ticks,
    /// Where it is struck and released, in ticks.
    pub played: (f64, f64),
    /// Its part is switched off, or silenced by another's solo.
    pub silent: bool,
}

/// A bar that something is known about.
#[derive(Debug, Clone)]
pub struct ScoreBar {
    pub bar: Bar,
    /// `None`: nothing is written for it.
    pub state: Option<BarState>,
    /// It was played while the band was listening.
    pub listened: bool,
    /// It is waiting to be written anew.
    pub wanted: bool,
    pub locked_chords: [Option<PlannedChord>; 2],
    has_melody: bool,
    /// The notes that sound in it, those from bars before too.
    pub notes: Vec<ScoreNote>,
}

/// Where the chord of a segment comes from, as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChordSource {
    /// Fixed at this place.
    Locked,
    /// Typed as a plan for the whole song.
    Yours,
    Heard,
    /// What followed when the same melody was heard before.
    Loop,
    Proposed,
    Rule,
}

impl ChordSource {
    pub fn name(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Yours => "yours",
            Self::Heard => "heard",
            Self::Loop => "loop",
            Self::Proposed => "proposed",
            Self::Rule => "by rule",
        }
    }

    pub fn explanation(self) -> &'static str {
        match self {
            Self::Locked => "fixed here, until you clear it",
            Self::Yours => "from the chords you typed",
            Self::Heard => "from the melody heard here",
            Self::Loop => "from where this melody was heard before",
            Self::Proposed => "the model's own choice",
            Self::Rule => "chosen by rule",
        }
    }
}

/// The chord of a segment; `chord` is `None` for N.C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownChord {
    pub chord: Option<Chord>,
    pub source: ChordSource,
}

impl ShownChord {
    pub fn name(&self) -> String {
        self.chord.map_or_else(|| "N.C.".into(), |chord| chord.to_string())
    }
}

/// A bar of the grid: a known one, or one as the metre goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GridBar {
    pub bar: Bar,
    /// Where the next begins: before the bar's own end where what is known does not fit the metre.
    pub end: Ticks,
    /// Its place among the known bars.
    known: Option<usize>,
}

impl GridBar {
    /// Commands may make something of it: it takes no room from a bar that is known.
    pub fn is_whole(&self) -> bool {
        self.end == self.bar.end()
    }
}

#[derive(Debug, Clone, Default)]
pub struct Score {
    /// In the order of the song; they do not overlap.
    bars: Vec<ScoreBar>,
    /// The chords that are settled for what comes next, in order.
    ahead: Vec<(Segment, PlannedChord)>,
    /// Those of what was answered, in order.
    chords: Vec<(Segment, PlannedChord)>,
    plan: ChordPlan,
    keys: Option<(Key, Key)>,
    drums: Vec<Drum>,
}

impl Score {
    pub fn of(view: &SongView, plan: &ChordPlan, parts: &PerPart<PartSettings>) -> Self {
        let mut bars: BTreeMap<Ticks, ScoreBar> =
            view.ledger.bars().map(|entry| (entry.bar.start, ScoreBar::of(entry))).collect();
        for (segment, _) in &view.ahead {
            if !overlaps(&bars, &segment.bar) {
                bars.insert(segment.bar.start, ScoreBar::empty(segment.bar));
            }
        }
        let (chords, ahead) = (view.chords.clone(), view.ahead.clone());
        let bars = bars.into_values().collect();
        let mut score = Self { bars, ahead, chords, plan: plan.clone(), ..Self::default() };
        let heard = parts.heard();
        for entry in view.ledger.bars() {
            let melody = entry.melody.iter().flatten().map(melody_note);
            let answers = entry.answers.iter().flat_map(|answer| &answer.notes);
            let written = answers.map(|note| {
                let settings = &parts[note.part];
                let (lean, sounds) = (note.timing.ticks(), settings.apply(note.part, note.note));
                let played = (f64::from(sounds.start) + lean, f64::from(sounds.end()) + lean);
                let (key, velocity, start) = (sounds.key, sounds.velocity, sounds.start);
                ScoreNote { voice: Voice::Part(note.part), key, velocity, start, played, silent: !heard[note.part] }
            });
            melody.chain(written).for_each(|note| score.add(note));
        }
        score.drums.sort_unstable();
        score
    }

    /// The stretch that can be scrolled over: what is known, where the playhead is, and room to read ahead.
    pub fn extent(&self, playhead: f64) -> Range<f64> {
        const AHEAD: Ticks = 9 * Meter::COMMON.bar_length();
        let first = self.bars.first().map_or(0, |known| known.bar.start).min(0);
        let last = self.bars.last().map_or(0, |known| known.bar.end()).max(0);
        f64::from(first)..f64::from(last).max(playhead) + f64::from(AHEAD)
    }

    pub fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    /// The first and the last bar of the song as far as it is known.
    pub fn ends(&self) -> Option<(Bar, Bar)> {
        Some((self.bars.first()?.bar, self.bars.last()?.bar))
    }

    /// Keys to make room for, with those of a melody that is not in the song yet: three octaves at least.
    pub fn keys_with(&self, sung: &[Note]) -> RangeInclusive<u8> {
        const LEAST: u8 = 36;
        const AROUND: u8 = 2;
        let sung = sung.iter().map(|note| (note.key, note.key));
        let both = sung.chain(self.keys).reduce(|(low, high), (lower, higher)| (low.min(lower), high.max(higher)));
        let Some((low, high)) = both else { return 36..=84 };
        let (low, high) = (low.number().saturating_sub(AROUND), (high.number() + AROUND).min(127));
        let missing = LEAST.saturating_sub(high - low);
        let low = low.saturating_sub(missing / 2).min(127 - LEAST);
        low..=high.max(low + LEAST)
    }

    /// The drums that are struck anywhere, from the lowest row up.
    pub fn drums(&self) -> &[Drum] {
        &self.drums
    }

    /// The bars in a stretch, without gaps; the first of them may begin before it.
    pub fn grid(&self, ticks: Range<Ticks>) -> impl Iterator<Item = GridBar> {
        let first = self.grid_bar(ticks.start);
        let bars = std::iter::successors(Some(first), |before| Some(self.bar_after(before)));
        bars.take_while(move |bar| bar.bar.start < ticks.end)
    }

    /// The bar that holds a position.
    pub fn grid_bar(&self, position: Ticks) -> GridBar {
        let after = self.bars.partition_point(|known| known.bar.start <= position);
        let Some(place) = after.checked_sub(1) else {
            let next = self.bars.first().map_or(Bar::of_constant_meter(0, Meter::COMMON), |known| known.bar);
            return self.guess(next, position, Some(0));
        };
        let known = self.bars[place].bar;
        if position < known.end() {
            return GridBar { bar: known, end: known.end(), known: Some(place) };
        }
        self.guess(known, position, Some(after))
    }

    /// The bar after a bar of the grid.
    pub fn bar_after(&self, before: &GridBar) -> GridBar {
        self.grid_bar(before.end)
    }

    pub fn bar_before(&self, after: &GridBar) -> GridBar {
        self.grid_bar(after.bar.start - 1)
    }

    /// The bar at `position` if the metre of `from` goes on, cut short by the known bar `next`.
    fn guess(&self, from: Bar, position: Ticks, next: Option<usize>) -> GridBar {
        let bars = (position - from.start).div_euclid(from.meter.bar_length());
        let start = from.start + bars * from.meter.bar_length();
        let bar = Bar { index: BarIndex(from.index.0 + bars), start, meter: from.meter };
        let next = next.and_then(|place| self.bars.get(place)).map_or(Ticks::MAX, |known| known.bar.start);
        GridBar { bar, end: bar.end().min(next), known: None }
    }

    pub fn known(&self, bar: &GridBar) -> Option<&ScoreBar> {
        self.bars.get(bar.known?)
    }

    /// The last known bar that begins before a position: notes may sound on from it.
    pub fn last_before(&self, position: Ticks) -> Option<&ScoreBar> {
        let after = self.bars.partition_point(|known| known.bar.start < position);
        self.bars.get(after.checked_sub(1)?)
    }

    /// Known bars among those that begin in a range.
    pub fn known_in(&self, starts: &Range<Ticks>) -> &[ScoreBar] {
        let place = |tick| self.bars.partition_point(|known| known.bar.start < tick);
        let first = place(starts.start);
        &self.bars[first..place(starts.end).max(first)]
    }

    /// The chord that is to be played in a segment, as far as it is known.
    pub fn chord(&self, bar: &GridBar, segment: &Segment) -> Option<ShownChord> {
        let known = self.known(bar);
        if let Some(locked) = known.and_then(|known| known.locked_chords[usize::from(segment.number)]) {
            return Some(ShownChord { chord: locked.chord, source: ChordSource::Locked });
        }
        let played = || chord_in(&self.ahead, segment).or_else(|| chord_in(&self.chords, segment));
        let planned = self.plan.chord_of(segment).or_else(played)?;
        let source = match planned.source {
            PlanSource::User => ChordSource::Yours,
            PlanSource::Heard if known.is_some_and(|known| known.has_melody) => ChordSource::Heard,
            PlanSource::Heard => ChordSource::Loop,
            PlanSource::Proposed => ChordSource::Proposed,
            PlanSource::Rule => ChordSource::Rule,
        };
        Some(ShownChord { chord: planned.chord, source })
    }

    /// The chord at a position, and the one it changes to, if that is soon.
    pub fn now_and_next(&self, position: Ticks) -> Option<(ShownChord, Option<ShownChord>)> {
        const SOON_BARS: usize = 8;
        let bars = std::iter::successors(Some(self.grid_bar(position)), |before| Some(self.bar_after(before)));
        let segments = bars.take(SOON_BARS).flat_map(|bar| bar.bar.segments().map(move |segment| (bar, segment)));
        let from_here = segments.filter(|(_, segment)| segment.end() > position);
        let mut chords = from_here.map(|(bar, segment)| self.chord(&bar, &segment));
        let now = chords.next()??;
        Some((now, chords.flatten().find(|next| next.chord != now.chord)))
    }

    /// Whether a bar is still only a plan: its chords are settled, its music is not.
    pub fn is_planned(&self, bar: &GridBar) -> bool {
        let Some(((first, _), (last, _))) = self.ahead.first().zip(self.ahead.last()) else { return false };
        let is_ahead = bar.end > first.start() && bar.bar.start < last.end();
        let settled = |state| match state {
            BarState::Arranged | BarState::Edited | BarState::Locked => true,
            BarState::Anticipated => false,
        };
        is_ahead && !self.known(bar).and_then(|known| known.state).is_some_and(settled)
    }

    fn add(&mut self, note: ScoreNote) {
        if note.voice == Voice::Part(Part::Drums) {
            let drum = Drum::of(note.key);
            if !self.drums.contains(&drum) {
                self.drums.push(drum);
            }
        } else {
            let (low, high) = self.keys.unwrap_or((note.key, note.key));
            self.keys = Some((low.min(note.key), high.max(note.key)));
        }
        let first = self.bars.partition_point(|known| known.bar.end() <= note.start);
        let end = note.played.1;
        let sounds_in = |known: &&mut ScoreBar| f64::from(known.bar.start) < end;
        self.bars[first..].iter_mut().take_while(sounds_in).for_each(|known| known.notes.push(note));
    }
}

impl ScoreBar {
    fn empty(bar: Bar) -> Self {
        Self {
            bar,
            state: None,
            listened: false,
            wanted: false,
            locked_chords: [None; 2],
            has_melody: false,
            notes: Vec::new(),
        }
    }

    fn of(entry: &LedgerBar) -> Self {
        Self {
            state: (!entry.answers.is_empty()).then(|| entry.state()),
            listened: entry.listened,
            wanted: entry.wanted.0.contains(&true),
            locked_chords: entry.locked_chords,
            has_melody: entry.melody.is_some(),
            ..Self::empty(entry.bar)
        }
    }

    pub fn is_locked(&self) -> bool {
        self.state == Some(BarState::Locked)
    }
}

fn melody_note(note: &Note) -> ScoreNote {
    let played = (f64::from(note.start), f64::from(note.end()));
    let (key, velocity, start) = (note.key, note.velocity, note.start);
    ScoreNote { voice: Voice::Melody, key, velocity, start, played, silent: false }
}

fn chord_in(chords: &[(Segment, PlannedChord)], segment: &Segment) -> Option<PlannedChord> {
    let place = chords.binary_search_by_key(&segment.start(), |(known, _)| known.start()).ok()?;
    Some(chords[place].1)
}

fn overlaps(bars: &BTreeMap<Ticks, ScoreBar>, bar: &Bar) -> bool {
    bars.range(..bar.end()).next_back().is_some_and(|(_, known)| known.bar.end() > bar.start)
}

#[cfg(test)]
mod tests {
    use super::super::test_songs::{four, plan, settings, song};
    use super::*;
    use crate::ledger::Ledger;

    fn score(view: &SongView) -> Score {
        Score::of(view, &ChordPlan::default(), &settings())
    }

    fn shape(score: &Score, ticks: Range<Ticks>) -> Vec<(i32, Ticks, Ticks)> {
        score.grid(ticks).map(|bar| (bar.bar.index.0, bar.bar.start, bar.end)).collect()
    }

    #[test]
    fn the_grid_goes_on_where_nothing_is_known() {
        assert_eq!(shape(&Score::default(), -50..50), [(-2, -96, -48), (-1, -48, 0), (0, 0, 48), (1, 48, 96)]);
        let waltz = Meter::new(3, 4).expect("usual");
        let mut ledger = Ledger::default();
        ledger.hear(four(0), Vec::new());
        ledger.hear(Bar { index: BarIndex(3), start: 150, meter: waltz }, Vec::new());
        let score = score(&SongView { ledger, ..SongView::default() });
        let grid = shape(&score, 0..250);
        assert_eq!(
            grid,
            [(0, 0, 48), (1, 48, 96), (2, 96, 144), (3, 144, 150), (3, 150, 186), (4, 186, 222), (5, 222, 258)]
        );
        let cut = score.grid_bar(145);
        assert!(!cut.is_whole() && score.bar_before(&cut).is_whole() && score.bar_after(&cut).is_whole());
        assert_eq!(score.grid_bar(1_000_000).bar.index.0, 3 + (1_000_000 - 150) / 36, "far away in one step");
    }

    #[test]
    fn the_chord_that_sounds_is_told_with_the_one_it_changes_to() {
        let mut view = song(4);
        let chord = |name: &str| PlannedChord { chord: name.parse().ok(), source: PlanSource::User };
        view.ledger.lock_chords([(four(2).segment_at(120), chord("F"))]);
        let score = score(&view);
        let told = |position: Ticks| {
            let name = |shown: ShownChord| shown.name();
            score.now_and_next(position).map(|(now, next)| (now.name(), next.map(name)))
        };
        assert_eq!(told(10), Some(("C".into(), Some("F".into()))));
        assert_eq!(told(130), Some(("F".into(), Some("C".into()))));
        assert_eq!(told(150), Some(("C".into(), None)));
        assert_eq!(told(4800), None);
    }

    #[test]
    fn a_note_is_found_in_every_bar_it_sounds_in() {
        let mut view = song(4);
        let held = Note { start: 10, key: Key::folded(90), duration: 100, velocity: Velocity::default() };
        view.ledger.hear(four(0), vec![held]);
        let score = score(&view);
        let held_in = |index: i32| {
            let bar = score.grid_bar(48 * index);
            score.known(&bar).is_some_and(|known| known.notes.iter().any(|note| note.key == held.key))
        };
        assert_eq!([0, 1, 2, 3].map(held_in), [true, true, true, false]);
    }

    #[test]
    fn notes_are_shown_as_they_sound() {
        let mut parts = settings();
        (parts[Part::Bass].octave, parts[Part::Chords].on, parts[Part::Drums].on) = (1, false, true);
        let view = song(1);
        let score = Score::of(&view, &ChordPlan::default(), &parts);
        let bar = score.known(&score.grid_bar(0)).expect("it was heard").clone();
        let of = |part| bar.notes.iter().filter(move |note| note.voice == Voice::Part(part));
        let written = view.ledger.bars().flat_map(|entry| &entry.answers).flat_map(|answer| &answer.notes);
        let bass: Vec<Key> =
            written.filter(|note| note.part == Part::Bass).map(|note| note.note.key.octaves_up(1)).collect();
        assert_eq!(of(Part::Bass).map(|note| note.key).collect::<Vec<_>>(), bass);
        assert!(of(Part::Chords).all(|note| note.silent) && of(Part::Bass).all(|note| !note.silent));
        assert_eq!(score.drums().iter().map(|drum| drum.name()).collect::<Vec<_>>(), ["Kick", "Snare", "Hat"]);
    }

    #[test]
    fn chords_are_the_locked_ones_then_the_typed_ones_then_the_settled_ones() {
        let mut view = song(4);
        view.ahead =
            vec![(four(4).segment_at(192), PlannedChord { chord: "F".parse().ok(), source: PlanSource::Heard })];
        let names = |view: &SongView, text: &str| -> Vec<String> {
            let score = Score::of(view, &plan(text), &settings());
            let first_halves = score.grid(0..288).map(|bar| score.chord(&bar, &bar.bar.segment_at(bar.bar.start)));
            first_halves
                .map(|shown| shown.map_or("-".into(), |shown| format!("{} {}", shown.name(), shown.source.name())))
                .collect()
        };
        let settled = ["C proposed", "C proposed", "C proposed", "C proposed", "F loop", "-"];
        assert_eq!(names(&view, ""), settled);
        view.ledger.lock_chords([(
            four(1).segment_at(48),
            PlannedChord { chord: "Am".parse().ok(), source: PlanSource::Heard },
        )]);
        assert_eq!(names(&view, "")[1], "Am locked");
        view.ahead
            .insert(0, (four(3).segment_at(144), PlannedChord { chord: "G".parse().ok(), source: PlanSource::Heard }));
        assert_eq!(
            names(&view, "")[3],
            "G heard",
            "what is planned stands in the place of what was played there before"
        );
        let typed = names(&view, "| Dm | G |");
        assert_eq!(typed, ["Dm yours", "Am locked", "Dm yours", "G yours", "Dm yours", "G yours"]);
    }

    #[test]
    fn a_bar_is_planned_until_its_music_is_settled() {
        let mut view = song(4);
        let planned = |view: &SongView| -> Vec<bool> {
            let score = score(view);
            score.grid(0..288).map(|bar| score.is_planned(&bar)).collect()
        };
        assert_eq!(planned(&view), [false; 6], "nothing is ahead");
        let chord = PlannedChord { chord: None, source: PlanSource::Heard };
        view.ahead = (2..5).flat_map(|index| four(index).segments()).map(|segment| (segment, chord)).collect();
        assert_eq!(planned(&view), [false, false, false, false, true, false], "what is arranged for its melody stays");
        let another = Note { start: 100, key: Key::folded(70), duration: 12, velocity: Velocity::default() };
        (2..4).for_each(|index| view.ledger.hear(four(index), vec![another]));
        assert_eq!(planned(&view), [false, false, true, true, true, false]);
        view.ledger.lock(96..97);
        assert_eq!(planned(&view), [false, false, false, true, true, false]);
    }

    #[test]
    fn there_is_room_for_all_keys_and_for_three_octaves() {
        let mut view = song(1);
        for key in [0, 20, 60, 100, 127] {
            view.ledger = Ledger::default();
            let note = Note { start: 0, key: Key::folded(key), duration: 12, velocity: Velocity::default() };
            view.ledger.hear(four(0), vec![note]);
            let keys = score(&view).keys_with(&[]);
            assert!(keys.contains(&(key as u8)) && keys.end() - keys.start() >= 36 && *keys.end() <= 127, "{keys:?}");
        }
    }
}
