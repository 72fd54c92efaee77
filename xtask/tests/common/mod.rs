//! What the tests of both formats share: tunes, renders, and the laws a hosted plugin obeys.
#![allow(dead_code, reason = "each test program uses its share")]

use anyhow::Result;
use obbligato::music::{Key, Meter, Note, Part, Song, TempoChange, Ticks, Velocity};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use xtask::host::clap::ClapPlugin;
use xtask::host::vst3::Vst3Plugin;
use xtask::host::{
    Automation, HostBlock, HostTransport, HostedPlugin, Message, PlayOptions, Recording, RenderMode, SongPlayer, Timed,
};
use xtask::workspace::{PLUGIN_ID, Workspace};

pub const SAMPLE_RATE: f64 = 48_000.0;
pub const BLOCK_SIZE: u32 = 512;

pub fn workspace() -> Workspace {
    Workspace::find().expect("cargo runs these tests")
}

fn built(bundle: PathBuf) -> PathBuf {
    assert!(bundle.exists(), "there is no {}; `cargo xtask test` builds it", bundle.display());
    bundle
}

pub fn clap() -> ClapPlugin {
    ClapPlugin::load(&built(workspace().clap()), PLUGIN_ID).expect("the bundle holds the plugin")
}

pub fn vst3() -> Vst3Plugin {
    Vst3Plugin::load(&built(workspace().vst3())).expect("the bundle holds the plugin")
}

/// A plain tune of so many bars of 4/4: scales and leaps in C, with rests and notes across the beat.
pub fn tune(bars: usize) -> Song {
    const BARS: [&[(u8, Ticks)]; 4] = [
        &[(64, 12), (64, 12), (65, 12), (67, 12)],
        &[(67, 12), (65, 6), (64, 6), (62, 24)],
        &[(60, 18), (62, 6), (64, 12), (0, 12)],
        &[(67, 4), (69, 4), (71, 4), (72, 36)],
    ];
    let mut song = Song { tempos: vec![TempoChange { at: 0, quarters_per_minute: 117.0 }], ..Song::default() };
    let mut start = 0;
    for (key, duration) in BARS.iter().cycle().take(bars).flat_map(|bar| bar.iter().copied()) {
        if let (Some(key), true) = (Key::new(key), key > 0) {
            song.melody.push(Note { start, key, duration, velocity: Velocity::clamped(90) });
        }
        start += duration;
    }
    song
}

/// The tune with a change of tempo inside a bar, and bars of 3/4 and 6/8.
pub fn changing_tune() -> Song {
    let meter = |beats, unit| Meter::new(beats, unit).expect("usual");
    Song {
        tempos: vec![
            TempoChange { at: 0, quarters_per_minute: 96.0 },
            TempoChange { at: 61, quarters_per_minute: 151.0 },
        ],
        meters: vec![(0, meter(4, 4)), (96, meter(3, 4)), (168, meter(6, 8))],
        ..tune(5)
    }
}

/// Knobs that are turned inside blocks and bars, before and after the metre changes in [`changing_tune`].
pub fn turned_knobs() -> Vec<Automation> {
    let turned = [
        (1.37, "density", 0.9),
        (5.31, "bass_on", 0.0),
        (8.77, "style", 0.3),
        (11.03, "bass_on", 1.0),
        (14.61, "temperature", 0.2),
        (17.13, "chords_on", 0.0),
    ];
    turned.map(|(at, id, value)| Automation { at, id, value }).to_vec()
}

/// A render of a song.
pub struct Render {
    pub block_size: u32,
    pub sample_rate: f64,
    pub stretches: Vec<Range<f64>>,
    pub automation: Vec<Automation>,
}

impl Render {
    /// Of the whole song, so many times over.
    pub fn whole(song: &Song, passes: usize) -> Self {
        Self::of(vec![SongPlayer::of_song(song).whole(); passes])
    }

    pub fn of(stretches: impl Into<Vec<Range<f64>>>) -> Self {
        let (stretches, automation) = (stretches.into(), Vec::new());
        Self { block_size: BLOCK_SIZE, sample_rate: SAMPLE_RATE, stretches, automation }
    }

    /// Activates the plugin anew and plays, as fast as it goes.
    pub fn play(&self, plugin: &mut dyn HostedPlugin, song: &Song) -> Recording {
        plugin.activate(self.sample_rate, self.block_size, RenderMode::Offline).expect("the plugin starts");
        self.go_on(plugin, song)
    }

    /// Plays with the plugin as it is.
    pub fn go_on(&self, plugin: &mut dyn HostedPlugin, song: &Song) -> Recording {
        let options = PlayOptions {
            sample_rate: self.sample_rate,
            block_size: self.block_size,
            stretches: self.stretches.clone(),
            live: false,
        };
        let player = SongPlayer::of_song(song).automated(&self.automation);
        player.play(plugin, &options, &|_| {}).expect("the plugin processes")
    }
}

/// A host whose transport runs on while the user turns knobs. The melody strikes another key on each quarter.
pub struct Running<'a> {
    plugin: &'a mut dyn HostedPlugin,
    transport: HostTransport,
    held: Option<u8>,
    pub sent: Vec<Timed>,
}

impl<'a> Running<'a> {
    /// In 4/4 at 120 quarters a minute, from the start of the song.
    pub fn start(plugin: &'a mut dyn HostedPlugin) -> Self {
        plugin.activate(SAMPLE_RATE, BLOCK_SIZE, RenderMode::Offline).expect("the plugin starts");
        Self {
            plugin,
            transport: HostTransport { playing: true, ..HostTransport::standing() },
            held: None,
            sent: Vec::new(),
        }
    }

    /// Plays until something sounds on all these channels.
    pub fn play_until_sounding(&mut self, channels: &[u8]) {
        const LONGEST: f64 = 200.0;
        while !channels.iter().all(|channel| self.channels().contains(channel)) {
            assert!(self.transport.quarters < LONGEST, "channels {channels:?} never sound together");
            self.play_block();
        }
    }

    /// Plays a number of quarter notes.
    pub fn play_on(&mut self, quarters: f64) {
        let end = self.transport.quarters + quarters;
        while self.transport.quarters < end {
            self.play_block();
        }
    }

    pub fn set(&mut self, id: &str, value: f64) {
        self.plugin.set_parameter(id, value).expect("it has the parameter");
    }

    /// The host stops and starts the plugin, and its transport stands still.
    pub fn reactivate(&mut self) {
        self.plugin.activate(SAMPLE_RATE, BLOCK_SIZE, RenderMode::Offline).expect("the plugin starts again");
        self.transport.playing = false;
        self.block(&[]);
    }

    pub fn stop(&mut self) {
        self.transport.playing = false;
        let release = self.release();
        self.block(&release);
    }

    fn play_block(&mut self) {
        const QUARTERS_PER_BLOCK: f64 = BLOCK_SIZE as f64 / SAMPLE_RATE * 2.0;
        const MELODY: [u8; 4] = [64, 65, 67, 62];
        let beat = self.transport.quarters as usize;
        let beat_begins = self.transport.quarters - (beat as f64) < QUARTERS_PER_BLOCK;
        let mut input = Vec::new();
        if beat_begins {
            input = self.release();
            let key = MELODY[beat % MELODY.len()];
            input.push(Timed { timing: 0, message: Message::NoteOn { channel: 0, key, velocity: 90 } });
            self.held = Some(key);
        }
        self.block(&input);
        self.transport.quarters += QUARTERS_PER_BLOCK;
    }

    fn release(&mut self) -> Vec<Timed> {
        let off = |key| Timed { timing: 0, message: Message::NoteOff { channel: 0, key } };
        self.held.take().map(off).into_iter().collect()
    }

    fn block(&mut self, input: &[Timed]) {
        self.transport.bar_number = (self.transport.quarters / 4.0) as i32;
        self.transport.bar_start = 4.0 * f64::from(self.transport.bar_number);
        let block = HostBlock { frames: BLOCK_SIZE, transport: self.transport, input };
        let processor = self.plugin.processor().expect("it is active");
        processor.process(&block, &mut self.sent).expect("it processes");
    }

    /// Channels and keys that sound.
    pub fn sounding(&self) -> Vec<(u8, u8)> {
        sounding(&self.sent).into_keys().collect()
    }

    pub fn channels(&self) -> Vec<u8> {
        let mut channels: Vec<u8> = self.sounding().into_iter().map(|(channel, _)| channel).collect();
        channels.dedup();
        channels
    }
}

/// Channel and key of what was not struck as often as released, and the difference.
fn sounding(sent: &[Timed]) -> BTreeMap<(u8, u8), i32> {
    let mut counts = BTreeMap::<(u8, u8), i32>::new();
    for Timed { message, .. } in sent {
        match message {
            Message::NoteOn { channel, key, .. } => *counts.entry((*channel, *key)).or_default() += 1,
            Message::NoteOff { channel, key } => *counts.entry((*channel, *key)).or_default() -= 1,
            Message::Controller { .. } | Message::PitchBend { .. } | Message::Parameter { .. } => {}
        }
    }
    counts.retain(|_, count| *count != 0);
    counts
}

/// Before the plugin is active, while it plays, and in between.
pub fn assert_reports_no_latency(plugin: &mut dyn HostedPlugin) {
    assert_eq!(plugin.latency().expect("it tells"), 0, "as it is loaded");
    every_part_on(plugin);
    for (sample_rate, mode) in [(48_000.0, RenderMode::Realtime), (96_000.0, RenderMode::Offline)] {
        plugin.activate(sample_rate, BLOCK_SIZE, mode).expect("the plugin starts");
        assert_eq!(plugin.latency().expect("it tells"), 0, "{mode:?}");
        let song = tune(2);
        let recording = Render { sample_rate, ..Render::whole(&song, 1) }.go_on(plugin, &song);
        assert!(recording.sent.len() > 20, "it plays");
        assert_eq!(plugin.latency().expect("it tells"), 0, "{mode:?}, after playing");
    }
    plugin.deactivate();
    assert_eq!(plugin.latency().expect("it tells"), 0, "at rest");
}

/// The band alone: without the melody itself.
pub fn without_thru(plugin: &mut dyn HostedPlugin) {
    plugin.set_parameter("thru", 0.0).expect("it has thru");
}

/// Of the band.
pub fn every_part_on(plugin: &mut dyn HostedPlugin) {
    for part in Part::BAND {
        plugin.set_parameter(&format!("{}_on", part.id()), 1.0).expect("each part has a switch");
    }
}

/// Channel and note, on the grid.
pub fn on_grid(recording: &Recording, stretch: usize) -> Vec<(u8, Note)> {
    let notes = recording.notes(stretch);
    let mut notes: Vec<(u8, Note)> =
        notes.iter().map(|note| (note.channel, note.on_grid().expect("keys lie on the keyboard"))).collect();
    notes.sort_unstable();
    notes
}

/// Nothing is left sounding, nothing is released twice, all comes in order.
pub fn assert_clean(recording: &Recording, what: &str) {
    let counted = (recording.hanging(), recording.orphan_offs(), recording.unsorted);
    assert_eq!(counted, (0, 0, 0), "{what}: hanging notes, note-offs without a note, events out of order");
}

/// At least a note of the band in each bar.
pub fn assert_every_bar_answered(recording: &Recording, stretch: usize, song: &Song) {
    let notes = on_grid(recording, stretch);
    for bar in song.bars() {
        let sounding = notes.iter().any(|(_, note)| note.start < bar.end() && bar.start < note.end());
        assert!(sounding, "bar {} is empty", bar.index.0 + 1);
    }
}

/// Random numbers for a test that prints its seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 0 up to, not including, `limit`. (xorshift, Marsaglia 2003.)
    pub fn roll(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn choose<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.roll(values.len() as u64) as usize]
    }
}

/// A host that has lost its mind: positions, tempos, metres, block lengths and events as they come. In the end it
/// stands still, and everything must be silent.
pub fn survive_a_wild_host(plugin: &mut dyn HostedPlugin, seed: u64) -> Result<()> {
    const LARGEST_BLOCK: u32 = 8192;
    let mut dice = Dice::new(seed);
    let mut held = Vec::new();
    let mut recording = Vec::new();
    plugin.activate(SAMPLE_RATE, LARGEST_BLOCK, RenderMode::Realtime)?;
    for _ in 0..300 {
        let frames = dice.choose(&[1, 2, 17, 64, 511, 4096, LARGEST_BLOCK]);
        let transport = wild_transport(&mut dice);
        let input = wild_input(&mut dice, frames, &mut held);
        if dice.roll(4) == 0 {
            let id =
                dice.choose(&["temperature", "style", "density", "bass_on", "bass_channel", "chords_octave", "pad_on"]);
            plugin.set_parameter(id, dice.choose(&[0.0, 0.3, 1.0, -7.0, 1e30, f64::NAN]))?;
        }
        plugin.processor()?.process(&HostBlock { frames, transport, input: &input }, &mut recording)?;
    }
    let input: Vec<Timed> = held.drain(..).map(|message| Timed { timing: 0, message }).collect();
    let still = HostTransport { playing: false, ..wild_transport(&mut Dice::new(1)) };
    for input in [input.as_slice(), &[]] {
        plugin.processor()?.process(&HostBlock { frames: 64, transport: still, input }, &mut recording)?;
    }
    plugin.deactivate();
    let sounding = sounding(&recording);
    assert!(sounding.is_empty(), "seed {seed}: (channel, key) and note-ons without note-off: {sounding:?}");
    Ok(())
}

fn wild_transport(dice: &mut Dice) -> HostTransport {
    let wild = [0.0, 0.25, 3.999_999, 4.0, 17.5, 1e6, -3.5, -1e9, 1e18, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    HostTransport {
        playing: dice.roll(8) > 0,
        quarters: dice.choose(&wild),
        quarters_per_minute: dice.choose(&[120.0, 117.3, 0.0, -90.0, 1e-12, 1e9, f64::NAN, f64::INFINITY]),
        meter: dice.choose(&[(4, 4), (3, 4), (0, 0), (7, 8), (4, 0), (0, 4), (65_535, 65_535), (5, 3)]),
        bar_start: dice.choose(&wild),
        bar_number: dice.choose(&[0, 1, -1, i32::MIN, i32::MAX]),
    }
}

/// Notes struck and released at random; `held` keeps the note-offs that are still to be sent.
fn wild_input(dice: &mut Dice, frames: u32, held: &mut Vec<Message>) -> Vec<Timed> {
    let mut input = Vec::new();
    for _ in 0..dice.roll(4).min(held.len() as u64) {
        let place = dice.roll(held.len() as u64) as usize;
        input.push(Timed { timing: dice.roll(u64::from(frames)) as u32, message: held.swap_remove(place) });
    }
    input.sort_by_key(|timed| timed.timing);
    // Struck after all that is released, so that no key is released before it is struck.
    let timing = frames - 1;
    for _ in 0..dice.roll(4) {
        let (channel, key, velocity) = (dice.roll(16) as u8, dice.roll(128) as u8, dice.roll(128) as u8);
        let off = Message::NoteOff { channel, key };
        if !held.contains(&off) {
            input.push(Timed { timing, message: Message::NoteOn { channel, key, velocity } });
            held.push(off);
        }
    }
    input
}
