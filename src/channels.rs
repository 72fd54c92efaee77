//! Every queue between the threads, and every type that crosses them.
//!
//! What crosses to or from the audio thread is `Copy` and owns no heap memory (a test checks it), so that neither
//! side ever frees what the other made.

mod piano;

pub use piano::{PianoKeys, PianoTouches, Touch, connect_piano};

use crate::generators::PartNote;
use crate::generators::library::GeneratorChoice;
use crate::ledger::{Ledger, LedgerCommand};
use crate::music::{
    ChordPlan, Key, Melodist, Note, PerPart, PlannedChord, Segment, TICKS_PER_QUARTER, Ticks, Velocity,
};
use crate::settings::Settings;
use atomic_float::{AtomicF32, AtomicF64};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One unbroken stretch of playing: changes whenever the transport starts or jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TakeId(pub u32);

impl TakeId {
    /// Takes are counted, and the count may begin anew.
    pub fn is_after(self, other: Self) -> bool {
        self != other && self.0.wrapping_sub(other.0) <= u32::MAX / 2
    }
}

/// Audio thread → inference thread: the melody as it is heard, and the moments at which an answer is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Heard {
    /// The transport started or jumped to `at` quarter notes. Notes still held end here.
    TakeBegan {
        take: TakeId,
        at: f64,
    },
    NoteOn {
        key: Key,
        velocity: Velocity,
        channel: u8,
        at: f64,
    },
    NoteOff {
        key: Key,
        channel: u8,
        at: f64,
    },
    /// A key of a chord that the player gives. Its release is a [`Heard::NoteOff`].
    ChordOn {
        key: Key,
        channel: u8,
        at: f64,
    },
    /// Such a key is down since before the take, which has just begun.
    ChordHeld {
        key: Key,
        channel: u8,
    },
    /// The answer to this segment is due: all that was heard before it has been sent.
    Cut(Cut),
    /// The transport stopped at `at` quarter notes.
    TakeEnded {
        at: f64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    pub take: TakeId,
    pub segment: Segment,
    /// How many ticks before the segment hearing stopped, rounded up; see [`SHORTEST_MARGIN`].
    pub margin: Ticks,
    pub settings: Settings,
    pub quarters_per_minute: f32,
    /// The audio thread will wait for the whole answer.
    pub offline: bool,
}

impl Cut {
    /// A tempo as answers are told it: to a hundredth of a quarter a minute. Files keep microseconds a quarter and hosts a
    /// fraction; what is played must not depend on who tells it.
    pub fn tempo(quarters_per_minute: f64) -> f32 {
        ((quarters_per_minute * 100.0).round() / 100.0) as f32
    }
}

/// Least margin: hearing stops a 32nd (1.5 ticks) before the segment, and onsets are rounded to ticks, so the last
/// tick that is surely known is two before it.
pub const SHORTEST_MARGIN: Ticks = 2;

/// Inference thread → audio thread: the accompaniment, note by note as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reply {
    pub take: TakeId,
    /// The segment it belongs to, by its start.
    pub segment_start: Ticks,
    pub kind: ReplyKind,
    pub message: ReplyMessage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    /// What the generator wrote.
    Answer,
    /// Written by rule ahead of time, played only if the answer is not there when its segment begins.
    Reserve,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReplyMessage {
    Begin,
    /// Before the part's octave and velocity settings.
    Note(PartNote),
    /// Nothing more follows for this segment and kind.
    End,
}

/// Counters and meters, written by the audio and inference threads and read by the editor. Latest wins.
/// What goes to the audio thread: [`Meters::panics`], [`Meters::wanted_seconds`] and [`Meters::played_elsewhere`].
#[derive(Debug, Default)]
pub struct Meters {
    /// The generator is loaded; before that nothing can come late.
    pub ready: AtomicBool,
    /// Blocks that the host has asked for.
    pub blocks: AtomicU32,
    /// Melody notes that have come in.
    pub melody: Strikes,
    /// Notes of each part that have sounded here.
    pub parts: PerPart<Strikes>,
    /// Position of the transport in quarter notes.
    pub playhead_quarters: AtomicF64,
    pub playing: AtomicBool,
    pub bypassed: AtomicBool,
    /// A render waits for an answer.
    pub waiting: AtomicBool,
    asked: AtomicAsked,
    /// Notes that came later than a 32nd and were dropped.
    pub late_notes: AtomicU32,
    /// Segments whose answer was late: the rule-based reserve played, or the last bar again.
    pub late_segments: AtomicU32,
    /// Of these, segments for which not even the reserve was there, so that the last bar was played again.
    pub repeated_segments: AtomicU32,
    /// Late segments since the last answer that came in time.
    pub late_in_a_row: AtomicU32,
    /// Answers that a model failed to write, so that the rules did.
    pub failed_answers: AtomicU32,
    /// Messages that did not fit into a queue.
    pub dropped: AtomicU32,
    /// Milliseconds that the last answers took, smoothed; scaled to a whole bar.
    pub milliseconds_per_bar: AtomicF32,
    pub worst_milliseconds_per_bar: AtomicF32,
    /// Bars answered since loading.
    pub bars: AtomicU32,
    /// How long before a segment it has to be asked for, by the measured inference time.
    pub wanted_seconds: AtomicF32,
    /// How often the editor's panic button was pressed. It does not go by way of the inference thread, which may be
    /// what hangs.
    pub panics: AtomicU32,
    /// The parts that instances on other tracks play for this one, which are silent here: a bit for each
    /// [`Part::index`](crate::music::Part::index).
    pub played_elsewhere: AtomicU8,
}

impl Meters {
    pub fn count(counter: &AtomicU32) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// What the audio thread asked for last: take, and start of the segment. `None` while it stands still.
    pub fn asked(&self) -> Option<(TakeId, Ticks)> {
        self.asked.get()
    }

    /// Position of the transport in ticks, also within one.
    pub fn playhead(&self) -> f64 {
        self.playhead_quarters.load(Ordering::Relaxed) * f64::from(TICKS_PER_QUARTER)
    }

    /// The tick in which the transport is. A cast from a float saturates, and not-a-number becomes zero.
    pub fn playhead_tick(&self) -> Ticks {
        self.playhead().floor() as Ticks
    }

    pub fn set_asked(&self, asked: Option<(TakeId, Ticks)>) {
        self.asked.set(asked);
    }

    /// See [`Meters::played_elsewhere`].
    pub fn set_played_elsewhere(&self, parts: PerPart<bool>) {
        let bits = parts.iter().map(|(part, elsewhere)| u8::from(*elsewhere) << part.index());
        self.played_elsewhere.store(bits.sum(), Ordering::Relaxed);
    }

    /// See [`Meters::played_elsewhere`].
    pub fn parts_played_elsewhere(&self) -> PerPart<bool> {
        let bits = self.played_elsewhere.load(Ordering::Relaxed);
        PerPart::from_fn(|part| bits >> part.index() & 1 == 1)
    }
}

/// What was struck of one voice. The audio thread writes.
#[derive(Debug, Default)]
pub struct Strikes(AtomicU32);

impl Strikes {
    const VELOCITY_BITS: u32 = 7;

    pub fn strike(&self, velocity: Velocity) {
        let (count, _) = self.get();
        self.0.store((count + 1) << Self::VELOCITY_BITS | u32::from(velocity.get()), Ordering::Relaxed);
    }

    /// How often (counting begins anew after many millions), and how loud the last time; 0 before the first.
    pub fn get(&self) -> (u32, u8) {
        let packed = self.0.load(Ordering::Relaxed);
        (packed >> Self::VELOCITY_BITS, (packed & 127) as u8)
    }
}

/// Take and segment in one, so that they are of one moment.
#[derive(Debug)]
struct AtomicAsked(AtomicU64);

impl AtomicAsked {
    /// Segments do not begin at the last tick there is.
    const NOTHING: u64 = Ticks::MAX as u64;

    fn get(&self) -> Option<(TakeId, Ticks)> {
        let asked = self.0.load(Ordering::Relaxed);
        (asked != Self::NOTHING).then_some((TakeId((asked >> 32) as u32), asked as u32 as Ticks))
    }

    fn set(&self, asked: Option<(TakeId, Ticks)>) {
        let packed = asked.map_or(Self::NOTHING, |(take, start)| u64::from(take.0) << 32 | u64::from(start as u32));
        self.0.store(packed, Ordering::Relaxed);
    }
}

impl Default for AtomicAsked {
    fn default() -> Self {
        Self(AtomicU64::new(Self::NOTHING))
    }
}

/// Editor, or the plugin's state loading → inference thread.
#[derive(Debug, Clone, PartialEq)]
pub enum EditorCommand {
    /// The user's chord plan; an empty one gives the choice back to the engine.
    SetPlan(ChordPlan),
    Ledger(LedgerCommand),
    /// Another generator is to play from now on.
    UseGenerator(GeneratorChoice),
    /// Another is to work on the melody as this one does, by name; `None` is the first there is.
    UseMelodist {
        melodist: Melodist,
        name: Option<String>,
    },
    /// The song as it was saved; `number` counts such loads, so that its sender sees when it has arrived.
    Restore {
        ledger: Ledger,
        number: u32,
    },
}

/// Inference thread → editor: the song and the engine as they are now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SongView {
    pub engine: EngineStatus,
    /// The chords of what was answered, by segment.
    pub chords: Vec<(Segment, PlannedChord)>,
    /// The chords that are settled for what comes next, by segment.
    pub ahead: Vec<(Segment, PlannedChord)>,
    /// The song itself, as it would be saved now.
    pub ledger: Ledger,
    /// The last song that was loaded, by the number of its [`EditorCommand::Restore`].
    pub restored: u32,
    /// Steps that can be undone and redone.
    pub steps: (usize, usize),
}

/// What plays, and what is wrong if something is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EngineStatus {
    /// `ONNX Runtime 1.24`, `tract`; empty until a model has been loaded.
    pub backend: String,
    /// `CPU`.
    pub device: String,
    /// Name of the generator in use.
    pub generator: String,
    /// Parts that are written by rule, not by the generator.
    pub by_rule: PerPart<bool>,
    /// Of the answers since loading, each scaled to a whole bar.
    pub median_milliseconds_per_bar: f32,
    pub worst_milliseconds_per_bar: f32,
    /// A sentence for the user: what is wrong and what to do.
    pub problem: Option<String>,
    pub enhancer: MelodistStatus,
    pub extender: MelodistStatus,
}

/// Who works on the melody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MelodistStatus {
    /// Empty before it was wanted, and where there is none.
    pub name: String,
    /// Why there is none, or where it computes instead.
    pub problem: Option<String>,
}

/// Where the inference thread leaves the view for the editor. Neither side is real-time, so a lock will do.
#[derive(Debug, Clone, Default)]
pub struct SharedView {
    song: Arc<Mutex<Arc<SongView>>>,
    /// Apart from the song, since it changes with each note.
    sung: Arc<Mutex<Arc<Vec<Note>>>>,
}

impl SharedView {
    pub fn publish(&self, view: SongView) {
        *self.song.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    pub fn get(&self) -> Arc<SongView> {
        self.song.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The melody of bars that are under way, by start. What is still held is [`HELD`](crate::hearing::HELD) long.
    pub fn publish_sung(&self, notes: Vec<Note>) {
        *self.sung.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(notes);
    }

    pub fn sung(&self) -> Arc<Vec<Note>> {
        self.sung.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The audio thread's end of both queues.
pub struct RealtimeEnd {
    pub heard: rtrb::Producer<Heard>,
    pub replies: rtrb::Consumer<Reply>,
    pub meters: Arc<Meters>,
}

/// The inference thread's end of both queues.
pub struct InferenceEnd {
    pub heard: rtrb::Consumer<Heard>,
    pub replies: rtrb::Producer<Reply>,
    pub meters: Arc<Meters>,
}

/// Room for what is heard: several seconds of a very busy controller keyboard.
const HEARD_CAPACITY: usize = 8192;
/// Room for replies: several bars of a very dense band, twice (answer and reserve).
const REPLY_CAPACITY: usize = 8192;

/// Makes both queues and hands out their ends.
pub fn connect() -> (RealtimeEnd, InferenceEnd) {
    let (heard_in, heard_out) = rtrb::RingBuffer::new(HEARD_CAPACITY);
    let (replies_in, replies_out) = rtrb::RingBuffer::new(REPLY_CAPACITY);
    let meters = Arc::new(Meters::default());
    let realtime = RealtimeEnd { heard: heard_in, replies: replies_out, meters: meters.clone() };
    let inference = InferenceEnd { heard: heard_out, replies: replies_in, meters };
    (realtime, inference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::Part;

    #[test]
    fn the_playhead_is_in_the_tick_before_zero_when_it_is_left_of_zero() {
        let meters = Meters::default();
        for (quarters, tick) in [(-0.01, -1), (0.0, 0), (0.99, 11), (f64::NAN, 0), (1e300, Ticks::MAX)] {
            meters.playhead_quarters.store(quarters, Ordering::Relaxed);
            assert_eq!(meters.playhead_tick(), tick, "{quarters}");
        }
    }

    #[test]
    fn takes_are_told_apart_also_where_their_count_begins_anew() {
        for (later, earlier) in [(2, 1), (9, 1), (0, u32::MAX), (5, u32::MAX - 5)] {
            assert!(TakeId(later).is_after(TakeId(earlier)) && !TakeId(earlier).is_after(TakeId(later)));
        }
        assert!(!TakeId(3).is_after(TakeId(3)));
    }

    /// A file says 512,821 µs a quarter where a host says 117.
    #[test]
    fn a_tempo_is_the_same_from_a_file_and_from_a_host() {
        for tempo in (4..=1200).map(|quarter| 0.25 * f64::from(quarter)) {
            let as_in_a_file = 60e6 / (60e6 / tempo).round();
            assert_eq!(Cut::tempo(as_in_a_file), Cut::tempo(tempo), "{tempo}");
            assert!((f64::from(Cut::tempo(tempo)) - tempo).abs() < 0.005);
        }
    }

    #[test]
    fn strikes_are_counted_with_the_last_velocity() {
        let strikes = Strikes::default();
        assert_eq!(strikes.get(), (0, 0));
        [1, 127, 64].into_iter().for_each(|velocity| strikes.strike(Velocity::clamped(velocity)));
        assert_eq!(strikes.get(), (3, 64));
        strikes.0.store(u32::MAX, Ordering::Relaxed);
        strikes.strike(Velocity::clamped(9));
        assert_eq!(strikes.get(), (0, 9));
    }

    #[test]
    fn every_part_has_its_bit() {
        let meters = Meters::default();
        for bits in 0..1 << Part::COUNT {
            let parts = PerPart::from_fn(|part| bits >> part.index() & 1 == 1);
            meters.set_played_elsewhere(parts);
            assert_eq!(meters.parts_played_elsewhere(), parts);
        }
    }

    #[test]
    fn what_was_asked_is_told_as_it_was() {
        let meters = Meters::default();
        assert_eq!(meters.asked(), None);
        for asked in [(TakeId(0), 0), (TakeId(7), -96), (TakeId(u32::MAX), 100_000), (TakeId(3), -1)] {
            meters.set_asked(Some(asked));
            assert_eq!(meters.asked(), Some(asked));
        }
        meters.set_asked(None);
        assert_eq!(meters.asked(), None);
    }

    #[test]
    fn nothing_that_crosses_to_the_audio_thread_owns_heap_memory() {
        fn is_plain_data<T: Copy + Send + 'static>() {
            assert!(!std::mem::needs_drop::<T>());
        }
        is_plain_data::<Heard>();
        is_plain_data::<Reply>();
        is_plain_data::<Settings>();
        is_plain_data::<Touch>();
    }
}
