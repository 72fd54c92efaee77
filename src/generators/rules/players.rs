//! Bass, chords, pad and counter-melody: what each does with a chord in a texture.

use super::rhythm::{BassFigure, Figure, NEVER, Place, Rank};
use super::voicing::{
    BASS_RANGE, CHORD_RANGE, CounterContext, PAD_RANGE, Spacing, bass_key, counter_key, lead, other_bass_class,
    sounding, step_towards,
};
use super::{Pen, Sheet, Stretch};
use crate::music::{Chord, Key, Note, Part, Ticks};

pub fn bass(sheet: &Sheet<'_>, pen: &mut Pen<'_>) {
    let mut before = sheet.last_key(Part::Bass);
    for stretch in &sheet.stretches {
        let Some(chord) = stretch.chord else { continue };
        let places = bass_places(sheet, pen, stretch);
        for (index, place) in places.iter().enumerate() {
            let end = end_of(&places, index, stretch);
            let key = bass_note(sheet, pen, stretch, &chord, (index, places.len()), before);
            pen.strike(key, place.at, end, place.rank.strength());
            before = Some(key);
        }
    }
}

fn bass_places(sheet: &Sheet<'_>, pen: &mut Pen<'_>, stretch: &Stretch) -> Vec<Place> {
    pen.begin();
    let mut places = pen.places(stretch.segment, &sheet.texture.bass, |_| 0.0);
    if sheet.texture.bass_figure == BassFigure::Dotted {
        let last = places.last().map(|place| place.at);
        places.retain(|place| place.rank >= Rank::Beat || Some(place.at) == last);
    }
    places
}

/// The note at stroke `index` of `count`.
fn bass_note(
    sheet: &Sheet<'_>,
    pen: &mut Pen<'_>,
    stretch: &Stretch,
    chord: &Chord,
    (index, count): (usize, usize),
    before: Option<Key>,
) -> Key {
    let root = bass_key(chord.bass(), before);
    let other = bass_key(other_bass_class(chord), Some(root));
    let last = index > 0 && index + 1 == count;
    let towards = stretch.turns_to.filter(|_| last).map(|next| {
        let goal = bass_key(next.bass(), before);
        step_towards(goal, before.unwrap_or(root), sheet.tonality)
    });
    let towards = towards.filter(|key| BASS_RANGE.contains(&i32::from(key.number())) && Some(*key) != before);
    match sheet.texture.bass_figure {
        BassFigure::Walk => towards.unwrap_or_else(|| walk(chord, index + usize::from(stretch.continued), root)),
        BassFigure::Held => root,
        BassFigure::RootFifth if (index + usize::from(stretch.continued)) % 2 == 1 => other,
        BassFigure::RootFifth => root,
        BassFigure::Dotted if last && pen.chance(0.4) => towards.unwrap_or(other),
        BassFigure::Pump if last && pen.chance(0.25) => towards.unwrap_or(other),
        BassFigure::Dotted | BassFigure::Pump => root,
    }
}

/// Root, third, fifth, third; an inversion stays on its bass.
fn walk(chord: &Chord, index: usize, root: Key) -> Key {
    let class = match (chord.slash, index % 4) {
        (Some(bass), _) => bass,
        (None, 0) => chord.root,
        (None, 2) => chord.root.up(chord.quality.intervals()[2]),
        (None, _) => chord.root.up(chord.quality.intervals()[1]),
    };
    bass_key(class, Some(root))
}

pub fn chords(sheet: &Sheet<'_>, pen: &mut Pen<'_>) {
    let mut before = sheet.last_keys(Part::Chords);
    let spacing = if sheet.texture.figure == Figure::Arpeggio { Spacing::Open } else { Spacing::Close };
    for stretch in &sheet.stretches {
        let Some(chord) = stretch.chord else { continue };
        let keys = lead(&chord, sheet.texture.voices, spacing, CHORD_RANGE, &before);
        pen.begin();
        let places = pen.places(stretch.segment, &sheet.texture.chords, |place| with_melody(sheet, place));
        let turned = pen.chance(0.12);
        for index in 0..places.len() {
            strike_figure(sheet, pen, stretch, &places, index, &keys, turned);
        }
        before = keys;
    }
}

/// Choral chords go with the beats on which the melody moves.
fn with_melody(sheet: &Sheet<'_>, place: &Place) -> f32 {
    let together = sheet.texture.figure == Figure::Choral
        && sheet.melody_known
        && place.rank == Rank::Beat
        && sheet.heard.iter().rev().any(|note| note.start == place.at);
    if together { 0.15 } else { 0.0 }
}

fn strike_figure(
    sheet: &Sheet<'_>,
    pen: &mut Pen<'_>,
    stretch: &Stretch,
    places: &[Place],
    index: usize,
    keys: &[Key],
    turned: bool,
) {
    let Place { at, rank } = places[index];
    let next = end_of(places, index, stretch);
    let gated = at + ((next - at) as f32 * sheet.texture.gate).round() as Ticks;
    let mut strike = |keys: &[Key], end: Ticks| keys.iter().for_each(|key| pen.strike(*key, at, end, rank.strength()));
    if places.len() == 1 {
        return strike(keys, gated);
    }
    match sheet.texture.figure {
        Figure::Choral | Figure::Block => strike(keys, gated),
        Figure::AfterBeat if index == 0 => strike(&keys[..1], next),
        Figure::AfterBeat => strike(&keys[1..], gated),
        Figure::Arpeggio => {
            // The second half of a bar goes on where the first one stopped.
            let gone = if stretch.continued { places.len() } else { 0 } + if turned { keys.len() - 1 } else { 0 };
            strike(&[keys[up_and_down(index + gone, keys.len())]], stretch.segment.end());
        }
        Figure::Rocking if index.is_multiple_of(2) => strike(&keys[..1], end_of(places, index + 1, stretch)),
        Figure::Rocking => strike(&keys[1..], gated),
    }
}

/// 0 1 2 3 2 1 0 1 … for four.
fn up_and_down(index: usize, count: usize) -> usize {
    let period = 2 * count - 2;
    let place = index % period;
    place.min(period - place)
}

/// Where the stroke after this one is, or the segment's end.
fn end_of(places: &[Place], index: usize, stretch: &Stretch) -> Ticks {
    places.get(index + 1).map_or(stretch.segment.end(), |next| next.at)
}

/// Held as long as the chord.
pub fn pad(sheet: &Sheet<'_>, pen: &mut Pen<'_>) {
    let voices = if sheet.density[Part::Pad] > 0.6 { 4 } else { 3 };
    let mut before = sheet.last_keys(Part::Pad);
    for run in sheet.stretches.chunk_by(|a, b| a.chord == b.chord) {
        let (first, last) = (run[0], run[run.len() - 1]);
        let Some(chord) = first.chord else { continue };
        before = lead(&chord, voices, Spacing::Open, PAD_RANGE, &before);
        for key in &before {
            pen.strike(*key, first.segment.start(), last.segment.end(), 0.5);
        }
    }
}

/// Long notes, moving where the melody rests.
pub fn counter(sheet: &Sheet<'_>, pen: &mut Pen<'_>) {
    let mut before = sheet.last_key(Part::Counter);
    for run in sheet.stretches.chunk_by(|a, b| a.chord == b.chord) {
        let Some(chord) = run[0].chord else { continue };
        let end = run[run.len() - 1].segment.end();
        let strokes: Vec<Place> = run.iter().flat_map(|stretch| counter_places(sheet, pen, stretch)).collect();
        for (index, place) in strokes.iter().enumerate() {
            let end = strokes.get(index + 1).map_or(end, |next| next.at);
            let melody = sounding(sheet.heard, place.at, end);
            let Some(key) = counter_key(&chord, &counter_context(sheet, &melody, place.at, before)) else { continue };
            pen.strike(key, place.at, end, place.rank.strength());
            before = Some(key);
        }
    }
}

fn counter_places(sheet: &Sheet<'_>, pen: &mut Pen<'_>, stretch: &Stretch) -> Vec<Place> {
    pen.begin();
    let segment = stretch.segment;
    let held = sheet.heard.iter().any(|note| note.end() > segment.start());
    let need = |place: &Place| match place.rank {
        Rank::Bar | Rank::Half if !stretch.continued => 0.1,
        Rank::Bar | Rank::Half => 0.45,
        Rank::Beat if sheet.melody_known && melody_moves(sheet.heard, place.at) => 0.85,
        Rank::Beat if sheet.melody_known || held => 0.4,
        Rank::Beat => 0.65,
        Rank::Pulse | Rank::Between => NEVER,
    };
    super::places(segment).into_iter().filter(|place| pen.wants(need(place))).collect()
}

/// Whether the melody strikes within a beat from here.
fn melody_moves(melody: &[Note], at: Ticks) -> bool {
    melody.iter().rev().any(|note| (at..at + 12).contains(&note.start))
}

fn counter_context<'a>(
    sheet: &Sheet<'_>,
    melody: &'a [(Key, Ticks)],
    at: Ticks,
    before: Option<Key>,
) -> CounterContext<'a> {
    /// Two bars or so: what gives an impression of the melody's height.
    const LATEST: usize = 12;
    /// What the melody did longer ago is no motion any more.
    const JUST_NOW: Ticks = 12;
    let struck = &sheet.heard[..sheet.heard.partition_point(|note| note.start <= at)];
    let latest = &struck[struck.len().saturating_sub(LATEST)..];
    let pitch = |note: &Note| i32::from(note.key.number());
    let melody_motion = match latest {
        [.., a, b] if b.start > at - JUST_NOW => pitch(b) - pitch(a),
        _ => 0,
    };
    let melody_height = (!latest.is_empty()).then(|| latest.iter().map(pitch).sum::<i32>() / latest.len() as i32);
    CounterContext { melody, melody_height, melody_motion, before }
}
