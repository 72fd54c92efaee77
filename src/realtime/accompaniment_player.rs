//! Plays the answers on the host's timeline, each note at its sample. Runs on the audio thread.

use super::EventBuffer;
use super::sounding::{SoundingNotes, Source, Strike};
use super::timeline::Span;
use crate::channels::{Meters, Reply, ReplyKind, ReplyMessage, TakeId};
use crate::generators::PartNote;
use crate::music::{Part, Segment, TICKS_PER_QUARTER, Ticks, Timing};
use crate::settings::Settings;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A 32nd, in quarter notes: a note later than this is dropped.
const LATEST: f64 = 0.125;

/// An answer that was asked for.
#[derive(Debug, Clone, Copy)]
struct Due {
    segment: Segment,
    take: TakeId,
    /// Nothing is struck before: where its earliest note may stand, or where the take began.
    from: f64,
    /// Where it is settled whether the answer came in time, in quarter notes.
    decide_at: f64,
    begun: bool,
    complete: bool,
    /// What is played; `None` until settled.
    chosen: Option<ReplyKind>,
}

#[derive(Debug, Clone, Copy)]
struct PendingNote {
    take: TakeId,
    segment_start: Ticks,
    kind: ReplyKind,
    note: PartNote,
}

impl PendingNote {
    /// Until here it is early by its timing; from here on it begins to be late.
    fn due_at(&self) -> f64 {
        self.note.struck_at().max(quarters(self.note.note.start))
    }
}

/// Collects the streamed answers and strikes and releases their notes.
pub struct AccompanimentPlayer {
    replies: rtrb::Consumer<Reply>,
    meters: Arc<Meters>,
    pending: Vec<PendingNote>,
    due: Vec<Due>,
    take: TakeId,
}

impl AccompanimentPlayer {
    /// Several bars of a dense band, answers and reserves.
    const PENDING: usize = 4096;
    /// A segment playing, the next, and two that are over.
    const DUE: usize = 4;
    /// An offline render gives up on a generator after this, and plays the reserve.
    const PATIENCE: Duration = Duration::from_secs(60);

    pub fn new(replies: rtrb::Consumer<Reply>, meters: Arc<Meters>) -> Self {
        let (pending, due) = (Vec::with_capacity(Self::PENDING), Vec::with_capacity(Self::DUE));
        Self { replies, meters, pending, due, take: TakeId::default() }
    }

    /// Forgets what was asked and answered before this take.
    pub fn begin(&mut self, take: TakeId) {
        self.take = take;
        self.pending.clear();
        self.due.clear();
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
        let start = quarters(segment.start());
        // Asked when it has begun already, nothing could be in time: it gets the grace a late note gets.
        let decide_at = if at < start { start } else { at + LATEST };
        // Notes that are played a little early are struck before their segment begins, if they are there by then.
        let from = from.max(start + Timing::EARLIEST.ticks() / f64::from(TICKS_PER_QUARTER));
        let due = Due { segment, take: self.take, from, decide_at, begun: false, complete: false, chosen: None };
        self.due.push(due);
    }

    /// Where the next decision falls, in quarter notes; infinite if there is none.
    pub fn next_decision(&self, offline: bool) -> f64 {
        let open = self.due.iter().filter(|due| due.chosen.is_none());
        open.map(|due| if offline { due.from } else { due.decide_at }).fold(f64::INFINITY, f64::min)
    }

    /// Settles what is played of the segments whose time has come. Offline it waits for their answers.
    pub fn decide(&mut self, span: &Span, sample: u32, offline: bool) {
        self.receive();
        for index in 0..self.due.len() {
            let due = self.due[index];
            let at = if offline { due.from } else { due.decide_at };
            if due.chosen.is_some() || span.sample(at) > sample {
                continue;
            }
            if offline {
                self.wait_for_answer(index);
            }
            let due = &mut self.due[index];
            due.chosen = Some(if due.begun { ReplyKind::Answer } else { ReplyKind::Reserve });
            if !due.begun && self.meters.ready.load(Ordering::Relaxed) {
                Meters::count(&self.meters.late_segments);
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
        settings: &Settings,
        sounding: &mut SoundingNotes,
        output: &mut EventBuffer,
    ) {
        self.receive();
        while let Some((index, sample)) = self.next_note(span, &samples) {
            sounding.release_ended(sample + 1, samples.start, span, output);
            let pending = self.pending.swap_remove(index);
            self.strike(span, sample, &pending, settings, sounding, output);
        }
        sounding.release_ended(samples.end, samples.start, span, output);
    }

    fn take_in(&mut self, reply: &Reply) {
        let due = self.due.iter_mut().find(|due| due.segment.start() == reply.segment_start && due.take == reply.take);
        let over = due.as_ref().is_some_and(|due| due.chosen.is_some_and(|chosen| chosen != reply.kind));
        match reply.message {
            ReplyMessage::Note(_) if over => {}
            ReplyMessage::Note(note) => {
                let Reply { take, segment_start, kind, .. } = *reply;
                if self.pending.len() < Self::PENDING {
                    self.pending.push(PendingNote { take, segment_start, kind, note });
                } else {
                    Meters::count(&self.meters.dropped);
                }
            }
            ReplyMessage::Begin | ReplyMessage::End if reply.kind == ReplyKind::Reserve => {}
            ReplyMessage::Begin => {
                if let Some(due) = due {
                    due.begun = true;
                    // Also late: while nothing is settled, the answer is welcome.
                    let _ = due.chosen.get_or_insert(ReplyKind::Answer);
                }
            }
            ReplyMessage::End => {
                if let Some(due) = due {
                    due.complete = true;
                }
            }
        }
    }

    /// Only ever called in an offline render, where the host allows waiting.
    fn wait_for_answer(&mut self, index: usize) {
        const BETWEEN_LOOKS: Duration = Duration::from_micros(50);
        let begun = Instant::now();
        while !self.due[index].complete && !self.replies.is_abandoned() && begun.elapsed() < Self::PATIENCE {
            std::thread::sleep(BETWEEN_LOOKS);
            self.receive();
        }
        self.receive();
    }

    /// The first note that is struck on one of these samples, and the sample. Notes that are too late are dropped.
    fn next_note(&mut self, span: &Span, samples: &std::ops::Range<u32>) -> Option<(usize, u32)> {
        self.drop_late(span.position(samples.start));
        let playable = self.pending.iter().enumerate().filter_map(|(index, pending)| {
            let due = self.due_of(pending)?;
            let sample = span.sample(pending.note.struck_at().max(due.from)).max(samples.start);
            let PartNote { part, note, .. } = pending.note;
            (sample < samples.end).then_some((sample, part, note.key, note.start, index))
        });
        playable.min().map(|(sample, .., index)| (index, sample))
    }

    /// The chosen answer that the note belongs to.
    fn due_of(&self, pending: &PendingNote) -> Option<&Due> {
        self.due.iter().find(|due| {
            due.segment.start() == pending.segment_start && due.take == pending.take && due.chosen == Some(pending.kind)
        })
    }

    fn drop_late(&mut self, position: f64) {
        let (due, late) = (&self.due, &self.meters.late_notes);
        self.pending.retain(|pending| {
            let Some(due) = due.iter().find(|due| due.segment.start() == pending.segment_start) else {
                return true;
            };
            if due.chosen != Some(pending.kind) {
                return due.chosen.is_none();
            }
            // A take that begins inside a note joins it, if there is enough left of it to be heard.
            let joined = pending.due_at() < due.from;
            if joined && (pending.note.part == Part::Drums || pending.note.released_at() < due.from + LATEST) {
                return false;
            }
            let in_time = pending.due_at().max(due.from) + LATEST >= position;
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
        settings: &Settings,
        sounding: &mut SoundingNotes,
        output: &mut EventBuffer,
    ) {
        let PartNote { part: of_part, note, .. } = pending.note;
        let (part, end) = (&settings.parts[of_part], pending.note.released_at());
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
        if !sounding.strike(sample, strike, output) {
            self.meters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn quarters(ticks: Ticks) -> f64 {
    f64::from(ticks) / f64::from(TICKS_PER_QUARTER)
}
