//! A host without a plugin format: drives the real-time processor block by block and keeps account of its notes.

use crossbeam_channel::{Receiver, Sender};
use obbligato::channels::{self, EditorCommand, InferenceEnd, Meters, RealtimeEnd, SharedView};
use obbligato::generators::library::Loaded;
use obbligato::inference::{InferenceThread, InferenceWorker};
use obbligato::links::Seat;
use obbligato::music::{Key, Note, Song, TICKS_PER_QUARTER, Timing, Velocity};
use obbligato::realtime::{Block, EventBuffer, HostTransport, NoteEvent, RealtimeProcessor, TimedEvent};
use obbligato::settings::Settings;
use obbligato::state::SongState;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// At 120 quarters a minute.
pub const SAMPLE_RATE: f64 = 48_000.0;
pub const SAMPLES_PER_QUARTER: u32 = 24_000;

/// What came out: an event and the sample, counted from the start of the run, at which it did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sent {
    pub sample: u64,
    pub event: NoteEvent,
}

impl Sent {
    pub fn is_on(&self) -> bool {
        matches!(self.event, NoteEvent::On { .. })
    }
}

/// A note that came out. Times are in sixteenths of a tick from where it began to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SentNote {
    pub start: i32,
    pub end: i32,
    pub channel: u8,
    pub key: Key,
    pub velocity: Velocity,
}

/// The other side of the queues.
enum Band {
    /// As in the plugin.
    Thread {
        _inference: InferenceThread,
    },
    /// Works between the blocks, so that a run can be repeated exactly.
    Inline(Box<InferenceWorker>),
    /// The test itself.
    End(InferenceEnd),
    Gone,
}

pub struct TestHost {
    processor: RealtimeProcessor,
    band: Band,
    pub meters: Arc<Meters>,
    pub view: SharedView,
    pub commands: Sender<EditorCommand>,
    /// What a project would save.
    pub state: SongState,
    output: EventBuffer,
    pub sent: Vec<Sent>,
    pub sounding: Sounding,
    /// Releases of what was not sounding.
    pub orphans: usize,
    pub elapsed: u64,
    /// How early a worker that takes its turns between the blocks wants to be asked: how fast this machine is just now must not shape
    /// a run that is to be repeated.
    pub wanted_seconds: f32,
}

impl TestHost {
    /// With an inference thread, as offline rendering needs it.
    pub fn threaded(load: impl FnOnce() -> Loaded + Send + 'static) -> Self {
        Self::threaded_at(Seat::default(), load)
    }

    /// The same among other instances.
    pub fn threaded_at(seat: Seat, load: impl FnOnce() -> Loaded + Send + 'static) -> Self {
        let (realtime, end) = channels::connect();
        let (view, (commands, receiver)) = (SharedView::default(), crossbeam_channel::unbounded());
        let inference =
            InferenceThread::spawn_seated(seat, end, view.clone(), receiver, load).expect("the system has threads");
        Self::with(realtime, view, commands, Band::Thread { _inference: inference })
    }

    pub fn inline(loaded: Loaded) -> Self {
        Self::inline_at(Seat::default(), loaded)
    }

    /// The same among other instances.
    pub fn inline_at(seat: Seat, loaded: Loaded) -> Self {
        let (realtime, end) = channels::connect();
        let (view, (commands, receiver)) = (SharedView::default(), crossbeam_channel::unbounded());
        let worker = worker(end, view.clone(), receiver, loaded).seated(seat);
        Self::with(realtime, view, commands, Band::Inline(Box::new(worker)))
    }

    /// Without a worker: the test hears what it would hear.
    pub fn bare() -> Self {
        let (realtime, end) = channels::connect();
        Self::with(realtime, SharedView::default(), crossbeam_channel::unbounded().0, Band::End(end))
    }

    /// The other end of the queues is elsewhere.
    pub fn alone(realtime: RealtimeEnd, view: SharedView) -> Self {
        Self::with(realtime, view, crossbeam_channel::unbounded().0, Band::Gone)
    }

    fn with(realtime: RealtimeEnd, view: SharedView, commands: Sender<EditorCommand>, band: Band) -> Self {
        let meters = realtime.meters.clone();
        Self {
            processor: RealtimeProcessor::new(realtime),
            band,
            meters,
            state: SongState::new(view.clone(), commands.clone()),
            view,
            commands,
            output: EventBuffer::new(),
            sent: Vec::new(),
            sounding: Sounding::default(),
            orphans: 0,
            elapsed: 0,
            wanted_seconds: 0.0,
        }
    }

    pub fn reset(&mut self) {
        self.processor.reset();
    }

    /// The worker is no more.
    pub fn kill_worker(&mut self) {
        self.band = Band::Gone;
    }

    /// The other end, where the test has it.
    pub fn end(&mut self) -> &mut InferenceEnd {
        match &mut self.band {
            Band::End(end) => end,
            Band::Thread { .. } | Band::Inline(_) | Band::Gone => panic!("made with `bare`"),
        }
    }

    /// One call of `process`, and the worker's turn.
    pub fn block(&mut self, block: &Block<'_>) {
        self.block_without_worker(block);
        if let Band::Inline(worker) = &mut self.band {
            worker.run_pending();
        }
    }

    /// One call of `process`. The worker does not get to run: as if inference took longer than the block.
    pub fn block_without_worker(&mut self, block: &Block<'_>) {
        if matches!(self.band, Band::Inline(_) | Band::Gone) {
            self.meters.wanted_seconds.store(self.wanted_seconds, Ordering::Relaxed);
        }
        self.output.clear();
        let (processor, output) = (&mut self.processor, &mut self.output);
        let allocations = allocations_in(|| processor.process(block, output));
        assert_eq!(allocations, 0, "allocations on the audio thread");
        self.take_account(block.frames);
    }

    fn take_account(&mut self, frames: u32) {
        let mut last = 0;
        for TimedEvent { timing, event } in self.output.iter().copied() {
            assert!(last <= timing && timing < frames.max(1), "event at {timing} of {frames}, after {last}");
            last = timing;
            self.sent.push(Sent { sample: self.elapsed + u64::from(timing), event });
            match event {
                NoteEvent::On { channel, key, .. } => self.sounding.strike(channel, key),
                NoteEvent::Off { channel, key } => self.orphans += usize::from(!self.sounding.release(channel, key)),
            }
        }
        self.elapsed += u64::from(frames);
    }

    /// Keys that sound.
    pub fn hanging(&self) -> usize {
        self.sounding.keys().count()
    }

    /// Samples at which anything was struck.
    pub fn strikes(&self) -> Vec<u64> {
        self.sent.iter().filter(|sent| sent.is_on()).map(|sent| sent.sample).collect()
    }

    pub fn count(&self, counter: impl Fn(&Meters) -> &AtomicU32) -> u32 {
        counter(&self.meters).load(Ordering::Relaxed)
    }

    /// What the user is told to be wrong.
    pub fn problem(&self) -> Option<String> {
        self.view.get().engine.problem.clone()
    }

    /// Plays a song from its start to the end of its last bar, and goes on from there if called again.
    pub fn play_song(&mut self, song: &Song, settings: &Settings, run: Run) {
        self.play_song_with(song, &[], settings, run);
    }

    /// The same, with chords beside the melody, each note with its channel.
    pub fn play_song_with(&mut self, song: &Song, chords: &[(u8, Note)], settings: &Settings, run: Run) {
        play_together(&mut [Track { host: self, settings: *settings, hears: |_| true }], song, chords, run);
    }

    pub fn stop(&mut self, settings: &Settings) {
        self.block(&block(64, HostTransport::default(), settings));
    }

    /// The notes of the accompaniment since sample `from`, at which the song began.
    pub fn notes_since(&self, from: u64, song: &Song, run: Run) -> Vec<SentNote> {
        let mut open: BTreeMap<(u8, Key), (u64, Velocity)> = BTreeMap::new();
        let mut notes = Vec::new();
        let steps_per_quarter = f64::from(TICKS_PER_QUARTER * Timing::STEPS_PER_TICK);
        let place = |sample: u64| (run.position_at(song, sample - from) * steps_per_quarter).round() as i32;
        for sent in self.sent.iter().filter(|sent| sent.sample >= from) {
            match sent.event {
                NoteEvent::On { channel, key, velocity } => {
                    open.insert((channel, key), (sent.sample, velocity));
                }
                NoteEvent::Off { channel, key } => {
                    if let Some((start, velocity)) = open.remove(&(channel, key)) {
                        let (start, end) = (place(start), place(sent.sample));
                        notes.push(SentNote { start, end, channel, key, velocity });
                    }
                }
            }
        }
        notes.sort();
        notes
    }
}

/// An instance among those that a host calls one after the other in each block.
pub struct Track<'a> {
    pub host: &'a mut TestHost,
    pub settings: Settings,
    /// The channels that it gets; the melody is on channel 0.
    pub hears: fn(u8) -> bool,
}

/// Plays a song from its start to the end of its last bar on all tracks, with chords beside the melody, each note with its
/// channel.
pub fn play_together(tracks: &mut [Track<'_>], song: &Song, chords: &[(u8, Note)], run: Run) {
    let end = song.bars().last().map_or(0.0, |bar| quarters(bar.end()));
    let mut events = run.events(song, chords);
    let mut sample = 0_u64;
    while sample < run.sample_at(song, end) {
        let position = run.position_at(song, sample);
        let frames = run.frames_from(song, sample, position, end);
        let transport = run.transport(song, position);
        let melody = events.take_until(sample + u64::from(frames), sample);
        for track in &mut *tracks {
            let input: Vec<TimedEvent> =
                melody.iter().filter(|event| (track.hears)(event.event.channel())).copied().collect();
            let block = Block {
                frames,
                sample_rate: run.sample_rate,
                transport,
                settings: track.settings,
                bypass: false,
                panic: false,
                offline: run.offline,
                input: &input,
            };
            track.host.block(&block);
        }
        sample += u64::from(frames);
    }
}

/// Makes a worker that takes its turns when it is told to.
pub fn worker(
    end: InferenceEnd,
    view: SharedView,
    commands: Receiver<EditorCommand>,
    loaded: Loaded,
) -> InferenceWorker {
    InferenceWorker::new(end, view, commands, loaded, Arc::new(AtomicBool::new(false)))
}

/// How often memory is allocated or freed in `work`.
pub fn allocations_in(work: impl FnOnce()) -> u32 {
    let before = assert_no_alloc::violation_count();
    assert_no_alloc::assert_no_alloc(work);
    assert_no_alloc::violation_count() - before
}

/// A host that plays at 120 in 4/4.
pub fn playing(quarters: f64) -> HostTransport {
    HostTransport {
        playing: true,
        quarters: Some(quarters),
        quarters_per_minute: Some(120.0),
        meter: Some((4, 4)),
        ..HostTransport::default()
    }
}

/// An ordinary block without notes.
pub fn block(frames: u32, transport: HostTransport, settings: &Settings) -> Block<'static> {
    Block {
        frames,
        sample_rate: SAMPLE_RATE,
        transport,
        settings: *settings,
        bypass: false,
        panic: false,
        offline: false,
        input: &[],
    }
}

pub fn strike(timing: u32, key: i32) -> TimedEvent {
    TimedEvent { timing, event: NoteEvent::On { channel: 0, key: Key::folded(key), velocity: Velocity::default() } }
}

pub fn release(timing: u32, key: i32) -> TimedEvent {
    TimedEvent { timing, event: NoteEvent::Off { channel: 0, key: Key::folded(key) } }
}

/// The keys that are struck and not yet released, as a synthesiser counts them.
#[derive(Debug)]
pub struct Sounding([[u8; 128]; 16]);

impl Default for Sounding {
    fn default() -> Self {
        Self([[0; 128]; 16])
    }
}

impl Sounding {
    fn strike(&mut self, channel: u8, key: Key) {
        self.0[usize::from(channel)][usize::from(key.number())] += 1;
    }

    /// `false` if the key does not sound.
    fn release(&mut self, channel: u8, key: Key) -> bool {
        let count = &mut self.0[usize::from(channel)][usize::from(key.number())];
        let sounds = *count > 0;
        *count = count.saturating_sub(1);
        sounds
    }

    /// Channel and key of each.
    pub fn keys(&self) -> impl Iterator<Item = (u8, u8)> {
        let channels = (0..16_u8).zip(&self.0);
        channels.flat_map(|(channel, keys)| {
            (0..128_u8).zip(keys).filter(|(_, count)| **count > 0).map(move |(key, _)| (channel, key))
        })
    }
}

/// How a song is played to the processor.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub sample_rate: f64,
    pub block_size: u32,
    pub offline: bool,
}

impl Run {
    pub fn offline(sample_rate: f64, block_size: u32) -> Self {
        Self { sample_rate, block_size, offline: true }
    }

    fn position_at(&self, song: &Song, sample: u64) -> f64 {
        let seconds = sample as f64 / self.sample_rate;
        let change = song.tempos.iter().rev().find(|change| song.seconds_at(quarters(change.at)) <= seconds + 1e-9);
        let change = change.expect("the first change is at zero");
        let since = seconds - song.seconds_at(quarters(change.at));
        quarters(change.at) + since * change.quarters_per_minute / 60.0
    }

    fn sample_at(&self, song: &Song, position: f64) -> u64 {
        (song.seconds_at(position) * self.sample_rate).round() as u64
    }

    /// Blocks end where tempo or metre change, as in hosts that send such changes at their time.
    fn frames_from(&self, song: &Song, sample: u64, position: f64, end: f64) -> u32 {
        let tempos = song.tempos.iter().map(|change| quarters(change.at));
        let meters = song.meters.iter().map(|(at, _)| quarters(*at));
        let stops = tempos.chain(meters).chain([end]).filter(|stop| *stop > position);
        let until = stops.map(|stop| self.sample_at(song, stop)).filter(|stop| *stop > sample).min();
        let left = until.map_or(u64::MAX, |until| until - sample);
        left.min(u64::from(self.block_size)) as u32
    }

    fn transport(&self, song: &Song, position: f64) -> HostTransport {
        let tick = (position * f64::from(TICKS_PER_QUARTER) + 1e-3).floor() as i32;
        let bar = song.bars().find(|bar| bar.start <= tick && tick < bar.end());
        HostTransport {
            playing: true,
            quarters: Some(position),
            quarters_per_minute: Some(song.tempo_at(tick)),
            meter: bar.map(|bar| (i32::from(bar.meter.beats()), i32::from(bar.meter.unit()))),
            bar_start: bar.map(|bar| quarters(bar.start)),
            bar_number: bar.map(|bar| bar.index.0),
        }
    }

    fn events(&self, song: &Song, chords: &[(u8, Note)]) -> Events {
        let mut events = Vec::new();
        let melody = song.melody.iter().map(|note| (0, *note));
        for (channel, note) in melody.chain(chords.iter().copied()) {
            let Note { key, velocity, .. } = note;
            events.push((self.sample_at(song, quarters(note.start)), NoteEvent::On { channel, key, velocity }));
            events.push((self.sample_at(song, quarters(note.end())), NoteEvent::Off { channel, key }));
        }
        events.sort_by_key(|(sample, event)| (*sample, matches!(event, NoteEvent::On { .. })));
        Events { events, next: 0 }
    }
}

struct Events {
    events: Vec<(u64, NoteEvent)>,
    next: usize,
}

impl Events {
    fn take_until(&mut self, end: u64, block_start: u64) -> Vec<TimedEvent> {
        let from = self.next;
        self.next += self.events[from..].partition_point(|(sample, _)| *sample < end);
        let taken = self.events[from..self.next].iter();
        taken.map(|(sample, event)| TimedEvent { timing: (sample - block_start) as u32, event: *event }).collect()
    }
}

fn quarters(ticks: i32) -> f64 {
    f64::from(ticks) / f64::from(TICKS_PER_QUARTER)
}

/// A melody from keys and lengths in ticks, one after the other; key 0 is a rest.
pub fn melody(notes: &[(u8, i32)]) -> Vec<Note> {
    let mut start = 0;
    let mut melody = Vec::new();
    for (key, duration) in notes {
        if *key > 0 {
            let key = Key::folded(i32::from(*key));
            melody.push(Note { start, key, duration: *duration, velocity: Velocity::clamped(90) });
        }
        start += duration;
    }
    melody
}
