//! What a band has answered lately, for the instances that play its parts. Written on the band's inference thread, read on theirs.

use crate::channels::{Cut, Reply, ReplyKind, ReplyMessage, TakeId};
use crate::generators::PartNote;
use crate::music::{PerPart, Segment, Ticks};
use std::collections::VecDeque;

/// The answers to the last segments, as far as they have been written.
#[derive(Debug, Default)]
pub struct Answers {
    /// The take that the band is in; `None` while it stands still.
    take: Option<TakeId>,
    on: Option<PerPart<bool>>,
    shown: VecDeque<ShownAnswer>,
    /// How many answers have been shown.
    count: u64,
}

/// An answer of a band, or the reserve for one.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownAnswer {
    /// Answers are counted, so that one can be told from another to the same segment.
    pub number: u64,
    pub take: TakeId,
    pub segment: Segment,
    pub kind: ReplyKind,
    /// Its first note is known, or that there is none.
    pub begun: bool,
    pub notes: Vec<PartNote>,
    pub complete: bool,
}

/// What of a band's answers belongs to an earlier take of a part: the part began its own take when the band was in `take`
/// and had shown `count` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TakesOver {
    pub take: Option<TakeId>,
    pub count: u64,
}

impl TakesOver {
    /// Of one take nothing is over that has been shown since: a part may stop and begin while its band goes on.
    fn includes(&self, answer: &ShownAnswer) -> bool {
        let newer = self.take.is_none_or(|over| answer.take.is_after(over));
        !newer && answer.number <= self.count
    }
}

impl Answers {
    /// Two for each of so many segments that instances which are some blocks apart still find theirs.
    const KEPT: usize = 64;

    pub fn set_take(&mut self, take: Option<TakeId>) {
        self.take = take;
    }

    /// The take that the band is in, if it plays.
    pub fn take(&self) -> Option<TakeId> {
        self.take
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The parts that were switched on when the band was asked last, if it ever was.
    pub fn parts_on(&self) -> Option<PerPart<bool>> {
        self.on
    }

    pub fn asked(&mut self, cut: &Cut) {
        self.take = Some(cut.take);
        self.on = Some(PerPart::from_fn(|part| cut.settings.part_is_on(part)));
        self.add(cut.take, cut.segment, ReplyKind::Answer);
    }

    /// Whether something that begins here was asked for in this take.
    pub fn were_asked(&self, take: TakeId, start: Ticks) -> bool {
        let asked = |answer: &ShownAnswer| {
            answer.kind == ReplyKind::Answer && (answer.take, answer.segment.start()) == (take, start)
        };
        self.shown.iter().rev().any(asked)
    }

    pub fn show(&mut self, segment: Segment, reply: &Reply) {
        if (reply.kind, reply.message) == (ReplyKind::Reserve, ReplyMessage::Begin) {
            self.add(reply.take, segment, reply.kind);
        }
        let of_reply =
            |answer: &&mut ShownAnswer| (answer.take, answer.segment, answer.kind) == (reply.take, segment, reply.kind);
        let Some(answer) = self.shown.iter_mut().rev().find(of_reply) else { return };
        match reply.message {
            ReplyMessage::Begin => answer.begun = true,
            ReplyMessage::Note(note) => answer.notes.push(note),
            ReplyMessage::End => answer.complete = true,
        }
    }

    /// The newest answer to a segment in the band's present take that is not `over`.
    pub fn find(&self, segment: &Segment, kind: ReplyKind, over: &TakesOver) -> Option<&ShownAnswer> {
        let same_place = |other: &Segment| (other.start(), other.end()) == (segment.start(), segment.end());
        let fits = |answer: &&ShownAnswer| {
            answer.kind == kind
                && Some(answer.take) == self.take
                && same_place(&answer.segment)
                && !over.includes(answer)
        };
        self.shown.iter().rev().find(fits)
    }

    /// The answer of this number, while it is kept.
    pub fn by_number(&self, number: u64) -> Option<&ShownAnswer> {
        self.shown.iter().rev().find(|answer| answer.number == number)
    }

    fn add(&mut self, take: TakeId, segment: Segment, kind: ReplyKind) {
        if self.shown.len() == Self::KEPT {
            self.shown.pop_front();
        }
        self.count += 1;
        let (number, notes) = (self.count, Vec::new());
        self.shown.push_back(ShownAnswer { number, take, segment, kind, begun: false, notes, complete: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::SHORTEST_MARGIN;
    use crate::music::{Bar, Key, Meter, Note, Part, Velocity};
    use crate::settings::Settings;

    fn segment(index: i32) -> Segment {
        Segment { bar: Bar::of_constant_meter(index, Meter::COMMON), number: 0 }
    }

    fn cut(take: u32, index: i32) -> Cut {
        Cut {
            take: TakeId(take),
            segment: segment(index),
            margin: SHORTEST_MARGIN,
            settings: Settings::default(),
            quarters_per_minute: 120.0,
            offline: false,
        }
    }

    fn show(answers: &mut Answers, take: u32, index: i32, kind: ReplyKind, message: ReplyMessage) {
        let reply = Reply { take: TakeId(take), segment_start: segment(index).start(), kind, message };
        answers.show(segment(index), &reply);
    }

    fn note(start: i32) -> PartNote {
        let note = Note { start, key: Key::folded(40), duration: 6, velocity: Velocity::default() };
        PartNote::on_grid(Part::Bass, note)
    }

    #[test]
    fn an_answer_is_shown_as_it_is_written() {
        use ReplyKind::{Answer, Reserve};
        let mut answers = Answers::default();
        let none = TakesOver::default();
        answers.asked(&cut(1, 0));
        let found = |answers: &Answers, kind| answers.find(&segment(0), kind, &none).cloned();
        let asked = found(&answers, Answer).expect("it is asked for");
        assert!(!asked.begun && !asked.complete && found(&answers, Reserve).is_none());
        show(&mut answers, 1, 0, Reserve, ReplyMessage::Begin);
        show(&mut answers, 1, 0, Answer, ReplyMessage::Begin);
        show(&mut answers, 1, 0, Answer, ReplyMessage::Note(note(0)));
        let begun = found(&answers, Answer).expect("it is there");
        assert!(begun.begun && !begun.complete);
        assert_eq!(begun.notes, [note(0)]);
        show(&mut answers, 1, 0, Answer, ReplyMessage::End);
        assert!(answers.by_number(asked.number).is_some_and(|answer| answer.complete));
        assert_eq!(found(&answers, Reserve).map(|reserve| reserve.complete), Some(false));
    }

    #[test]
    fn what_belongs_to_an_earlier_take_is_not_found() {
        let mut answers = Answers::default();
        let find =
            |answers: &Answers, over| answers.find(&segment(0), ReplyKind::Answer, &over).map(|found| found.number);
        answers.asked(&cut(1, 0));
        assert_eq!(find(&answers, TakesOver::default()), Some(1), "a part that comes later joins in");
        let jumped = TakesOver { take: Some(TakeId(1)), count: answers.count() };
        assert_eq!(find(&answers, jumped), None, "the part has jumped, the band not yet");
        answers.asked(&cut(1, 0));
        assert_eq!(find(&answers, jumped), Some(2), "the band goes on in its take");
        answers.asked(&cut(2, 0));
        assert_eq!(find(&answers, jumped), Some(3));
        let late = TakesOver { take: Some(TakeId(1)), count: answers.count() };
        assert_eq!(find(&answers, late), Some(3), "the band has jumped before the part");
        answers.set_take(None);
        assert_eq!(find(&answers, TakesOver::default()), None, "it stands still");
    }

    #[test]
    fn only_the_last_answers_are_kept() {
        let mut answers = Answers::default();
        (0..1000).for_each(|index| answers.asked(&cut(1, index)));
        assert_eq!(answers.shown.len(), Answers::KEPT);
        let none = TakesOver::default();
        assert!(answers.find(&segment(999), ReplyKind::Answer, &none).is_some());
        assert!(answers.find(&segment(0), ReplyKind::Answer, &none).is_none() && answers.by_number(1).is_none());
    }
}
