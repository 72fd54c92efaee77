//! The host's parameters, and what else is saved with them, as [`Settings`].
//!
//! [`ObbligatoParams::settings`] may be called on the audio thread; text and saving belong to the host's main thread.

mod melody;

use crate::channels::{EditorCommand, Meters, SharedView};
use crate::generators::library::GeneratorChoice;
use crate::ledger::LedgerCommand;
use crate::links::{Link, SharedLink};
use crate::music::{ChordPlan, Key, Melodist, Part, PerPart, Ticks, style_from_text, style_text};
use crate::runtime::{DeviceChoice, RuntimeChoice};
use crate::settings::{ChordInput, CountInBand, ExtendWhen, Follow, PartSettings, Sampling, Settings};
use crate::sound::{ByChannel, SoundSettings};
use crate::standalone;
use crate::state::SongState;
use crossbeam_channel::Sender;
use melody::{EnhanceParams, ExtendParams, MelodistField};
use nice_plug::params::persist::PersistentField;
use nice_plug::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// From here [`ObbligatoParams::edits`] begins anew.
const LAST_EDIT: i32 = 9999;

/// Ids never change: automation and saved songs refer to them.
#[derive(Params)]
pub struct ObbligatoParams {
    #[id = "temperature"]
    pub temperature: FloatParam,
    #[id = "style"]
    pub style: FloatParam,
    #[id = "density"]
    pub density: FloatParam,
    #[id = "follow"]
    pub follow: EnumParam<Follow>,
    /// Bars that are listened to before the band plays its own.
    #[id = "count_in"]
    pub count_in: IntParam,
    #[id = "count_in_band"]
    pub count_in_band: EnumParam<CountInBand>,
    /// Where among the incoming notes the player's chords are.
    #[id = "chord_input"]
    pub chord_input: EnumParam<ChordInput>,
    /// Keys below it are chords, where the keyboard is split.
    #[id = "split_key"]
    pub split_key: IntParam,
    /// 1..=16, as musicians count.
    #[id = "chord_channel"]
    pub chord_channel: IntParam,
    #[id = "thru"]
    pub thru: BoolParam,
    /// The host's own bypass button, so that bypassing releases what sounds.
    #[id = "bypass"]
    pub bypass: BoolParam,
    /// Silences everything when it is turned on. For a pedal or a pad: it stays as the host leaves it.
    #[id = "panic"]
    pub panic: BoolParam,
    #[nested(id_prefix = "bass", group = "Bass")]
    bass: PartParams,
    #[nested(id_prefix = "chords", group = "Chords")]
    chords: PartParams,
    #[nested(id_prefix = "pad", group = "Pad")]
    pad: PartParams,
    #[nested(id_prefix = "counter", group = "Counter")]
    counter: PartParams,
    #[nested(id_prefix = "drums", group = "Drums")]
    drums: PartParams,
    /// Counts what the user changes that is no parameter. It means nothing: a host takes a song to have changed when a
    /// parameter has, and the framework has no other way to tell it.
    #[id = "edits"]
    pub edits: IntParam,
    /// Whether the plugin itself is heard.
    #[id = "preview"]
    pub preview: BoolParam,
    /// How loud, in decibels.
    #[id = "preview_level"]
    pub preview_level: FloatParam,
    #[nested(id_prefix = "enhanced", group = "Enhanced")]
    enhanced: PartParams,
    #[nested(id_prefix = "extension", group = "Extension")]
    extension: PartParams,
    #[nested(group = "Enhance")]
    pub enhance: EnhanceParams,
    #[nested(group = "Extend")]
    pub extend: ExtendParams,
    /// Another seed, another answer to the same melody.
    #[persist = "seed"]
    pub seed: AtomicU32,
    #[persist = "plan"]
    pub plan: PlanField,
    #[persist = "ledger"]
    pub song: SongField,
    #[persist = "generator"]
    pub generator: GeneratorField,
    #[persist = "enhancer"]
    pub enhancer: MelodistField,
    #[persist = "extender"]
    pub extender: MelodistField,
    /// Where the model is computed. No parameter: nothing that can be heard depends on it.
    #[persist = "device"]
    pub device: DeviceField,
    /// Whether this instance is a band or plays a part of one.
    #[persist = "link"]
    pub link: LinkField,
    #[persist = "report"]
    report: ReportField,
}

/// Sees parameters one by one.
pub trait ParamVisitor {
    fn visit(&mut self, id: &str, param: &impl Param);
}

/// One part's row in the mixer.
#[derive(Params)]
pub struct PartParams {
    #[id = "on"]
    pub on: BoolParam,
    /// 1..=16, as musicians count.
    #[id = "channel"]
    pub channel: IntParam,
    #[id = "octave"]
    pub octave: IntParam,
    #[id = "velocity"]
    pub velocity: FloatParam,
    /// More or fewer notes than the others. Hidden in parts that are not of the band: there it has no meaning.
    #[id = "density"]
    pub density: FloatParam,
    #[id = "solo"]
    pub solo: BoolParam,
    /// What it plays stays when bars are written anew.
    #[id = "lock"]
    pub lock: BoolParam,
}

impl ObbligatoParams {
    /// `commands` carries the chord plan to the inference thread; `view` and `meters` are what the report is made of.
    pub fn new(commands: Sender<EditorCommand>, view: SharedView, meters: Arc<Meters>) -> Self {
        let default = Settings::default();
        let plan = PlanField::new(commands.clone());
        let generator = GeneratorField::new(commands.clone());
        let melodist = |melodist| MelodistField::new(melodist, commands.clone());
        let [enhancer, extender] = Melodist::ALL.map(melodist);
        let song = SongField(Arc::new(SongState::new(view.clone(), commands)));
        let (fewest, most) = Settings::COUNT_IN.into_inner();
        Self {
            temperature: FloatParam::new("Temperature", default.temperature, linear(Settings::TEMPERATURE))
                .with_step_size(0.01)
                .with_value_to_string(Arc::new(|temperature| format!("{temperature:.2}")))
                .with_string_to_value(Arc::new(number_from_text)),
            style: FloatParam::new("Style", default.style, linear(Settings::STYLE))
                .with_value_to_string(Arc::new(style_text))
                .with_string_to_value(Arc::new(|text| style_from_text(text).filter(|style| style.is_finite()))),
            density: percentage("Density", default.density, Settings::DENSITY),
            follow: EnumParam::new("Follow", default.follow),
            count_in: IntParam::new(
                "Count-in",
                i32::from(default.count_in),
                IntRange::Linear { min: i32::from(fewest), max: i32::from(most) },
            )
            .with_unit(" bars")
            .with_string_to_value(Arc::new(bars_from_text)),
            count_in_band: EnumParam::new("Count-in Band", default.count_in_band),
            chord_input: EnumParam::new("Chord Input", default.chord_input),
            split_key: split_key(default.split_key),
            chord_channel: channel("Chord Channel", default.chord_channel),
            thru: switch("Melody Thru", default.thru),
            bypass: switch("Bypass", false).make_bypass(),
            panic: switch("Panic", false),
            bass: PartParams::new(Part::Bass),
            chords: PartParams::new(Part::Chords),
            pad: PartParams::new(Part::Pad),
            counter: PartParams::new(Part::Counter),
            drums: PartParams::new(Part::Drums),
            edits: IntParam::new("Edits", 0, IntRange::Linear { min: 0, max: LAST_EDIT }).hide().hide_in_generic_ui(),
            // Whoever starts the program has no instrument behind it.
            preview: switch("Preview Sound", standalone::get().is_some()),
            preview_level: decibels("Preview Level", SoundSettings::USUAL_LEVEL, SoundSettings::LEVEL),
            enhanced: PartParams::new(Part::Enhanced),
            extension: PartParams::new(Part::Extension),
            enhance: EnhanceParams::new(),
            extend: ExtendParams::new(),
            seed: AtomicU32::new(default.seed),
            plan: plan.clone(),
            song: song.clone(),
            device: DeviceField(generator.clone()),
            generator,
            enhancer,
            extender,
            link: LinkField::default(),
            report: ReportField { view, meters, plan, song },
        }
    }

    /// Shows the parameters that a preset keeps: those that shape the music. How it is wired (channels, thru, chord input),
    /// how one works with it (follow, solo, lock), and what is a matter of the moment, stays.
    pub fn visit_music(&self, visitor: &mut impl ParamVisitor) {
        visitor.visit("temperature", &self.temperature);
        visitor.visit("style", &self.style);
        visitor.visit("density", &self.density);
        visitor.visit("count_in", &self.count_in);
        visitor.visit("count_in_band", &self.count_in_band);
        for part in Part::ALL {
            let (row, id) = (self.part(part), |what: &str| format!("{}_{what}", part.id()));
            visitor.visit(&id("on"), &row.on);
            visitor.visit(&id("octave"), &row.octave);
            visitor.visit(&id("velocity"), &row.velocity);
            if part.is_of_band() {
                visitor.visit(&id("density"), &row.density);
            }
        }
        visitor.visit("enhance_risk", &self.enhance.risk);
        visitor.visit("enhance_add", &self.enhance.add);
        visitor.visit("enhance_remove", &self.enhance.remove);
        visitor.visit("enhance_passes", &self.enhance.passes);
        visitor.visit("enhance_feeds", &self.enhance.feeds);
        visitor.visit("extend_when", &self.extend.when);
        visitor.visit("extend_risk", &self.extend.risk);
        visitor.visit("extend_sampling", &self.extend.sampling);
        visitor.visit("extend_listen", &self.extend.listen);
        visitor.visit("extend_bars", &self.extend.bars);
        visitor.visit("extend_from", &self.extend.from);
    }

    /// Shows the parameters that a control can hold: all but those the host alone turns.
    pub fn visit_all(&self, visitor: &mut impl ParamVisitor) {
        self.visit_music(visitor);
        visitor.visit("follow", &self.follow);
        visitor.visit("chord_input", &self.chord_input);
        visitor.visit("split_key", &self.split_key);
        visitor.visit("chord_channel", &self.chord_channel);
        visitor.visit("thru", &self.thru);
        visitor.visit("preview", &self.preview);
        visitor.visit("preview_level", &self.preview_level);
        for part in Part::ALL {
            let (row, id) = (self.part(part), |what: &str| format!("{}_{what}", part.id()));
            visitor.visit(&id("channel"), &row.channel);
            visitor.visit(&id("solo"), &row.solo);
            visitor.visit(&id("lock"), &row.lock);
        }
    }

    pub fn part(&self, part: Part) -> &PartParams {
        match part {
            Part::Bass => &self.bass,
            Part::Chords => &self.chords,
            Part::Pad => &self.pad,
            Part::Counter => &self.counter,
            Part::Drums => &self.drums,
            Part::Enhanced => &self.enhanced,
            Part::Extension => &self.extension,
        }
    }

    /// What the user asks for now. Reads atomics only.
    pub fn settings(&self) -> Settings {
        let settings = Settings {
            temperature: self.temperature.value(),
            style: self.style.value(),
            density: self.density.value(),
            follow: self.follow.value(),
            count_in: self.count_in.value().clamp(0, 255) as u8,
            count_in_band: self.count_in_band.value(),
            chord_input: self.chord_input.value(),
            split_key: self.split_key.value().clamp(0, 127) as u8,
            chord_channel: (self.chord_channel.value() - 1).clamp(0, 15) as u8,
            thru: self.thru.value(),
            seed: self.seed.load(Ordering::Relaxed),
            enhance: self.enhance.settings(),
            extend: self.extend.settings(),
            parts: PerPart::from_fn(|part| self.part(part).settings()),
        };
        // Saved songs are loaded without a look at the ranges.
        self.link.get().applied(settings.clamped())
    }

    /// What the user does to the bars of the song; what is locked is not re-rolled. Tell the host of it:
    /// [`ObbligatoParams::next_edit`].
    pub fn command(&self, command: LedgerCommand) {
        self.song.0.command(sparing(command, &self.settings().parts));
    }

    /// The user wants another generator: it also writes anew what is there and not locked, which can be undone.
    pub fn choose_generator(&self, name: String) {
        self.generator.set(name);
        self.command(LedgerCommand::Reroll { bars: Ticks::MIN..Ticks::MAX, parts: PerPart::from_fn(|_| true) });
    }

    /// The user wants another to work on the melody as this one does: what is there in its part and not locked is written anew by
    /// it, which can be undone.
    pub fn choose_melodist(&self, melodist: Melodist, name: String) {
        match melodist {
            Melodist::Enhancer => self.enhancer.choose(name),
            Melodist::Extender => self.extender.choose(name),
        }
        let parts = PerPart::from_fn(|each| each == melodist.part());
        self.command(LedgerCommand::Reroll { bars: Ticks::MIN..Ticks::MAX, parts });
    }

    /// How the plugin itself is to be heard with these settings. Reads atomics only.
    pub fn sound(&self, settings: &Settings) -> SoundSettings {
        SoundSettings::new(self.preview.value(), self.preview_level.value(), ByChannel::of(&settings.parts))
    }

    /// Takes the next seed. Tell the host of it: [`ObbligatoParams::next_edit`].
    pub fn reroll(&self) {
        self.seed.fetch_add(1, Ordering::Relaxed);
    }

    /// What [`edits`](Self::edits) is to be set to, so that the host takes the song to have changed.
    pub fn next_edit(&self) -> i32 {
        (self.edits.unmodulated_plain_value() + 1) % (LAST_EDIT + 1)
    }
}

impl PartParams {
    fn new(part: Part) -> Self {
        let default = PartSettings::of(part);
        let name = |what: &str| format!("{} {what}", part.name());
        let (lowest, highest) = PartSettings::OCTAVE.into_inner();
        let density = percentage(name("Density"), default.density, Settings::DENSITY);
        let octaves = IntRange::Linear { min: i32::from(lowest), max: i32::from(highest) };
        Self {
            on: switch(name("On"), default.on),
            channel: channel(name("Channel"), default.channel),
            octave: IntParam::new(name("Octave"), i32::from(default.octave), octaves)
                .with_value_to_string(Arc::new(
                    |octaves| if octaves > 0 { format!("+{octaves}") } else { octaves.to_string() },
                ))
                .with_string_to_value(Arc::new(integer_from_text)),
            velocity: percentage(name("Velocity"), default.velocity, PartSettings::VELOCITY),
            density: if part.is_of_band() { density } else { density.hide().hide_in_generic_ui() },
            solo: switch(name("Solo"), default.solo),
            lock: switch(name("Lock"), default.locked),
        }
    }

    fn settings(&self) -> PartSettings {
        PartSettings {
            on: self.on.value(),
            channel: (self.channel.value() - 1).clamp(0, 15) as u8,
            octave: self.octave.value().clamp(-128, 127) as i8,
            velocity: self.velocity.value(),
            density: self.density.value(),
            solo: self.solo.value(),
            locked: self.lock.value(),
        }
    }
}

impl Enum for Follow {
    fn variants() -> &'static [&'static str] {
        &["Jam", "Arrange"]
    }

    fn ids() -> Option<&'static [&'static str]> {
        Some(&["jam", "arrange"])
    }

    fn to_index(self) -> usize {
        match self {
            Self::Jam => 0,
            Self::Arrange => 1,
        }
    }

    fn from_index(index: usize) -> Self {
        if index == Self::Arrange.to_index() { Self::Arrange } else { Self::Jam }
    }
}

impl Enum for CountInBand {
    fn variants() -> &'static [&'static str] {
        &["Plays by rule", "Rests"]
    }

    fn ids() -> Option<&'static [&'static str]> {
        Some(&["rules", "rests"])
    }

    fn to_index(self) -> usize {
        match self {
            Self::Rules => 0,
            Self::Rests => 1,
        }
    }

    fn from_index(index: usize) -> Self {
        if index == Self::Rests.to_index() { Self::Rests } else { Self::Rules }
    }
}

impl Enum for ChordInput {
    fn variants() -> &'static [&'static str] {
        &["Off", "Split", "Channel"]
    }

    fn ids() -> Option<&'static [&'static str]> {
        Some(&["off", "split", "channel"])
    }

    fn to_index(self) -> usize {
        match self {
            Self::Off => 0,
            Self::Split => 1,
            Self::Channel => 2,
        }
    }

    fn from_index(index: usize) -> Self {
        [Self::Split, Self::Channel].into_iter().find(|input| input.to_index() == index).unwrap_or_default()
    }
}

/// The command as far as it does not concern locked parts.
fn sparing(command: LedgerCommand, parts: &PerPart<PartSettings>) -> LedgerCommand {
    let LedgerCommand::Reroll { bars, parts: wanted } = command else { return command };
    let unlocked = parts.unlocked();
    LedgerCommand::Reroll { bars, parts: PerPart::from_fn(|part| wanted[part] && unlocked[part]) }
}

/// A MIDI channel, 0..=15, shown as musicians count.
fn channel(name: impl Into<String>, default: u8) -> IntParam {
    IntParam::new(name, i32::from(default) + 1, IntRange::Linear { min: 1, max: 16 })
        .with_string_to_value(Arc::new(integer_from_text))
}

fn split_key(default: u8) -> IntParam {
    let (lowest, highest) = Settings::SPLIT_KEY.into_inner();
    let keys = IntRange::Linear { min: i32::from(lowest), max: i32::from(highest) };
    IntParam::new("Split Key", i32::from(default), keys)
        .with_value_to_string(Arc::new(|number| Key::folded(number).to_string()))
        .with_string_to_value(Arc::new(|text| Some(i32::from(text.trim().parse::<Key>().ok()?.number()))))
}

fn linear(range: RangeInclusive<f32>) -> FloatRange {
    FloatRange::Linear { min: *range.start(), max: *range.end() }
}

fn percentage(name: impl Into<String>, default: f32, range: RangeInclusive<f32>) -> FloatParam {
    FloatParam::new(name, default, linear(range))
        .with_step_size(0.01)
        .with_unit(" %")
        .with_value_to_string(Arc::new(|share| format!("{:.0}", share * 100.0)))
        .with_string_to_value(Arc::new(|text| number_from_text(text).map(|percent| percent / 100.0)))
}

fn decibels(name: &str, default: f32, range: RangeInclusive<f32>) -> FloatParam {
    FloatParam::new(name, default, linear(range))
        .with_step_size(0.1)
        .with_unit(" dB")
        // Nothing is "-0.0": adding zero makes it positive.
        .with_value_to_string(Arc::new(|level| format!("{:.1}", (level * 10.0).round() / 10.0 + 0.0)))
        .with_string_to_value(Arc::new(|text| {
            number_from_text(text.trim().trim_end_matches("dB").trim_end_matches("db"))
        }))
}

fn switch(name: impl Into<String>, default: bool) -> BoolParam {
    BoolParam::new(name, default).with_string_to_value(Arc::new(switch_from_text))
}

/// A number, with or without a per cent sign, and with either decimal mark.
fn number_from_text(text: &str) -> Option<f32> {
    let number = text.trim().trim_end_matches('%').trim_end().replace(',', ".");
    number.parse().ok().filter(|number: &f32| number.is_finite())
}

fn integer_from_text(text: &str) -> Option<i32> {
    text.trim().replace('\u{2212}', "-").parse().ok()
}

fn bars_from_text(text: &str) -> Option<i32> {
    let text = text.trim();
    integer_from_text(text.strip_suffix("bars").or_else(|| text.strip_suffix("bar")).unwrap_or(text))
}

fn switch_from_text(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" | "1" => Some(true),
        "off" | "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// The user's chord plan as typed, sent to the inference thread whenever it changes.
#[derive(Clone)]
pub struct PlanField {
    typed: Arc<Mutex<TypedPlan>>,
    commands: Sender<EditorCommand>,
}

#[derive(Default)]
struct TypedPlan {
    text: String,
    problem: Option<String>,
}

impl PlanField {
    fn new(commands: Sender<EditorCommand>) -> Self {
        Self { typed: Arc::default(), commands }
    }

    pub fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// Why the text is not followed, in words.
    pub fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    /// Takes a text in the syntax of [`ChordPlan::parse`]. One that cannot be read is kept, but not followed.
    pub fn set_text(&self, text: String) {
        let (plan, problem) = match ChordPlan::parse(&text) {
            Ok(plan) => (plan, None),
            Err(_) if text.trim().is_empty() => (ChordPlan::default(), None),
            Err(error) => (ChordPlan::default(), Some(error.to_string())),
        };
        *self.lock() = TypedPlan { text, problem };
        // Fails only when the inference thread is gone, and then nobody follows a plan.
        let _ = self.commands.send(EditorCommand::SetPlan(plan));
    }

    fn lock(&self) -> MutexGuard<'_, TypedPlan> {
        self.typed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PersistentField<'_, String> for PlanField {
    fn set(&self, text: String) {
        self.set_text(text);
    }

    fn map<F: Fn(&String) -> R, R>(&self, read: F) -> R {
        read(&self.lock().text)
    }
}

/// Who writes the music: a name of [`library::names`]; an empty one is the model inside the plugin.
#[derive(Clone)]
pub struct GeneratorField {
    name: Arc<Mutex<String>>,
    /// Id of a [`DeviceChoice`]; empty is what the environment says, else automatic.
    device: Arc<Mutex<String>>,
    commands: Sender<EditorCommand>,
}

impl GeneratorField {
    fn new(commands: Sender<EditorCommand>) -> Self {
        Self { name: Arc::default(), device: Arc::default(), commands }
    }

    pub fn name(&self) -> String {
        self.lock().clone()
    }

    pub fn choice(&self) -> GeneratorChoice {
        let name = Some(self.name()).filter(|name| !name.is_empty());
        let mut runtime = RuntimeChoice::from_environment();
        let device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        if !device.is_empty() {
            runtime.device = DeviceChoice::from_id(&device);
        }
        GeneratorChoice { name, runtime }
    }

    fn tell(&self) {
        // Fails only when the inference thread is gone.
        let _ = self.commands.send(EditorCommand::UseGenerator(self.choice()));
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PersistentField<'_, String> for GeneratorField {
    fn set(&self, name: String) {
        *self.lock() = name;
        self.tell();
    }

    fn map<F: Fn(&String) -> R, R>(&self, read: F) -> R {
        read(&self.lock())
    }
}

/// Where the generator's model is computed.
#[derive(Clone)]
pub struct DeviceField(GeneratorField);

impl DeviceField {
    pub fn choice(&self) -> DeviceChoice {
        self.0.choice().runtime.device
    }

    /// From the next bar on. What was written stays: it does not depend on where it was computed.
    pub fn choose(&self, choice: DeviceChoice) {
        self.set(choice.id().to_owned());
    }
}

impl PersistentField<'_, String> for DeviceField {
    fn set(&self, id: String) {
        *self.0.device.lock().unwrap_or_else(PoisonError::into_inner) = id;
        self.0.tell();
    }

    fn map<F: Fn(&String) -> R, R>(&self, read: F) -> R {
        read(&self.0.device.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The song as it was heard and answered.
#[derive(Clone)]
pub struct SongField(Arc<SongState>);

impl SongField {
    /// Why the song that was loaded is not played, in words.
    pub fn problem(&self) -> Option<String> {
        self.0.problem()
    }
}

/// This instance's link. One that cannot be read is that of a band of its own.
#[derive(Default)]
pub struct LinkField(SharedLink);

impl LinkField {
    pub fn get(&self) -> Link {
        self.0.get()
    }

    /// Tell the host of it: [`ObbligatoParams::next_edit`].
    pub fn choose(&self, link: Link) {
        self.0.set(link);
    }

    pub fn shared(&self) -> SharedLink {
        self.0.clone()
    }
}

impl PersistentField<'_, SavedText> for LinkField {
    fn set(&self, text: SavedText) {
        self.choose(text.0.parse().unwrap_or_default());
    }

    fn map<F: Fn(&SavedText) -> R, R>(&self, read: F) -> R {
        read(&SavedText(self.get().to_string()))
    }
}

/// Text in saved state. Anything else that stands there is taken as it is written, to be refused in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SavedText(String);

impl<'de> Deserialize<'de> for SavedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    }
}

impl PersistentField<'_, SavedText> for SongField {
    fn set(&self, text: SavedText) {
        self.0.load(text.0);
    }

    fn map<F: Fn(&SavedText) -> R, R>(&self, read: F) -> R {
        read(&SavedText(self.0.save()))
    }
}

/// How the engine fared, written into saved state for whoever reads it (a test, a bug report). Ignored on loading.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Report {
    pub backend: String,
    pub device: String,
    pub generator: String,
    /// Bars answered since loading.
    pub bars: u32,
    pub median_ms_per_bar: f32,
    pub worst_ms_per_bar: f32,
    pub late_segments: u32,
    /// Of these, segments in which the last bar was played again.
    pub repeated_segments: u32,
    pub late_notes: u32,
    /// Answers that a model failed to write.
    pub failed_answers: u32,
    /// Messages that did not fit into a queue.
    pub dropped: u32,
    pub problem: Option<String>,
    /// Bar index, segment number, chord, and where the chord came from.
    pub chords: Vec<(i32, u8, String, &'static str)>,
}

impl<'de> Deserialize<'de> for Report {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self::default())
    }
}

struct ReportField {
    view: SharedView,
    meters: Arc<Meters>,
    plan: PlanField,
    song: SongField,
}

impl ReportField {
    fn report(&self) -> Report {
        let view = self.view.get();
        let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        let chords = view.chords.iter().map(|(segment, planned)| {
            let chord = planned.chord.map_or_else(|| "N.C.".to_owned(), |chord| chord.to_string());
            (segment.bar.index.0, segment.number, chord, planned.source.name())
        });
        Report {
            backend: view.engine.backend.clone(),
            device: view.engine.device.clone(),
            generator: view.engine.generator.clone(),
            bars: count(&self.meters.bars),
            median_ms_per_bar: view.engine.median_milliseconds_per_bar,
            worst_ms_per_bar: view.engine.worst_milliseconds_per_bar,
            late_segments: count(&self.meters.late_segments),
            repeated_segments: count(&self.meters.repeated_segments),
            late_notes: count(&self.meters.late_notes),
            failed_answers: count(&self.meters.failed_answers),
            dropped: count(&self.meters.dropped),
            problem: view.engine.problem.clone().or_else(|| self.plan.problem()).or_else(|| self.song.problem()),
            chords: chords.collect(),
        }
    }
}

impl PersistentField<'_, Report> for ReportField {
    fn set(&self, _saved: Report) {}

    fn map<F: Fn(&Report) -> R, R>(&self, read: F) -> R {
        read(&self.report())
    }
}

/// Takes out of saved state what would stop the host when it is saved again: a choice that does not exist. A state from
/// before songs, generators and links were saved has an empty song, and is a band with the built-in model on any device.
pub fn discard_unusable(state: &mut PluginState) {
    use nice_plug::plugin::ParamValue;
    let choices = [
        ("follow", Follow::ids()),
        ("count_in_band", CountInBand::ids()),
        ("chord_input", ChordInput::ids()),
        ("extend_when", ExtendWhen::ids()),
        ("extend_sampling", Sampling::ids()),
    ];
    for (choice, ids) in choices {
        let known = |id: &str| ids.is_some_and(|ids| ids.contains(&id));
        state.params.retain(|id, value| id != choice || matches!(value, ParamValue::String(id) if known(id)));
    }
    for field in ["ledger", "generator", "device", "enhancer", "extender"] {
        state.fields.entry(field.into()).or_insert_with(|| "\"\"".into());
    }
    state.fields.entry("link".into()).or_insert_with(|| format!("\"{}\"", Link::default()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::{EngineStatus, SongView};
    use crate::links::{BandNumber, Role};
    use crate::music::{Bar, Meter, PlanSource, PlannedChord};
    use crossbeam_channel::Receiver;
    use std::collections::BTreeMap;

    fn params() -> (ObbligatoParams, Receiver<EditorCommand>, SharedView, Arc<Meters>) {
        let (sender, commands) = crossbeam_channel::unbounded();
        let (view, meters) = (SharedView::default(), Arc::<Meters>::default());
        (ObbligatoParams::new(sender, view.clone(), meters.clone()), commands, view, meters)
    }

    #[test]
    fn ids_are_as_published() {
        let (params, ..) = params();
        let ids: Vec<String> = params.param_map().into_iter().map(|(id, ..)| id).collect();
        let published = [
            "temperature style density follow count_in count_in_band chord_input split_key chord_channel thru bypass panic",
            "bass_on bass_channel bass_octave bass_velocity bass_density bass_solo bass_lock",
            "chords_on chords_channel chords_octave chords_velocity chords_density chords_solo chords_lock",
            "pad_on pad_channel pad_octave pad_velocity pad_density pad_solo pad_lock",
            "counter_on counter_channel counter_octave counter_velocity counter_density counter_solo counter_lock",
            "drums_on drums_channel drums_octave drums_velocity drums_density drums_solo drums_lock",
            "edits preview preview_level",
            "enhanced_on enhanced_channel enhanced_octave enhanced_velocity enhanced_density enhanced_solo enhanced_lock",
            "extension_on extension_channel extension_octave extension_velocity extension_density extension_solo extension_lock",
            "enhance_risk enhance_add enhance_remove enhance_passes enhance_feeds",
            "extend_when extend_risk extend_sampling extend_listen extend_bars extend_from",
        ];
        assert_eq!(ids.join(" "), published.join(" "), "automation and saved songs refer to these");
        let saved: Vec<String> = params.serialize_fields().into_keys().collect();
        assert_eq!(saved, ["device", "enhancer", "extender", "generator", "ledger", "link", "plan", "report", "seed"]);
    }

    #[test]
    fn every_part_has_its_row_of_parameters() {
        let (params, ..) = params();
        let rows: Vec<String> = params.param_map().into_iter().map(|(.., group)| group).collect();
        let of_parts = Part::ALL.iter().flat_map(|part| [part.name(); 7]);
        let expected = of_parts.chain(["Enhance"; 5]).chain(["Extend"; 6]);
        assert!(rows.iter().filter(|group| !group.is_empty()).map(String::as_str).eq(expected));
        for part in Part::ALL {
            assert!(params.part(part).on.name().starts_with(part.name()));
        }
    }

    #[test]
    fn what_a_preset_keeps_has_the_ids_that_the_host_knows() {
        struct Ids(Vec<(String, String)>);
        impl ParamVisitor for Ids {
            fn visit(&mut self, id: &str, param: &impl Param) {
                self.0.push((id.to_owned(), format!("{:?}", param.as_ptr())));
            }
        }
        let (params, ..) = params();
        let mut ids = Ids(Vec::new());
        params.visit_music(&mut ids);
        let published: BTreeMap<String, String> =
            params.param_map().into_iter().map(|(id, ptr, _)| (id, format!("{ptr:?}"))).collect();
        assert_eq!(ids.0.len(), 42);
        assert!(ids.0.iter().all(|(id, param)| published.get(id) == Some(param)));
        ids.0.clear();
        params.visit_all(&mut ids);
        assert!(ids.0.iter().all(|(id, param)| published.get(id) == Some(param)));
        let visited: Vec<&str> = ids.0.iter().map(|(id, _)| id.as_str()).collect();
        let others: Vec<&str> = published.keys().map(String::as_str).filter(|id| !visited.contains(id)).collect();
        assert_eq!(
            others,
            ["bypass", "edits", "enhanced_density", "extension_density", "panic"],
            "no control of the window holds these"
        );
    }

    #[test]
    fn parameters_begin_at_the_default_settings() {
        assert_eq!(params().0.settings(), Settings::default());
    }

    /// All the way along the knob the text reads back as the same text, and as a value no further off than `tolerance`.
    fn reads_back(param: &impl Param, tolerance: f32) {
        for step in 0..=1000 {
            let normalized = step as f32 / 1000.0;
            let text = param.normalized_value_to_string(normalized, true);
            let back = param.string_to_normalized_value(&text).unwrap_or_else(|| panic!("{}: {text}", param.name()));
            assert_eq!(param.normalized_value_to_string(back, true), text, "{}", param.name());
            assert!((back - normalized).abs() <= tolerance, "{}: {normalized} {text} {back}", param.name());
            let bare = param.normalized_value_to_string(normalized, false);
            assert_eq!(param.string_to_normalized_value(&bare), Some(back), "{} without unit", param.name());
        }
        for rubbish in
            ["", " ", "rubbish", "NaN", "inf", "-inf", "%", "++1", "1e99", "é\u{0}", "Hymn inf % + Chorale 1 %"]
        {
            let value = param.string_to_normalized_value(rubbish);
            assert_eq!(value, None, "{} took {rubbish:?}", param.name());
        }
    }

    #[test]
    fn texts_read_back() {
        let (params, ..) = params();
        reads_back(&params.temperature, 0.003);
        reads_back(&params.style, 0.001);
        reads_back(&params.density, 0.006);
        reads_back(&params.follow, 0.5);
        reads_back(&params.count_in, 0.5 / 8.0 + 1e-3);
        reads_back(&params.count_in_band, 0.5);
        reads_back(&params.chord_input, 0.25);
        reads_back(&params.split_key, 0.5 / 127.0 + 1e-3);
        reads_back(&params.chord_channel, 0.5 / 15.0 + 1e-3);
        reads_back(&params.thru, 0.5);
        reads_back(&params.bypass, 0.5);
        reads_back(&params.panic, 0.5);
        reads_back(&params.preview, 0.5);
        reads_back(&params.preview_level, 0.002);
        reads_back(&params.enhance.risk, 0.003);
        reads_back(&params.enhance.add, 0.5 / 32.0 + 1e-3);
        reads_back(&params.enhance.remove, 0.006);
        reads_back(&params.enhance.passes, 0.5 / 16.0 + 1e-3);
        reads_back(&params.enhance.feeds, 0.5);
        reads_back(&params.extend.when, 0.25);
        reads_back(&params.extend.risk, 0.003);
        reads_back(&params.extend.sampling, 0.25);
        reads_back(&params.extend.listen, 0.5 / 23.0 + 1e-3);
        reads_back(&params.extend.bars, 0.5 / 63.0 + 1e-3);
        reads_back(&params.extend.from, 0.5 / 998.0 + 1e-3);
        for part in Part::ALL {
            let row = params.part(part);
            reads_back(&row.on, 0.5);
            reads_back(&row.channel, 0.5 / 15.0 + 1e-3);
            reads_back(&row.octave, 0.5 / 6.0 + 1e-3);
            reads_back(&row.velocity, 0.003);
            reads_back(&row.density, 0.006);
            reads_back(&row.solo, 0.5);
            reads_back(&row.lock, 0.5);
        }
    }

    #[test]
    fn texts_are_those_a_musician_writes() {
        let (params, ..) = params();
        assert_eq!(params.temperature.to_string(), "1.00");
        assert_eq!(params.style.to_string(), "By ear");
        assert_eq!(params.density.to_string(), "50 %");
        assert_eq!(params.follow.to_string(), "Jam");
        assert_eq!(
            (params.count_in.to_string(), params.count_in_band.to_string()),
            ("4 bars".into(), "Plays by rule".into())
        );
        assert_eq!(
            (params.chord_input.to_string(), params.split_key.to_string(), params.chord_channel.to_string()),
            ("Off".into(), "C4".into(), "2".into())
        );
        assert_eq!(params.split_key.string_to_normalized_value("G9"), Some(1.0));
        assert_eq!(params.thru.to_string(), "On");
        assert_eq!(params.drums.channel.to_string(), "10");
        assert_eq!(params.bass.velocity.to_string(), "100 %");
        let octave = &params.bass.octave;
        assert_eq!(octave.normalized_value_to_string(1.0, true), "+3");
        assert_eq!(octave.string_to_normalized_value("−3"), Some(0.0), "a typographic minus");
        let temperature =
            |text| params.temperature.string_to_normalized_value(text).map(|n| params.temperature.preview_plain(n));
        assert_eq!(temperature("1,5"), Some(1.5));
        assert_eq!(temperature("100"), Some(2.0), "brought into range");
    }

    #[test]
    fn a_link_is_saved_and_decides_which_parts_sound() {
        let saved_link = |params: &ObbligatoParams| params.serialize_fields()["link"].clone();
        let drums = Link { role: Role::Part(Part::Drums), band: BandNumber::clamped(3) };
        let (first, ..) = params();
        assert_eq!(saved_link(&first), "\"band 1\"");
        first.link.choose(drums);
        assert_eq!(saved_link(&first), "\"drums 3\"");
        assert_eq!(first.settings().parts.0.map(|part| part.on), Part::ALL.map(|part| part == Part::Drums));
        for (saved, expected) in
            [("\"drums 3\"", drums), ("\"tuba 1\"", Link::default()), ("7", Link::default()), ("{}", Link::default())]
        {
            let (other, ..) = params();
            other.deserialize_fields(&BTreeMap::from([("link".to_owned(), saved.to_owned())]));
            assert_eq!(other.link.get(), expected, "{saved}");
        }
    }

    #[test]
    fn the_plan_is_followed_when_it_can_be_read_and_explained_when_not() {
        let (params, commands, ..) = params();
        params.plan.set_text("| C | G7 |".into());
        assert_eq!(params.plan.problem(), None);
        let plan = ChordPlan::parse("| C | G7 |").expect("readable");
        assert_eq!(commands.try_recv(), Ok(EditorCommand::SetPlan(plan)));

        params.plan.set_text("| C | Xyz |".into());
        let problem = params.plan.problem().expect("Xyz is no chord");
        assert!(problem.contains("bar 2") && problem.contains("Xyz"), "{problem}");
        assert_eq!(commands.try_recv(), Ok(EditorCommand::SetPlan(ChordPlan::default())));
        assert_eq!(params.plan.text(), "| C | Xyz |", "kept, to be mended");

        params.plan.set_text("  ".into());
        assert_eq!(params.plan.problem(), None, "no plan is no mistake");
    }

    #[test]
    fn saved_fields_come_back_and_the_report_does_not() {
        let (written, ..) = params();
        written.seed.store(77, Ordering::Relaxed);
        written.plan.set_text("| Dm7 | G7 |".into());
        let mut fields = written.serialize_fields();
        fields.insert("report".into(), r#"{"backend":"another machine","bars":"not even a number"}"#.into());

        let (read, commands, ..) = params();
        read.deserialize_fields(&fields);
        assert_eq!(read.settings().seed, 77);
        assert_eq!(read.plan.text(), "| Dm7 | G7 |");
        let sent: Vec<EditorCommand> = commands.try_iter().collect();
        assert!(sent.iter().any(|command| matches!(command, EditorCommand::SetPlan(plan) if plan.len() == 2)));
        assert_eq!(read.serialize_fields()["report"], params().0.serialize_fields()["report"]);
    }

    #[test]
    fn a_locked_part_is_not_rolled_again() {
        let reroll = |parts| LedgerCommand::Reroll { bars: 0..48, parts };
        let mut parts = Settings::default().parts;
        let all = PerPart::from_fn(|_| true);
        assert_eq!(sparing(reroll(all), &parts), reroll(all));
        parts[Part::Drums].locked = true;
        assert_eq!(sparing(reroll(all), &parts), reroll(PerPart::from_fn(|part| part != Part::Drums)));
        assert_eq!(sparing(LedgerCommand::Undo, &parts), LedgerCommand::Undo);
    }

    #[test]
    fn a_generator_is_saved_by_name_and_only_a_choice_writes_anew() {
        let (written, commands, ..) = params();
        assert_eq!(written.generator.choice().name, None, "the one inside the plugin");
        written.choose_generator("Bossa nova".into());
        let sent: Vec<EditorCommand> = commands.try_iter().collect();
        let wanted = |command: &EditorCommand| matches!(command, EditorCommand::UseGenerator(choice) if choice.name.as_deref() == Some("Bossa nova"));
        assert!(wanted(&sent[0]) && matches!(sent[1], EditorCommand::Ledger(LedgerCommand::Reroll { .. })), "{sent:?}");

        let (read, commands, ..) = params();
        read.deserialize_fields(&written.serialize_fields());
        assert_eq!(read.generator.name(), "Bossa nova");
        let sent: Vec<EditorCommand> = commands.try_iter().collect();
        assert!(sent.iter().any(wanted) && !sent.iter().any(|command| matches!(command, EditorCommand::Ledger(_))));
    }

    #[test]
    fn a_device_is_saved_by_its_id_and_writes_nothing_anew() {
        use crate::runtime::Device;
        let (written, commands, ..) = params();
        written.device.choose(DeviceChoice::One(Device::WebGpu));
        let on_it = |command: &EditorCommand| matches!(command, EditorCommand::UseGenerator(choice) if choice.runtime.device == DeviceChoice::One(Device::WebGpu));
        let sent: Vec<EditorCommand> = commands.try_iter().collect();
        assert!(matches!(sent.as_slice(), [command] if on_it(command)), "{sent:?}");
        assert_eq!(written.serialize_fields()["device"], "\"webgpu\"");

        let (read, commands, ..) = params();
        read.deserialize_fields(&written.serialize_fields());
        assert_eq!(read.device.choice(), DeviceChoice::One(Device::WebGpu));
        assert!(commands.try_iter().any(|command| on_it(&command)));
        let unknown = [("device".to_owned(), "\"quantum\"".to_owned())].into();
        read.deserialize_fields(&unknown);
        assert_eq!(read.device.choice(), DeviceChoice::Auto, "a device of a later version");
    }

    #[test]
    fn who_works_on_the_melody_is_saved_by_name() {
        let (written, commands, ..) = params();
        assert_eq!(written.enhancer.name(), "", "the first there is");
        written.extender.choose("Ländler".into());
        let chosen = EditorCommand::UseMelodist { melodist: Melodist::Extender, name: Some("Ländler".into()) };
        assert_eq!(commands.try_iter().collect::<Vec<_>>(), std::slice::from_ref(&chosen));
        let (read, commands, ..) = params();
        read.deserialize_fields(&written.serialize_fields());
        assert_eq!((read.enhancer.name(), read.extender.name()), (String::new(), "Ländler".into()));
        assert!(commands.try_iter().any(|command| command == chosen));
    }

    #[test]
    fn the_song_is_saved_with_the_rest_and_does_not_spoil_it() {
        let bar = Bar::of_constant_meter(2, Meter::COMMON);
        let mut ledger = crate::ledger::Ledger::default();
        ledger.hear(bar, Vec::new());
        let (written, _commands, view, _) = params();
        view.publish(SongView { ledger: ledger.clone(), ..SongView::default() });
        written.seed.store(77, Ordering::Relaxed);
        let fields = written.serialize_fields();

        let (read, commands, ..) = params();
        read.deserialize_fields(&fields);
        let sent: Vec<EditorCommand> = commands.try_iter().collect();
        assert!(sent.contains(&EditorCommand::Restore { ledger, number: 1 }), "{sent:?}");
        assert_eq!(read.song.problem(), None);

        for damaged in [r#""1:AAAA""#, r#""4:later""#, "57", "{}", "null"] {
            let mut fields = fields.clone();
            fields.insert("ledger".into(), damaged.into());
            let (read, ..) = params();
            read.deserialize_fields(&fields);
            assert_eq!(read.settings().seed, 77, "the rest is there");
            assert!(read.song.problem().is_some(), "{damaged}");
            let report: serde_json::Value =
                serde_json::from_str(&read.serialize_fields()["report"]).expect("a report is JSON");
            assert!(report["problem"].as_str().is_some_and(|problem| problem.contains("bars in this project")));
        }
    }

    #[test]
    fn an_edit_gives_the_host_something_to_notice() {
        let (params, ..) = params();
        assert_eq!(params.next_edit(), 1);
        assert!(params.edits.flags().contains(ParamFlags::HIDDEN));
    }

    #[test]
    fn the_report_tells_what_happened() {
        let (params, _commands, view, meters) = params();
        let bar = Bar::of_constant_meter(4, Meter::COMMON);
        let planned =
            |text: Option<&str>, source| PlannedChord { chord: text.map(|t| t.parse().expect("a chord")), source };
        let segments: Vec<_> = bar.segments().collect();
        view.publish(SongView {
            engine: EngineStatus {
                backend: "tract".into(),
                device: "CPU".into(),
                worst_milliseconds_per_bar: 12.5,
                ..EngineStatus::default()
            },
            chords: vec![
                (segments[0], planned(Some("Am"), PlanSource::Proposed)),
                (segments[1], planned(None, PlanSource::User)),
            ],
            ahead: vec![(segments[1].next(), planned(Some("C"), PlanSource::User))],
            ..SongView::default()
        });
        Meters::count(&meters.late_notes);
        Meters::count(&meters.failed_answers);
        params.plan.set_text("| Xyz |".into());
        let report: serde_json::Value =
            serde_json::from_str(&params.serialize_fields()["report"]).expect("a report is JSON");
        assert_eq!(report["backend"], "tract");
        assert_eq!((&report["late_notes"], &report["worst_ms_per_bar"]), (&1.into(), &12.5.into()));
        assert_eq!((&report["failed_answers"], &report["repeated_segments"]), (&1.into(), &0.into()));
        assert_eq!(report["chords"], serde_json::json!([[4, 0, "Am", "proposed"], [4, 1, "N.C.", "yours"]]));
        assert!(report["problem"].as_str().is_some_and(|problem| problem.contains("Xyz")));
    }

    #[test]
    fn a_choice_that_does_not_exist_is_discarded_from_state() {
        use nice_plug::plugin::ParamValue;
        for (id, value, kept) in [
            ("follow", ParamValue::String("arrange".into()), true),
            ("follow", ParamValue::String("waltz".into()), false),
            ("follow", ParamValue::I32(57), false),
            ("count_in_band", ParamValue::String("rests".into()), true),
            ("count_in_band", ParamValue::String("arrange".into()), false),
            ("chord_input", ParamValue::String("split".into()), true),
            ("chord_input", ParamValue::String("pedal".into()), false),
            ("extend_when", ParamValue::String("call_and_response".into()), true),
            ("extend_when", ParamValue::String("never".into()), false),
            ("extend_sampling", ParamValue::String("beam".into()), false),
        ] {
            let params = BTreeMap::from([(id.to_owned(), value), ("thru".to_owned(), ParamValue::Bool(true))]);
            let mut state = PluginState { version: String::new(), params, fields: BTreeMap::new() };
            discard_unusable(&mut state);
            assert_eq!(state.params.contains_key(id), kept);
            assert!(state.params.contains_key("thru"));
            assert_eq!(state.fields["ledger"], r#""""#, "a song that was never saved is empty");
            assert_eq!(state.fields["link"], r#""band 1""#);
        }
    }
}
