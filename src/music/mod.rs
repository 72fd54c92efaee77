//! The vocabulary of the field: notes, bars, metres, chords, keys, parts and styles.
//!
//! Pure values and functions; every other module may use these, and these use nothing of the house.

mod harmony;
mod note;
mod part;
mod plan;
mod song;
mod style;
mod time;
mod tonality;

pub use harmony::{Chord, ChordTextError, PitchClass, PitchClassSet, Quality};
pub use note::{Key, Note, Timing, Velocity};
pub use part::{Melodist, Part, PerPart};
pub use plan::{ChordPlan, PlanError, PlanSource, PlannedChord};
pub use song::{Song, TempoChange};
pub use style::{
    Style, StyleWeights, blend as style_blend, position_from_text as style_from_text, position_text as style_text,
    stops as style_stops,
};
pub use time::{Bar, BarIndex, Meter, MeterError, Segment, TICKS_PER_QUARTER, Ticks, in_quarters, quantise};
pub use tonality::{Mode, Tonality};
