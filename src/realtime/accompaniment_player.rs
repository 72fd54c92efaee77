//! Plays the answers on the host's timeline, each note at its sample. Runs on the audio thread.

use super::EventBuffer;
use super::sounding::{SoundingNotes, Source, Strike};
use super::timeline::Span;
use super::vamp::Vamp;
use crate::channels::{Meters, Reply, ReplyKind, ReplyMessage, TakeId};
use crate::generators::PartNote;
use crate::music::{Part, PerPart, Segment, TICKS_PER_QUARTER, Ticks, Timing, in_quarters};
use crate::settings::PartSettings;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A 32nd, in quarter notes: a note later than this is dropped.
const LATEST: f64 = 0.125;

/// How long an answer may take in any case, also where a take begins inside its segment: a little less than [`LATEST`], so
/// that what the reserve then begins with is not late itself.
const GRACE: f64 = 0.115;

/// So long a take that begins waits for anything to play before it plays the last bar again, in quarter notes from where it asked: a
/// 16th, at 240 quarters a minute three of the looks of a worker at rest.
const PATIENCE_AT_START: f64 = 0.25;

/// A player's strike that comes sooner after the melody has begun to be carried on, in quarter notes, is a late one of before.
/// Between two ticks, so that no rounding decides.
const HAND: f64 = 2.5 / TICKS_PER_QUARTER as f64;

/// What a segment is played from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Played {
    Answer,
    Reserve,
    /// Neither had come: the last bar again.
    Vamp,
}

impl From<ReplyKind> for Played {
    fn from(kind: ReplyKind) -> Self {
        match kind {
            ReplyKind::Answer => Self::Answer,
            ReplyKind::Reserve => Self::Reserve,
        }
    }
}

/// An answer that was asked for.
#[derive(Debug, Clone, Copy)]
struct Due {
    segment: Segment,
    /// Nothing is struck before: where its earliest note may stand, or where the take began.
    from: f64,
    /// Where it was asked for.
    asked_at: f64,
    /// Where it is settled whether the answer came in time, in quarter notes.
    decide_at: f64,
    /// Where the last bar is played if nothing has come.
    give_up_at: f64,
    /// All of the answer is there.
    complete: bool,
    /// A render has waited for it, with success or without.
    waited: bool,
    /// The player has come in: the melody is not carried on in it any more.
    handed_back: bool,
    /// `None` until settled.
    played: Option<Played>,
}

impl Due {
    /// Whether something is still to be decided. Live, an answer that has begun in time is played; a render wants all of it.
    fn is_open(&self, offline: bool) -> bool {
        let still_wanted = matches!(self.played, None | Some(Played::Answer));
        if offline { still_wanted && !self.waited && !self.complete } else { self.played.is_none() }
    }
}

#[derive(Debug, Clone, Copy)]
struct PendingNote {
    segment_start: Ticks,
    played: Played,
    note: PartNote,
}

impl PendingNote {
    /// Until here it is early by its timing; from here on it begins to be late.
    fn due_at(&self) -> f64 {
        self.note.struck_at().max(in_quarters(self.note.note.start))
    }

    /// Whether a take that begins at `from` comes too late for it. Up to a 32nd a host may be off that wraps a loop inside
    /// its block; and what is held on can be joined. A stroke of the drums has no inside.
    fn is_missed(&self, from: f64) -> bool {
        let joins = self.note.part != Part::Drums && self.note.released_at() >= from + LATEST;
        !joins && self.due_at() + LATEST < from
    }

    /// The last moment to strike it.
    fn latest(&self, from: f64) -> f64 {
        let joins = self.note.part != Part::Drums;
        LATEST + if joins { self.due_at().max(from) } else { self.due_at() }
    }
}

/// Collects the streamed answers and strikes and releases their notes.
pub struct AccompanimentPlayer {
    replies: rtrb::Consumer<Reply>,
    meters: Arc<Meters>,
    pending: Vec<PendingNote>,
    due: Vec<Due>,
    /// Starts of the segments whose reserve has come, in this take.
    reserved: Vec<Ticks>,
    vamp: Vamp,
    take: TakeId,
    /// Segments that begin here or before are silent.
    hushed: Ticks,
    /// Since which segment the melody is carried on, in quarter notes.
    extending_since: Option<f64>,
    /// How long a render waits for an answer.
    patience: Duration,
    /// What is left of it while a render is only presumed.
    hurry: Option<Duration>,
}

impl AccompanimentPlayer {
    /// Several bars of a dense band, answers and reserves.
    const PENDING: usize = 4096;
    /// A segment playing, the next, and two that are over.
    const DUE: usize = 4;
    /// As many, and the one after them.
    const RESERVED: usize = 8;
    /// An offline render gives up on a generator after this, and plays the last bar.
    const PATIENCE: Duration = Duration::from_secs(60);
    /// From then on until an answer comes: who hangs must not hold up a whole song.
    const PATIENCE_LOST: Duration = Duration::from_secs(1);
    /// In all, where a render is only presumed. Enough for what stands in the song, and for a model that is there.
    const PATIENCE_IN_A_HURRY: Duration = Duration::from_millis(300);

    pub fn new(replies: rtrb::Consumer<Reply>, meters: Arc<Meters>) -> Self {
        Self {
            replies,
            meters,
            pending: Vec::with_capacity(Self::PENDING),
            due: Vec::with_capacity(Self::DUE),
            reserved: Vec::with_capacity(Self::RESERVED),
            vamp: Vamp::new(),
            take: TakeId::default(),
            hushed: Ticks::MIN,
            extending_since: None,
            patience: Self::PATIENCE,
            hurry: None,
        }
    }

    /// Whether this may be no render at all: then all its waiting together is short.
    pub fn hurry(&mut self, hurry: bool) {
        self.hurry = hurry.then(|| self.hurry.unwrap_or(Self::PATIENCE_IN_A_HURRY));
    }

    /// A take begins: forgets what was asked and answered before.
    pub fn begin(&mut self, take: TakeId) {
        (self.hushed, self.extending_since) = (Ticks::MIN, None);
        self.correct(take);
    }

    /// The same music under another number: forgets what was asked and answered.
    pub fn correct(&mut self, take: TakeId) {
        self.take = take;
        self.pending.clear();
        self.due.clear();
        self.reserved.clear();
    }

    /// What was written for the segments that begin at `tick` or before is not played any more in this take.
    pub fn hush(&mut self, tick: Ticks) {
        self.hushed = tick;
        self.pending.retain(|pending| pending.segment_start > tick);
    }

    /// The player strikes a note: who carries the melody on falls silent, as far as it has been asked. Returns whether it was
    /// doing so.
    pub fn hand_back(&mut self, position: f64) -> bool {
        let newest = self.due.last().map_or(Ticks::MIN, |due| due.segment.start());
        let waiting = self.pending.iter().filter(|pending| pending.note.part == Part::Extension);
        let about_to =
            || waiting.map(|pending| pending.segment_start).filter(|start| *start <= newest).min().map(in_quarters);
        let since = self.extending_since.or_else(about_to);
        if since.is_none_or(|since| position < since + HAND) {
            return false;
        }
        self.extending_since = None;
        self.due.iter_mut().for_each(|due| due.handed_back = true);
        self.pending.retain(|pending| pending.note.part != Part::Extension || pending.segment_start > newest);
        true
    }

    /// Whether the answer to this very segment was asked for in this take.
    pub fn expects(&self, segment: &Segment) -> bool {
        self.due.iter().any(|due| due.segment == *segment)
    }

    /// Notes that `segment` was asked for at position `at`; nothing before `from` is played.
    pub fn expect(&mut self, segment: Segment, at: f64, from: f64) {
        if self.due.len() == Self::DUE {
            let past = self.due.remove(0);
            self.pending.retain(|note| note.segment_start != past.segment.start());
        }
        let start = in_quarters(segment.start());
        // Asked when it has begun already, or is about to, nothing could be in time.
        let decide_at = start.max(at + GRACE);
        // Notes that are played a little early are struck before their segment begins, if they are there by then.
        let from = from.max(start + Timing::EARLIEST.ticks() / f64::from(TICKS_PER_QUARTER));
        let give_up_at = if decide_at > start { at + PATIENCE_AT_START } else { decide_at };
        self.due.push(Due {
            segment,
            from,
            asked_at: at,
            decide_at,
            give_up_at,
            complete: false,
            waited: false,
            handed_back: false,
            played: None,
        });
    }

    /// Where the next decision falls, in quarter notes; infinite if there is none.
    pub fn next_decision(&self, offline: bool) -> f64 {
        let open = self.due.iter().filter(|due| due.is_open(offline));
        open.map(|due| if offline { due.from } else { due.decide_at }).fold(f64::INFINITY, f64::min)
    }

    /// Settles what is played of the segments whose time has come, in a call of so many samples. Offline it waits for their answers.
    pub fn decide(&mut self, span: &Span, sample: u32, frames: u32, offline: bool) {
        self.receive();
        for index in 0..self.due.len() {
            let due = self.due[index];
            let at = if offline { due.from } else { due.decide_at };
            if !due.is_open(offline) || span.sample(at) > sample {
                continue;
            }
            if offline {
                self.due[index].waited = true;
                self.wait_for_answer(index);
            }
            if self.due[index].played.is_none() && (offline || !self.waits_on(index, span, sample, frames)) {
                self.do_without_answer(index);
            }
        }
    }

    /// Looks again with the next call, if the worker cannot have answered yet: it has been asked in this one, or just now by a
    /// take that begins, for which there is no reserve. What is held on is joined then.
    fn waits_on(&mut self, index: usize, span: &Span, sample: u32, frames: u32) -> bool {
        let due = &mut self.due[index];
        let asked_now = due.asked_at >= span.start;
        let waits = asked_now || span.position(sample) < due.give_up_at;
        if !waits || self.reserved.contains(&due.segment.start()) {
            return false;
        }
        let next = span.position(frames);
        (due.decide_at, due.from) = (next, due.from.max(next));
        true
    }

    /// The answer to this segment has not begun in time.
    fn do_without_answer(&mut self, index: usize) {
        let segment = self.due[index].segment;
        let reserved = self.reserved.contains(&segment.start());
        self.due[index].played = Some(if reserved { Played::Reserve } else { Played::Vamp });
        // A silence that was asked for is not to be repeated.
        match (segment.start() > self.hushed, reserved) {
            (true, true) => self.remember_reserve(segment),
            (true, false) => self.repeat_last_bar(segment),
            (false, _) => {}
        }
        // While the generator is still being loaded, nothing is late.
        if self.meters.ready.load(Ordering::Relaxed) {
            Meters::count(&self.meters.late_segments);
            Meters::count(&self.meters.late_in_a_row);
            self.meters.repeated_segments.fetch_add(u32::from(!reserved), Ordering::Relaxed);
        }
    }

    fn remember_reserve(&mut self, segment: Segment) {
        self.vamp.begin(segment);
        let of_segment = |note: &&PendingNote| note.segment_start == segment.start() && note.played == Played::Reserve;
        self.pending.iter().filter(of_segment).for_each(|pending| self.vamp.note(pending.note));
        self.vamp.keep();
    }

    fn repeat_last_bar(&mut self, segment: Segment) {
        for note in self.vamp.notes_for(segment) {
            if self.pending.len() < Self::PENDING {
                self.pending.push(PendingNote { segment_start: segment.start(), played: Played::Vamp, note });
            }
        }
    }

    /// Takes in what has been written since the last time.
    pub fn receive(&mut self) {
        while let Ok(reply) = self.replies.pop() {
            if reply.take == self.take {
                self.take_in(&reply);
            }
        }
    }

    /// Strikes and releases all that falls on the samples `from..to` of the block.
    pub fn play(
        &mut self,
        span: &Span,
        samples: std::ops::Range<u32>,
        parts: &PerPart<PartSettings>,
        sounding: &mut SoundingNotes,
        output: &mut EventBuffer,
    ) {
        self.receive();
        self.drop_late(span.position(samples.start));
        while let Some((index, sample)) = self.next_note(span, &samples) {
            sounding.release_ended(sample + 1, samples.start, span, output);
            let pending = self.pending.swap_remove(index);
            self.strike(span, sample, &pending, parts, sounding, output);
        }
        sounding.release_ended(samples.end, samples.start, span, output);
    }

    fn take_in(&mut self, reply: &Reply) {
        let (segment_start, played) = (reply.segment_start, Played::from(reply.kind));
        let newest = self.due.last().map_or(Ticks::MIN, |due| due.segment.start());
        let due = self.due.iter_mut().find(|due| due.segment.start() == segment_start);
        match (reply.message, played) {
            (ReplyMessage::Note(note), _) => {
                // Nobody waits for it any more, unless it is a reserve for what has not been asked for yet.
                let forgotten = due.is_none() && segment_start <= newest;
                let handed_back = note.part == Part::Extension && due.as_ref().is_some_and(|due| due.handed_back);
                let settled = due.and_then(|due| due.played);
                if settled == Some(Played::Answer) && played == Played::Answer {
                    self.vamp.note(note);
                }
                let welcome = !forgotten && !handed_back && settled.is_none_or(|settled| settled == played);
                if welcome && segment_start > self.hushed {
                    self.pend(PendingNote { segment_start, played, note });
                }
            }
            (ReplyMessage::Begin, Played::Answer) => {
                if let Some(due) = due.filter(|due| due.played.is_none()) {
                    due.played = Some(Played::Answer);
                    self.vamp.begin(due.segment);
                    self.meters.late_in_a_row.store(0, Ordering::Relaxed);
                }
            }
            (ReplyMessage::End, Played::Answer) => {
                self.patience = Self::PATIENCE;
                if let Some(due) = due {
                    due.complete = true;
                    if due.played == Some(Played::Answer) {
                        self.vamp.keep();
                    }
                }
            }
            (ReplyMessage::Begin, _) => {}
            // Only whole, so that what is missing is not taken for a rest.
            (ReplyMessage::End, _) => {
                if self.reserved.len() == Self::RESERVED {
                    self.reserved.remove(0);
                }
                self.reserved.push(segment_start);
            }
        }
    }

    fn pend(&mut self, note: PendingNote) {
        if self.pending.len() < Self::PENDING {
            self.pending.push(note);
        } else {
            Meters::count(&self.meters.dropped);
        }
    }

    /// Only ever called in an offline render, where the host allows waiting.
    fn wait_for_answer(&mut self, index: usize) {
        const BETWEEN_LOOKS: Duration = Duration::from_micros(50);
        let begun = Instant::now();
        self.meters.waiting.store(true, Ordering::Relaxed);
        let patience = self.hurry.unwrap_or(self.patience);
        while !self.due[index].complete && !self.replies.is_abandoned() && begun.elapsed() < patience {
            std::thread::sleep(BETWEEN_LOOKS);
            self.receive();
        }
        self.meters.waiting.store(false, Ordering::Relaxed);
        self.receive();
        match &mut self.hurry {
            Some(left) => *left = left.saturating_sub(begun.elapsed()),
            None if !self.due[index].complete => self.patience = Self::PATIENCE_LOST,
            None => {}
        }
    }

    /// The first note that is struck on one of these samples, and the sample.
    fn next_note(&self, span: &Span, samples: &std::ops::Range<u32>) -> Option<(usize, u32)> {
        let playable = self.pending.iter().enumerate().filter_map(|(index, pending)| {
            let due = self.due_of(pending)?;
            let sample = span.sample(pending.note.struck_at().max(due.from)).max(samples.start);
            let PartNote { part, note, .. } = pending.note;
            (sample < samples.end).then_some((sample, part, note.key, note.start, index))
        });
        playable.min().map(|(sample, .., index)| (index, sample))
    }

    /// The segment that the note belongs to, if it is played from there.
    fn due_of(&self, pending: &PendingNote) -> Option<&Due> {
        let mut due = self.due.iter();
        due.find(|due| due.segment.start() == pending.segment_start && due.played == Some(pending.played))
    }

    /// Forgets notes that are too late at `position`, or that nobody waits for any more.
    fn drop_late(&mut self, position: f64) {
        let (due, late) = (&self.due, &self.meters.late_notes);
        self.pending.retain(|pending| {
            let Some(due) = due.iter().find(|due| due.segment.start() == pending.segment_start) else {
                return true;
            };
            if due.played != Some(pending.played) {
                return due.played.is_none();
            }
            if pending.is_missed(due.from) {
                return false;
            }
            let in_time = pending.latest(due.from) >= position;
            if !in_time {
                Meters::count(late);
            }
            in_time
        });
    }

    fn strike(
        &mut self,
        span: &Span,
        sample: u32,
        pending: &PendingNote,
        parts: &PerPart<PartSettings>,
        sounding: &mut SoundingNotes,
        output: &mut EventBuffer,
    ) {
        let PartNote { part: of_part, note, .. } = pending.note;
        let (part, end) = (&parts[of_part], pending.note.released_at());
        if !part.on || end <= span.position(sample) {
            return;
        }
        let note = part.apply(of_part, note);
        let strike = Strike {
            source: Source::Part(of_part),
            channel: part.channel,
            key: note.key,
            velocity: note.velocity,
            end,
        };
        if sounding.strike(sample, strike, output) {
            if of_part == Part::Extension {
                self.extending_since.get_or_insert(in_quarters(pending.segment_start));
            }
            self.meters.parts[of_part].strike(note.velocity);
        } else {
            Meters::count(&self.meters.dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels;
    use crate::music::{Bar, Key, Meter, Note, Velocity};

    #[test]
    fn a_render_waits_long_for_a_generator_that_hangs_but_not_for_each_of_its_answers() {
        const FIRST: Duration = Duration::from_millis(1500);
        let (realtime, mut inference) = channels::connect();
        let mut player = AccompanimentPlayer::new(realtime.replies, realtime.meters);
        player.begin(TakeId(1));
        player.patience = FIRST;
        let segments: Vec<Segment> =
            (0..3).flat_map(|index| Bar::of_constant_meter(index, Meter::COMMON).segments()).collect();
        let mut waited = |segment: Segment| {
            let start = in_quarters(segment.start());
            player.expect(segment, start, 0.0);
            let span = Span {
                start,
                tick: segment.start(),
                quarters_per_sample: 1e-4,
                quarters_per_minute: 120.0,
                bar: segment.bar,
            };
            let begun = Instant::now();
            player.decide(&span, 0, 64, true);
            (begun.elapsed(), player.patience)
        };
        let (elapsed, patience) = waited(segments[0]);
        assert!(elapsed >= FIRST, "{elapsed:?}");
        assert_eq!(patience, AccompanimentPlayer::PATIENCE_LOST);
        assert!(waited(segments[1]).0 < FIRST);
        // It comes back with what nobody waits for any more, and goes on.
        for segment in &segments[1..3] {
            for message in [ReplyMessage::Begin, ReplyMessage::End] {
                let (take, segment_start, kind) = (TakeId(1), segment.start(), ReplyKind::Answer);
                inference.replies.push(Reply { take, segment_start, kind, message }).expect("there is room");
            }
        }
        let (elapsed, patience) = waited(segments[2]);
        assert!(elapsed < AccompanimentPlayer::PATIENCE_LOST, "{elapsed:?}");
        assert_eq!(patience, AccompanimentPlayer::PATIENCE);
    }

    #[test]
    fn a_render_waits_for_the_end_of_an_answer_that_has_begun() {
        let (realtime, mut inference) = channels::connect();
        let mut player = AccompanimentPlayer::new(realtime.replies, realtime.meters);
        player.begin(TakeId(1));
        let segment = Bar::of_constant_meter(0, Meter::COMMON).segments().next().expect("it has some");
        player.expect(segment, 0.0, 0.0);
        let note = |start, key| {
            let (key, velocity) = (Key::folded(key), Velocity::default());
            PartNote::on_grid(Part::Bass, Note { start, key, duration: 6, velocity })
        };
        let send = |message| Reply { take: TakeId(1), segment_start: 0, kind: ReplyKind::Answer, message };
        let first = [ReplyMessage::Begin, ReplyMessage::Note(note(0, 40))];
        let rest = [ReplyMessage::Note(note(6, 43)), ReplyMessage::End];
        first.into_iter().for_each(|message| inference.replies.push(send(message)).expect("there is room"));
        player.receive();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                rest.into_iter().for_each(|message| inference.replies.push(send(message)).expect("there is room"));
            });
            let span =
                Span { start: 0.0, tick: 0, quarters_per_sample: 1e-4, quarters_per_minute: 120.0, bar: segment.bar };
            player.decide(&span, 0, 64, true);
            assert_eq!(player.pending.len(), 2, "the whole answer is there before its first note sounds");
        });
    }
}
