//! INFERENCE THREAD of an instance that plays one part of another's band: hands the band's answers on to its own audio
//! thread, in that one's takes.
//!
//! The audio thread asks for segments as a band's does and plays what it is sent; it does not know that another instance
//! has written it. So all that holds for a band's notes (takes, lateness, renders, releases) holds for a part's.
//!
//! A chord track is fed by nobody: it hands what it hears on to its band, and its own audio thread is told to be silent.

use super::{AnswerStream, Outlet};
use crate::channels::{Cut, EngineStatus, Heard, InferenceEnd, ReplyKind, SongView, TakeId};
use crate::generators::PartNote;
use crate::links::{Band, Link, Links, MemberEntry, Role, TakesOver};
use crate::music::{Part, PerPart, Segment};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// In a render, so long a part waits for its band to be asked too. Some hosts render their tracks at the same time; in others
/// the band comes after the part, and cannot be asked before the part is done with its block.
const PATIENCE: Duration = Duration::from_millis(50);

/// One part of a band, on its way from the band's instance to this one's audio thread.
pub struct LinkedPart {
    links: Links,
    entry: Option<MemberEntry>,
    band: Option<Arc<Band>>,
    /// The band's take that this instance has played along with last.
    followed: Option<TakeId>,
    over: TakesOver,
    /// In the order in which they were asked for.
    wanted: Vec<Wanted>,
    told: Option<(EngineStatus, Option<Arc<SongView>>)>,
}

impl LinkedPart {
    /// The audio thread forgets what it asked for before these, too.
    const MOST_WANTED: usize = 4;

    pub fn new(links: Links) -> Self {
        let (entry, band, followed, told) = (None, None, None, None);
        Self { links, entry, band, followed, over: TakesOver::default(), wanted: Vec::new(), told }
    }

    /// This instance is no part any more.
    pub fn leave(&mut self) {
        *self = Self::new(self.links.clone());
    }

    /// Takes in what was heard, and hands on what the band has written meanwhile.
    pub fn run(&mut self, link: Link, heard: &[Heard], end: &mut InferenceEnd, stop: &AtomicBool) {
        self.enter(link);
        self.find_band(link);
        let plays = self.band.as_ref().is_some_and(|band| band.read(|answers| answers.take().is_some()));
        // While the band stands still, nothing of it can be late.
        end.meters.ready.store(plays, Ordering::Relaxed);
        end.meters.set_played_elsewhere(PerPart::default());
        heard.iter().for_each(|heard| self.hear(heard));
        let mut outlet = Outlet { end, stop, band: None };
        let part = match link.role {
            Role::Part(part) => part,
            Role::ChordTrack | Role::Band => {
                self.band.iter().for_each(|band| band.give_chords(heard));
                self.wanted.drain(..).for_each(|mut wanted| wanted.stream.finish(&mut outlet));
                return;
            }
        };
        let mut feed = Feed { part, band: self.band.clone(), over: self.over, followed: self.followed, outlet };
        self.wanted.retain_mut(|wanted| !wanted.serve(&mut feed));
        self.followed = feed.followed;
    }

    /// What is to be shown of it, if that has changed: its own state, and the chords of its band.
    pub fn news(&mut self, link: Link) -> Option<SongView> {
        let (engine, view) = (self.status(link), self.band.as_ref().map(|band| band.view()));
        let same_view = |told: &Option<Arc<SongView>>| told.as_ref().map(Arc::as_ptr) == view.as_ref().map(Arc::as_ptr);
        if self.told.as_ref().is_some_and(|(told, of_band)| *told == engine && same_view(of_band)) {
            return None;
        }
        self.told = Some((engine.clone(), view.clone()));
        let (chords, ahead) = view.map(|view| (view.chords.clone(), view.ahead.clone())).unwrap_or_default();
        Some(SongView { engine, chords, ahead, ..SongView::default() })
    }

    fn status(&self, link: Link) -> EngineStatus {
        let generator = format!("{} of {}", link.role.name(), link.band);
        EngineStatus { generator, problem: self.problem(link), ..EngineStatus::default() }
    }

    fn problem(&self, link: Link) -> Option<String> {
        let Some(band) = &self.band else {
            return Some(format!("There is no {}: make an instance on another track that band.", link.band));
        };
        let Role::Part(part) = link.role else { return None };
        let off = band.read(|answers| answers.parts_on().is_some_and(|on| !on[part]));
        off.then(|| format!("{} is switched off in {}: switch it on there.", part.name(), link.band))
    }

    fn enter(&mut self, link: Link) {
        if self.entry.as_ref().is_none_or(|entry| entry.link() != link) {
            self.entry = Some(self.links.enter_member(link));
            self.wanted.clear();
        }
    }

    fn find_band(&mut self, link: Link) {
        let band = self.links.band(link.band);
        if self.band.as_ref().map(Arc::as_ptr) != band.as_ref().map(Arc::as_ptr) {
            // The takes of one band have nothing to do with those of another.
            (self.followed, self.over) = (None, TakesOver::default());
            self.wanted.iter_mut().for_each(|wanted| wanted.source = None);
            self.band = band;
        }
    }

    fn hear(&mut self, heard: &Heard) {
        match heard {
            Heard::TakeBegan { .. } => {
                self.wanted.clear();
                let count = self.band.as_ref().map_or(0, |band| band.read(|answers| answers.count()));
                self.over = TakesOver { take: self.followed, count };
            }
            Heard::Cut(cut) => {
                self.wanted.retain(|wanted| wanted.cut.take == cut.take);
                if self.wanted.len() == Self::MOST_WANTED {
                    self.wanted.remove(0);
                }
                self.wanted.push(Wanted::new(*cut));
            }
            Heard::TakeEnded { .. } => self.wanted.clear(),
            // Who plays a part does not listen; a chord track hands them on.
            Heard::NoteOn { .. } | Heard::NoteOff { .. } | Heard::ChordOn { .. } | Heard::ChordHeld { .. } => {}
        }
    }
}

/// All that is needed to hand on an answer.
struct Feed<'a> {
    part: Part,
    band: Option<Arc<Band>>,
    over: TakesOver,
    followed: Option<TakeId>,
    outlet: Outlet<'a>,
}

/// A segment that this instance's audio thread has asked for.
struct Wanted {
    cut: Cut,
    stream: AnswerStream,
    /// The number of the band's answer that is handed on, and how many of its notes have been.
    source: Option<(u64, usize)>,
    /// There is something to play if the answer is late.
    reserved: bool,
    /// Since when the audio thread has been waiting for what the band was not asked for.
    waiting_since: Option<Instant>,
    /// The audio thread has been told not to wait any more.
    given_up: bool,
}

/// What of an answer is new.
struct News {
    notes: Vec<PartNote>,
    begun: bool,
    complete: bool,
}

impl Wanted {
    fn new(cut: Cut) -> Self {
        let stream = AnswerStream::new(&cut, ReplyKind::Answer);
        Self { cut, stream, source: None, reserved: false, waiting_since: None, given_up: false }
    }

    fn segment(&self) -> &Segment {
        &self.cut.segment
    }

    /// Hands on what there is. Returns whether that was all.
    fn serve(&mut self, feed: &mut Feed<'_>) -> bool {
        let Some(band) = feed.band.clone().filter(|band| !band.is_bypassed()) else {
            self.stream.finish(&mut feed.outlet);
            return true;
        };
        if !self.cut.offline && !self.reserved {
            self.reserve(&band, feed);
        }
        if self.source.is_none() {
            let found = band.read(|answers| {
                let found = answers.find(self.segment(), ReplyKind::Answer, &feed.over);
                found.map(|answer| (answer.number, answer.take))
            });
            self.source = found.map(|(number, _)| (number, 0));
            feed.followed = found.map(|(_, take)| take).or(feed.followed);
        }
        match self.source {
            Some((number, handed_on)) => self.hand_on(&band, number, handed_on, feed),
            None => self.cut.offline && self.do_without_answer(&band, feed),
        }
    }

    fn hand_on(&mut self, band: &Band, number: u64, handed_on: usize, feed: &mut Feed<'_>) -> bool {
        let news = band.read(|answers| {
            let answer = answers.by_number(number)?;
            let notes = answer.notes[handed_on..].to_vec();
            Some(News { notes, begun: answer.begun, complete: answer.complete })
        });
        // What is not kept any more is long past.
        let news = news.unwrap_or(News { notes: Vec::new(), begun: true, complete: true });
        self.source = Some((number, handed_on + news.notes.len()));
        if news.begun {
            self.stream.begin(&mut feed.outlet);
        }
        self.send(&news.notes, feed);
        if news.complete {
            self.stream.finish(&mut feed.outlet);
        }
        news.complete
    }

    /// What plays if the answer is late: what the band itself would play then, else what stands in its song. While the band
    /// stands still, its song is played as it stands; where there is none, nothing.
    fn reserve(&mut self, band: &Band, feed: &mut Feed<'_>) {
        let (of_band, stands_still) = band.read(|answers| {
            let reserve = answers.find(self.segment(), ReplyKind::Reserve, &feed.over);
            let complete = reserve.filter(|reserve| reserve.complete);
            (complete.map(|reserve| reserve.notes.clone()), answers.take().is_none())
        });
        let notes = of_band.or_else(|| self.standing(band)).or_else(|| stands_still.then(Vec::new));
        let Some(notes) = notes else { return };
        let mut stream = AnswerStream::new(&self.cut, ReplyKind::Reserve);
        notes.iter().filter(|note| note.part == feed.part).for_each(|note| stream.send(*note, &mut feed.outlet));
        stream.finish(&mut feed.outlet);
        self.reserved = true;
    }

    /// What stands in the band's song.
    fn standing(&self, band: &Band) -> Option<Vec<PartNote>> {
        band.view().ledger.answer_to(self.segment()).map(|answer| answer.notes.clone())
    }

    /// A render of a song that the band has played before is as it was played, also where the band's own track is not
    /// rendered. Where there is no song yet, the render goes on, and what the band writes later may still be in time.
    fn do_without_answer(&mut self, band: &Band, feed: &mut Feed<'_>) -> bool {
        if self.given_up {
            return false;
        }
        if band.is_to_show(self.segment(), &feed.over) || !feed.outlet.end.meters.waiting.load(Ordering::Relaxed) {
            self.waiting_since = None;
            return false;
        }
        if self.waiting_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
            return false;
        }
        let standing = self.standing(band);
        self.send(standing.as_deref().unwrap_or_default(), feed);
        self.stream.finish(&mut feed.outlet);
        self.given_up = true;
        standing.is_some()
    }

    fn send(&mut self, notes: &[PartNote], feed: &mut Feed<'_>) {
        for note in notes.iter().filter(|note| note.part == feed.part) {
            self.stream.send(*note, &mut feed.outlet);
        }
    }
}
