//! The engine without threads: melody in, accompaniment out. Runs on the inference thread, and in the command line.
//!
//! Given the same melody, settings and seed it writes the same music wherever it runs.

use crate::channels::{Cut, Heard, SHORTEST_MARGIN, TakeId};
use crate::generators::band::Band;
use crate::generators::rules::{harmonise_bar, tonality_of};
use crate::generators::{Ask, Drummer, Generator, PartNote, Request, SegmentAnswer};
use crate::hearing::{HeardBar, Hearing};
use crate::ledger::Ledger;
use crate::music::{Bar, ChordPlan, Note, PerPart, PlanSource, PlannedChord, Segment, Song, TICKS_PER_QUARTER, Ticks};
use crate::settings::{Follow, Settings};

/// How many bars back a generator may look.
const MEMORY_BARS: usize = 24;

/// Hears a song and answers it.
pub struct Arranger {
    band: Band,
    plan: ChordPlan,
    hearing: Hearing,
    ledger: Ledger,
    last_cut: Option<Cut>,
    /// How much music has been written so far.
    written: Ticks,
}

impl Arranger {
    /// `generator` writes what it can, and `drummer` the drums; the rest is written by rule.
    pub fn new(generator: Box<dyn Generator>, drummer: Option<Box<dyn Drummer>>) -> Self {
        Self {
            band: Band::new(generator, drummer),
            plan: ChordPlan::default(),
            hearing: Hearing::default(),
            ledger: Ledger::default(),
            last_cut: None,
            written: 0,
        }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Ticks of music written since the start. What the ledger plays again does not count.
    pub fn written(&self) -> Ticks {
        self.written
    }

    /// What went wrong last, in words for the user.
    pub fn problem(&self) -> Option<&str> {
        self.band.problem()
    }

    /// The user's chords; an empty plan leaves the choice to the engine. What is arranged already is written anew.
    pub fn set_plan(&mut self, plan: ChordPlan) {
        if self.plan != plan {
            self.plan = plan;
            self.ledger.forget_arranged_from(Ticks::MIN);
        }
    }

    /// How often the generators have failed.
    pub fn failures(&self) -> u32 {
        self.band.failures()
    }

    /// Takes in what the audio thread heard. A [`Heard::Cut`] is for [`Arranger::answer`] and changes nothing here.
    pub fn hear(&mut self, heard: &Heard) {
        match *heard {
            Heard::TakeBegan { at, .. } => self.hearing.begin(at),
            Heard::NoteOn { key, velocity, channel, at } => self.hearing.note_on(at, channel, key, velocity),
            Heard::NoteOff { key, channel, at } => self.hearing.note_off(at, channel, key),
            Heard::Cut(_) => {}
            Heard::TakeEnded { at } => {
                let bars = self.hearing.end(at);
                self.keep(bars);
            }
        }
    }

    /// Answers a segment, handing out notes as they are decided.
    pub fn answer(&mut self, cut: &Cut, write: &mut dyn FnMut(PartNote)) -> SegmentAnswer {
        self.pass_over(cut);
        let arranged = match cut.settings.follow {
            Follow::Jam => None,
            Follow::Arrange => self.arranged_answer(cut),
        };
        match arranged {
            Some(answer) => {
                answer.notes.iter().for_each(|note| write(*note));
                answer
            }
            None => self.jam(cut, write),
        }
    }

    /// The song has come to a cut. Where its answer would come too late this is all; the melody is heard nevertheless.
    pub fn pass_over(&mut self, cut: &Cut) {
        self.last_cut = Some(*cut);
        self.hearing.expect(cut.segment.bar);
        let bars = self.hearing.finished_bars(cut.segment.start());
        self.keep(bars);
    }

    /// Writes a segment by rule alone, at once: played if the answer should come late.
    pub fn reserve(&mut self, segment: Segment, cut: &Cut, write: &mut dyn FnMut(PartNote)) {
        let question = self.question_in_jam(segment, cut);
        self.band.answer_by_rule(&question.request(), write);
    }

    /// The chords that are settled for the eight bars from `segment` on, up to where the generator will choose.
    pub fn chords_ahead(&self, segment: Segment) -> Vec<(Segment, PlannedChord)> {
        const BARS: i32 = 8;
        let last = segment.bar.index.0 + BARS;
        let segments = std::iter::successors(Some(segment), |segment| Some(segment.next()));
        let near = segments.take_while(|segment| segment.bar.index.0 < last);
        near.map_while(|segment| Some((segment, self.planned_chord(&segment)?))).collect()
    }

    /// Arranges one bar that is known and waits for it. Returns whether there was one: call it while idle.
    pub fn arrange_next(&mut self) -> bool {
        let Some(cut) = self.last_cut.filter(|cut| cut.settings.follow == Follow::Arrange) else {
            return false;
        };
        let waiting = self.ledger.waiting_to_be_arranged(Ticks::MAX);
        waiting.first().is_some_and(|bar| {
            self.arrange_bar(*bar, &cut);
            true
        })
    }

    /// Plays a whole song through the engine as a host would, and returns the answers by segment.
    ///
    /// A jam is what the plugin plays in its first pass over the song, an arrangement what it plays in its second.
    /// `progress` is called after each segment.
    pub fn perform(
        &mut self,
        song: &Song,
        settings: &Settings,
        progress: &mut dyn FnMut(&SegmentAnswer),
    ) -> Vec<SegmentAnswer> {
        let settings = settings.clamped();
        let bars: Vec<Bar> = song.bars().collect();
        let take = |number| Heard::TakeBegan { take: TakeId(number), at: 0.0 };
        self.hear(&take(1));
        let mut events = melody_events(song).into_iter().peekable();
        let mut answers = Vec::new();
        for segment in bars.iter().flat_map(|bar| bar.segments()) {
            let cut_at = segment.start() - SHORTEST_MARGIN;
            while let Some((_, heard)) = events.next_if(|(at, _)| *at <= cut_at) {
                self.hear(&heard);
            }
            let cut = cut_of(song, segment, &settings);
            match settings.follow {
                Follow::Jam => {
                    let answer = self.answer(&cut, &mut |_| {});
                    progress(&answer);
                    answers.push(answer);
                }
                Follow::Arrange => self.hearing.expect(segment.bar),
            }
        }
        events.for_each(|(_, heard)| self.hear(&heard));
        let end = bars.last().map_or(0, Bar::end);
        self.hear(&Heard::TakeEnded { at: f64::from(end) / f64::from(TICKS_PER_QUARTER) });
        if settings.follow == Follow::Arrange {
            self.hear(&take(2));
            for segment in bars.iter().flat_map(|bar| bar.segments()) {
                let answer = self.answer(&cut_of(song, segment, &settings), &mut |_| {});
                progress(&answer);
                answers.push(answer);
            }
        }
        answers
    }

    fn keep(&mut self, bars: Vec<HeardBar>) {
        for heard in bars {
            let known = self.ledger.bar_at(heard.bar.start).is_some_and(|entry| entry.melody.is_some());
            // Half a bar says nothing about the half that was not heard.
            if !(heard.partial && known) {
                self.ledger.hear(heard.bar, heard.melody);
            }
        }
    }

    /// The arranged answer, where the bar's melody is known from an earlier pass.
    fn arranged_answer(&mut self, cut: &Cut) -> Option<SegmentAnswer> {
        /// Live, no more than this is written at once; the rest is left to idle moments.
        const MOST_AT_ONCE: usize = 1;
        let bar = cut.segment.bar;
        let known = self.ledger.bar_at(bar.start).filter(|entry| entry.bar.meter == bar.meter)?;
        known.melody.as_ref()?;
        let outdated = known.arranged.iter().any(|answer| !answer.settings.asks_the_same(&cut.settings));
        if outdated && cut.segment.number == 0 {
            self.ledger.forget_arranged_from(bar.start);
        }
        let waiting = self.ledger.waiting_to_be_arranged(bar.end());
        if !cut.offline && waiting.len() > MOST_AT_ONCE {
            return None;
        }
        waiting.into_iter().for_each(|bar| self.arrange_bar(bar, cut));
        let arranged = &self.ledger.bar_at(bar.start)?.arranged;
        arranged.iter().find(|answer| answer.segment.start() == cut.segment.start()).cloned()
    }

    fn arrange_bar(&mut self, bar: Bar, cut: &Cut) {
        // The tempo at which the bar was heard, not the one at which it happens to be arranged.
        let heard_at = self.ledger.bar_at(bar.start).and_then(|entry| entry.anticipated.first());
        let question = Question {
            ask: Ask::Arrange(bar),
            past: self.ledger.arranged_before(bar.start, MEMORY_BARS),
            melody: self.ledger.melody_before(bar.end(), MEMORY_BARS),
            chords: bar.segments().map(|segment| self.plan.chord_of(&segment)).collect(),
            settings: cut.settings,
            quarters_per_minute: heard_at.map_or(cut.quarters_per_minute, |answer| answer.quarters_per_minute),
            margin: SHORTEST_MARGIN,
        };
        let answers = self.write(&question, &mut |_| {});
        self.ledger.arrange(bar, answers);
    }

    fn jam(&mut self, cut: &Cut, write: &mut dyn FnMut(PartNote)) -> SegmentAnswer {
        let question = self.question_in_jam(cut.segment, cut);
        let answer = self.write(&question, write).remove(0);
        self.ledger.anticipate(answer.clone());
        answer
    }

    fn write(&mut self, question: &Question, write: &mut dyn FnMut(PartNote)) -> Vec<SegmentAnswer> {
        self.written = self.written.wrapping_add(question.ask.end() - question.ask.start());
        self.band.answer(&question.request(), write)
    }

    fn question_in_jam(&self, segment: Segment, cut: &Cut) -> Question {
        Question {
            ask: Ask::Jam(segment),
            past: self.ledger.anticipated_before(segment.start(), MEMORY_BARS),
            melody: self.melody_known_before(segment.start(), cut.margin),
            chords: vec![self.planned_chord(&segment)],
            settings: cut.settings,
            quarters_per_minute: cut.quarters_per_minute,
            margin: cut.margin,
        }
    }

    /// The melody that a jamming answer may know: this take's, and before it what the ledger keeps.
    fn melody_known_before(&self, start: Ticks, margin: Ticks) -> Vec<Note> {
        let mut melody = self.ledger.melody_before(self.hearing.start(), MEMORY_BARS);
        melody.retain(|note| note.start < self.hearing.start());
        melody.extend(self.hearing.notes_until(start - margin));
        melody
    }

    /// The chord plan's word on a segment that is answered before its melody is heard: the user's chord; else what
    /// was heard at this place before; else what followed when the last two bars were heard before.
    fn planned_chord(&self, segment: &Segment) -> Option<PlannedChord> {
        self.plan
            .chord_of(segment)
            .or_else(|| self.chord_heard_here(segment))
            .or_else(|| self.chord_after_repeat(segment))
    }

    fn chord_heard_here(&self, segment: &Segment) -> Option<PlannedChord> {
        let entry = self.ledger.bar_at(segment.bar.start).filter(|entry| entry.bar.meter == segment.bar.meter)?;
        entry.melody.as_ref().filter(|melody| !melody.is_empty())?;
        if let Some(arranged) = entry.arranged.get(usize::from(segment.number)) {
            return Some(heard(arranged.chord));
        }
        let before = self.ledger.melody_before(segment.bar.end(), MEMORY_BARS);
        let tonality = tonality_of(&before, segment.bar.end());
        let past: Vec<_> = self.ledger.anticipated_before(segment.bar.start, 2).iter().map(|a| a.chord.chord).collect();
        let chords = harmonise_bar(&before, segment.bar, &past, tonality);
        let chord = chords.get(usize::from(segment.number)).copied()?;
        Some(PlannedChord { chord: Some(chord), source: PlanSource::Heard })
    }

    fn chord_after_repeat(&self, segment: &Segment) -> Option<PlannedChord> {
        let entry = self.ledger.place_before_repeated(segment.bar)?;
        let answers = if entry.arranged.is_empty() { &entry.anticipated } else { &entry.arranged };
        answers.get(usize::from(segment.number)).map(|answer| heard(answer.chord))
    }
}

/// What a [`Request`] borrows.
struct Question {
    ask: Ask,
    past: Vec<SegmentAnswer>,
    melody: Vec<Note>,
    chords: Vec<Option<PlannedChord>>,
    settings: Settings,
    quarters_per_minute: f32,
    margin: Ticks,
}

impl Question {
    fn request(&self) -> Request<'_> {
        Request {
            ask: self.ask,
            melody: &self.melody,
            past: &self.past,
            chords: &self.chords,
            parts: PerPart::from_fn(|part| self.settings.part_is_on(part)),
            settings: &self.settings,
            quarters_per_minute: self.quarters_per_minute,
            margin: self.margin,
            seed: seed_of(&self.settings, &self.ask),
        }
    }
}

fn heard(chord: PlannedChord) -> PlannedChord {
    PlannedChord { source: chord.source.min(PlanSource::Heard), ..chord }
}

/// Random numbers of an answer: by the user's seed and the place in the song, so that a bar can be written alone.
fn seed_of(settings: &Settings, ask: &Ask) -> u64 {
    let kind: u64 = match ask {
        Ask::Jam(_) => 1,
        Ask::Arrange(_) => 2,
    };
    let place = u64::from(ask.start() as u32);
    // The finaliser of SplitMix64 (Steele, Lea, Flood 2014) spreads neighbouring places apart.
    let mut mixed = (u64::from(settings.seed) << 32 | place).wrapping_add(kind.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn cut_of(song: &Song, segment: Segment, settings: &Settings) -> Cut {
    Cut {
        take: TakeId(1),
        segment,
        margin: SHORTEST_MARGIN,
        settings: *settings,
        // The tempo where the plugin would have cut: just before the segment.
        quarters_per_minute: song.tempo_at((segment.start() - SHORTEST_MARGIN).max(0)) as f32,
        offline: true,
    }
}

/// The melody as a host would send it, by time; releases before strikes.
fn melody_events(song: &Song) -> Vec<(Ticks, Heard)> {
    let quarters = |ticks: Ticks| f64::from(ticks) / f64::from(TICKS_PER_QUARTER);
    let mut events: Vec<(Ticks, Heard)> = Vec::with_capacity(2 * song.melody.len());
    for note in &song.melody {
        let Note { start, key, velocity, .. } = *note;
        events.push((start, Heard::NoteOn { key, velocity, channel: 0, at: quarters(start) }));
        events.push((note.end(), Heard::NoteOff { key, channel: 0, at: quarters(note.end()) }));
    }
    events.sort_by_key(|(at, heard)| (*at, matches!(heard, Heard::NoteOn { .. })));
    events
}
