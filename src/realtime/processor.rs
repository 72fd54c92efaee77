//! One call of the host: melody in, accompaniment out. Runs on the audio thread.

use super::accompaniment_player::AccompanimentPlayer;
use super::melody_capture::MelodyCapture;
use super::panic_trigger::PanicTrigger;
use super::players_clock::{FirstNote, PlayersClock};
use super::sounding::{SoundingNotes, Source, Strike};
use super::timeline::{Movement, Span, Timeline, floor_to_tick, sensible_sample_rate};
use super::{Block, EventBuffer, NoteEvent, TimedEvent};
use crate::channels::{Meters, RealtimeEnd};
use crate::music::{Part, PerPart};
use crate::settings::PartSettings;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The real-time side of one instance.
pub struct RealtimeProcessor {
    players_clock: PlayersClock,
    timeline: Timeline,
    capture: MelodyCapture,
    player: AccompanimentPlayer,
    sounding: SoundingNotes,
    meters: Arc<Meters>,
    panic: PanicTrigger,
    panicked: bool,
    /// The parts as they were set in the last block. What another instance plays is off.
    parts: PerPart<PartSettings>,
    /// Where the take began, and how far it has come, in quarter notes.
    take_start: f64,
    reached: f64,
    release_everything: bool,
}

impl RealtimeProcessor {
    /// Allocates all that will ever be needed; call it before processing begins.
    pub fn new(end: RealtimeEnd) -> Self {
        let RealtimeEnd { heard, replies, meters } = end;
        Self {
            players_clock: PlayersClock::new(),
            timeline: Timeline::new(),
            capture: MelodyCapture::new(heard, meters.clone()),
            player: AccompanimentPlayer::new(replies, meters.clone()),
            sounding: SoundingNotes::new(),
            meters,
            panic: PanicTrigger::default(),
            panicked: false,
            parts: PerPart::from_fn(PartSettings::of),
            take_start: 0.0,
            reached: 0.0,
            release_everything: false,
        }
    }

    /// Releases all notes at the next [`process`](Self::process): the host gives no way to send any now.
    pub fn reset(&mut self) {
        self.release_everything = true;
    }

    /// Whether everything was silenced at the start of the last block.
    pub fn panicked(&self) -> bool {
        self.panicked
    }

    /// Whether the blocks to come may be no render though they are called offline: then all waiting together is short.
    pub fn hurry(&mut self, hurry: bool) {
        self.player.hurry(hurry);
    }

    /// Adds the block's events to `output`.
    pub fn process(&mut self, block: &Block<'_>, output: &mut EventBuffer) {
        Meters::count(&self.meters.blocks);
        let sample_rate = sensible_sample_rate(block.sample_rate);
        let block = &Block { settings: block.settings.clamped(), sample_rate, ..*block };
        self.silence(block, output);
        self.set_parts(self.parts_here(block), block.bypass, output);
        if block.frames == 0 {
            // Whatever such a block says of the transport, no time passes in it.
            self.hear_all(self.reached, block, output);
            return;
        }
        match self.movement(block) {
            Movement::Stopped => self.hear_all(self.reached, block, output),
            Movement::Stops { at } => {
                self.capture.end(at);
                self.capture.let_go_of_chords(at);
                // Bypassed, the player's own held keys go on; a host that stops may never send their release.
                self.sounding.release_parts(0, output, |_, _| true);
                if !block.bypass {
                    self.sounding.release_all(0, output);
                }
                self.hear_all(at, block, output);
            }
            Movement::Starts(span) => {
                self.sounding.release_parts(0, output, |_, _| true);
                self.begin_take(&span, block);
                self.run(&span, block, output);
            }
            Movement::Continues(span) => self.run(&span, block, output),
        }
        self.players_clock.listen(block);
    }

    /// Releases everything where the user or the host wants that. After a panic, what was written for the segments that
    /// have begun does not start again.
    fn silence(&mut self, block: &Block<'_>, output: &mut EventBuffer) {
        self.panicked = self.panic.fires(block.panic, self.meters.panics.load(Ordering::Relaxed));
        if self.panicked {
            self.player.hush(floor_to_tick(self.reached));
        }
        if std::mem::take(&mut self.release_everything) || self.panicked {
            self.sounding.release_all(0, output);
            self.capture.let_go_of_chords(self.reached);
        }
    }

    /// A bypassed plugin stands still, whatever the transport does.
    fn movement(&mut self, block: &Block<'_>) -> Movement {
        let mut transport = self.players_clock.transport(block);
        transport.playing &= !block.bypass;
        let movement = self.timeline.advance(&transport, block.frames, block.sample_rate);
        self.meters.playing.store(transport.playing, Ordering::Relaxed);
        self.meters.bypassed.store(block.bypass, Ordering::Relaxed);
        if let Movement::Starts(span) | Movement::Continues(span) = movement {
            self.meters.playhead_quarters.store(span.start, Ordering::Relaxed);
        }
        movement
    }

    fn begin_take(&mut self, span: &Span, block: &Block<'_>) {
        self.capture.end(self.reached);
        self.take_start = span.start;
        let heard_from = self.players_clock.began_at().unwrap_or(span.start);
        self.capture.begin(heard_from, span.bar.segment_at(span.tick));
        // Of chords only what is still held counts, and that the capture knows.
        let is_melody = |note: &FirstNote| !block.settings.is_chord_key(note.channel, note.key);
        for note in self.players_clock.first_notes().filter(is_melody) {
            self.capture.note_on(note.struck_at, note.channel, note.key, note.velocity);
            if let Some(at) = note.released_at {
                self.capture.note_off(at, note.channel, note.key);
            }
        }
        self.player.begin(self.capture.take());
    }

    /// Goes through the block from one thing that happens to the next.
    fn run(&mut self, span: &Span, block: &Block<'_>, output: &mut EventBuffer) {
        self.ask_at(0, span, block);
        self.correct_bars(span, block);
        let mut input = block.input.iter().peekable();
        let mut sample = 0;
        while sample < block.frames {
            while let Some(event) = input.next_if(|event| event.timing <= sample) {
                self.hear(event, sample, span.position(sample), block, output);
            }
            self.ask_at(sample, span, block);
            self.player.decide(span, sample, block.frames, block.offline);
            let next = self.next_stop(span, block).min(input.peek().map_or(u32::MAX, |event| event.timing));
            let next = next.clamp(sample + 1, block.frames);
            self.player.play(span, sample..next, &self.parts, &mut self.sounding, output);
            sample = next;
        }
        self.reached = span.position(block.frames);
        // Events at or past the block's end are the host's mistake; their notes still count.
        for event in input {
            self.hear(event, block.frames - 1, self.reached, block, output);
        }
    }

    /// The sample at which the next answer is asked for or due.
    fn next_stop(&self, span: &Span, block: &Block<'_>) -> u32 {
        let cut = self.capture.next_cut(span, block.frames, block.offline).map_or(f64::INFINITY, |cut| cut.at);
        span.sample(cut.min(self.player.next_decision(block.offline)))
    }

    /// Asks for every segment whose time has come.
    fn ask_at(&mut self, sample: u32, span: &Span, block: &Block<'_>) {
        let at = span.position(sample);
        while let Some(next) = self.capture.next_cut(span, block.frames, block.offline)
            && span.sample(next.at) <= sample
        {
            let segment = self.capture.cut(next, at, span, &block.settings, block.offline);
            self.player.expect(segment, at, self.take_start);
        }
    }

    /// The metre may change at a bar line that was thought to lie elsewhere: then asks anew for the bar that is there.
    fn correct_bars(&mut self, span: &Span, block: &Block<'_>) {
        let here = span.bar.segment_at(span.tick);
        if !self.player.expects(&here) {
            self.capture.correct(here);
            self.player.correct(self.capture.take());
            self.ask_at(0, span, block);
        }
    }

    /// Takes in a melody while nothing else happens.
    fn hear_all(&mut self, position: f64, block: &Block<'_>, output: &mut EventBuffer) {
        let last = block.frames.saturating_sub(1);
        for event in block.input {
            self.hear(event, event.timing.min(last), position, block, output);
        }
    }

    /// Takes in a note of the melody, and passes it on if the user wants that; or one of a chord, which the band will play.
    fn hear(&mut self, event: &TimedEvent, sample: u32, position: f64, block: &Block<'_>, output: &mut EventBuffer) {
        match event.event {
            // Bypassed, nobody would play the chord.
            NoteEvent::On { channel, key, .. } if block.settings.is_chord_key(channel, key) && !block.bypass => {
                self.capture.chord_on(position, channel, key);
            }
            NoteEvent::On { channel, key, velocity } => {
                self.capture.note_on(position, channel, key, velocity);
                self.meters.melody.strike(velocity);
                if self.player.hand_back(position) {
                    self.sounding.release_parts(sample, output, |part, _| part == Part::Extension);
                }
                if block.settings.thru || block.bypass {
                    let end = f64::INFINITY;
                    let strike = Strike { source: Source::Melody, channel, key, velocity, end };
                    if !self.sounding.strike(sample, strike, output) {
                        Meters::count(&self.meters.dropped);
                    }
                }
            }
            NoteEvent::Off { channel, key } => {
                self.capture.note_off(position, channel, key);
                self.sounding.release_melody(sample, channel, key, output);
            }
        }
    }

    /// The parts as they sound in this instance: what another plays, or another's solo silences, is still written.
    fn parts_here(&self, block: &Block<'_>) -> PerPart<PartSettings> {
        let (elsewhere, heard) = (self.meters.parts_played_elsewhere(), block.settings.parts.heard());
        PerPart::from_fn(|part| PartSettings { on: heard[part] && !elsewhere[part], ..block.settings.parts[part] })
    }

    /// A part that is muted or moved to another channel lets go of its notes where they were struck.
    fn set_parts(&mut self, now: PerPart<PartSettings>, bypass: bool, output: &mut EventBuffer) {
        if self.parts != now || bypass {
            self.sounding
                .release_parts(0, output, |part, channel| bypass || !now[part].on || now[part].channel != channel);
            self.parts = now;
        }
    }
}
