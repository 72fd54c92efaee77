//! The bar that is played again while nothing new comes. Runs on the audio thread.

use crate::generators::PartNote;
use crate::music::{Segment, Ticks};

/// Keeps the last bar that came whole, segment by segment.
#[derive(Debug)]
pub struct Vamp {
    /// By number in the bar.
    kept: [Option<Segment>; 2],
    notes: [Vec<PartNote>; 2],
    /// Which of the two is the newer.
    latest: usize,
    /// A segment on its way in.
    coming: Option<Segment>,
    coming_notes: Vec<PartNote>,
}

impl Vamp {
    /// Notes kept of a segment: more than a dense band plays in one.
    const NOTES: usize = 512;

    pub fn new() -> Self {
        let room = || Vec::with_capacity(Self::NOTES);
        Self { kept: [None; 2], notes: [room(), room()], latest: 0, coming: None, coming_notes: room() }
    }

    /// From here on come the notes of `segment`.
    pub fn begin(&mut self, segment: Segment) {
        self.coming = Some(segment);
        self.coming_notes.clear();
    }

    pub fn note(&mut self, note: PartNote) {
        if self.coming_notes.len() < Self::NOTES {
            self.coming_notes.push(note);
        }
    }

    /// The segment is whole.
    pub fn keep(&mut self) {
        if let Some(segment) = self.coming.take() {
            self.latest = usize::from(segment.number);
            self.kept[self.latest] = Some(segment);
            std::mem::swap(&mut self.notes[self.latest], &mut self.coming_notes);
        }
    }

    /// The notes to be played in `segment`: those of the same place in the last bar of its metre, else the last that
    /// were kept, as far as they fit.
    pub fn notes_for(&self, segment: Segment) -> impl Iterator<Item = PartNote> {
        let same = usize::from(segment.number);
        let fits = self.kept[same].is_some_and(|kept| kept.bar.meter == segment.bar.meter);
        let slot = if fits { same } else { self.latest };
        self.kept[slot].into_iter().flat_map(move |kept| {
            let shift = segment.start() - kept.start();
            self.notes[slot].iter().filter_map(move |note| moved(note, shift, segment.end()))
        })
    }
}

fn moved(note: &PartNote, shift: Ticks, end: Ticks) -> Option<PartNote> {
    let mut note = *note;
    note.note.start += shift;
    (note.note.start < end).then_some(note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Bar, Key, Meter, Note, Part, Velocity};

    fn keep(vamp: &mut Vamp, segment: Segment, key: i32) {
        vamp.begin(segment);
        for start in (segment.start()..segment.end()).step_by(12) {
            let note = Note { start, key: Key::folded(key), duration: 6, velocity: Velocity::default() };
            vamp.note(PartNote::on_grid(Part::Bass, note));
        }
        vamp.keep();
    }

    fn notes(vamp: &Vamp, segment: Segment) -> Vec<(Ticks, u8)> {
        vamp.notes_for(segment).map(|note| (note.note.start, note.note.key.number())).collect()
    }

    fn segments(index: i32, beats: i64) -> Vec<Segment> {
        Bar::of_constant_meter(index, Meter::new(beats, 4).expect("usual")).segments().collect()
    }

    #[test]
    fn the_last_bar_comes_again_at_the_same_place() {
        let mut vamp = Vamp::new();
        assert!(notes(&vamp, segments(0, 4)[0]).is_empty(), "there was none");
        for (index, segment) in segments(2, 4).into_iter().chain(segments(3, 4)).enumerate() {
            keep(&mut vamp, segment, 40 + index as i32);
        }
        // The half of a bar that did not come to its end does not count.
        vamp.begin(segments(4, 4)[0]);
        let [first, second] = [0, 1].map(|number| segments(7, 4)[number]);
        assert_eq!(notes(&vamp, first), [(336, 42), (348, 42)]);
        assert_eq!(notes(&vamp, second), [(360, 43), (372, 43)]);
    }

    #[test]
    fn in_another_metre_the_newest_is_played_as_far_as_it_fits() {
        let mut vamp = Vamp::new();
        keep(&mut vamp, segments(0, 4)[0], 40);
        keep(&mut vamp, segments(9, 3)[0], 50);
        assert_eq!(notes(&vamp, segments(1, 2)[0]), [(24, 50), (36, 50)]);
        assert_eq!(notes(&vamp, segments(1, 4)[1]), [(72, 50), (84, 50)]);
    }

    #[test]
    fn it_never_needs_more_room() {
        let mut vamp = Vamp::new();
        for index in 0..4 {
            let segment = segments(index, 4)[0];
            vamp.begin(segment);
            let note =
                Note { start: segment.start(), key: Key::folded(40), duration: 6, velocity: Velocity::default() };
            (0..5000).for_each(|_| vamp.note(PartNote::on_grid(Part::Bass, note)));
            vamp.keep();
            assert_eq!(vamp.notes_for(segment).count(), Vamp::NOTES);
        }
        let room: usize = vamp.notes.iter().map(Vec::capacity).sum::<usize>() + vamp.coming_notes.capacity();
        assert_eq!(room, 3 * Vamp::NOTES);
    }
}
