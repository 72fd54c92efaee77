//! Host glue: host events ↔ music events, host clock ↔ ours. `process` and `reset` run on the audio thread, all else
//! on the host's main thread.

mod events;
mod pace;

use crate::channels::{
    self, EditorCommand, InferenceEnd, Meters, PianoKeys, PianoTouches, SharedView, SongView, Touch,
};
use crate::editor::{self, ObbligatoEditor};
use crate::generators::library;
use crate::inference::InferenceThread;
use crate::links::{Links, Seat};
use crate::params::{self, ObbligatoParams};
use crate::realtime::{Block, EventBuffer, RealtimeProcessor};
use crate::settings::Settings;
use crate::sound::{PreviewSound, SoundSettings, TimedSound};
use crate::standalone;
use crossbeam_channel::Receiver;
use events::{Incoming, IncomingNotes, OutgoingEvents, Refused, host_transport, sound_event};
use nice_plug::context::process::SendEventError;
use nice_plug::prelude::*;
use nice_plug_egui::EguiEditor;
use pace::{OfflineDetector, Pace};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub struct Obbligato {
    params: Arc<ObbligatoParams>,
    view: SharedView,
    meters: Arc<Meters>,
    processor: RealtimeProcessor,
    /// What the inference thread will be given, until the first activation: a host that scans plugins loads no model.
    unstarted: Option<(InferenceEnd, Receiver<EditorCommand>)>,
    inference: Option<InferenceThread>,
    incoming: IncomingNotes,
    answer: EventBuffer,
    outgoing: OutgoingEvents,
    /// The window's piano; its keys are there until the window's contents are made.
    piano: PianoTouches,
    piano_keys: Option<PianoKeys>,
    sound: PreviewSound,
    /// What the preview hears of a block: what goes out.
    heard: Vec<TimedSound>,
    pace: OfflineDetector,
    sample_rate: f64,
}

impl Default for Obbligato {
    fn default() -> Self {
        let (realtime, inference) = channels::connect();
        let (commands_in, commands_out) = crossbeam_channel::unbounded();
        let (view, meters) = (SharedView::default(), realtime.meters.clone());
        let (piano_keys, piano) = channels::connect_piano();
        let sample_rate = 48_000.0;
        Self {
            params: Arc::new(ObbligatoParams::new(commands_in, view.clone(), meters.clone())),
            view,
            meters,
            processor: RealtimeProcessor::new(realtime),
            unstarted: Some((inference, commands_out)),
            inference: None,
            incoming: IncomingNotes::new(),
            answer: EventBuffer::new(),
            outgoing: OutgoingEvents::new(),
            piano,
            piano_keys: Some(piano_keys),
            sound: PreviewSound::new(sample_rate),
            heard: Vec::with_capacity(OutgoingEvents::CAPACITY),
            pace: OfflineDetector::new(false, false),
            sample_rate,
        }
    }
}

impl Obbligato {
    fn start_inference(&mut self) {
        let Some((end, commands)) = self.unstarted.take() else {
            return;
        };
        let generator = self.params.generator.clone();
        let load = move || library::load(&generator.choice());
        let seat = Seat { link: self.params.link.shared(), links: Links::of_process() };
        match InferenceThread::spawn_seated(seat, end, self.view.clone(), commands, load) {
            Ok(thread) => self.inference = Some(thread),
            Err(error) => {
                let mut view = SongView::default();
                view.engine.problem =
                    Some(format!("No accompaniment: the system gave no thread to write it ({error})."));
                self.view.publish(view);
            }
        }
    }

    /// A block of `frames` samples: its notes, and the preview sound into the first two of `channels`.
    fn play(
        &mut self,
        asked: &Asked,
        frames: usize,
        channels: &mut [&mut [f32]],
        context: &mut impl ProcessContext<Self>,
    ) {
        channels.iter_mut().for_each(|channel| channel.fill(0.0));
        self.run(frames, asked.settings, asked.bypass, context);
        if let [left, right, ..] = channels {
            self.sound.play(&asked.sound, &self.heard, left, right);
        }
    }

    /// Takes in what happened in a block of `frames` samples, and sends what is played.
    fn run(&mut self, frames: usize, settings: Settings, bypass: bool, context: &mut impl ProcessContext<Self>) {
        let song_runs = context.transport().playing;
        let pace = self.pace.begin(frames as f64 / self.sample_rate, song_runs, Instant::now());
        self.processor.hurry(pace == Pace::PresumedRender);
        self.take_events(Passes::of(settings.thru || bypass, context.plugin_api()), context);
        let block = Block {
            frames: frames as u32,
            sample_rate: self.sample_rate,
            transport: host_transport(context.transport()),
            settings,
            bypass,
            panic: self.params.panic.value(),
            offline: pace != Pace::Live,
            input: self.incoming.events(),
        };
        self.answer.clear();
        self.processor.process(&block, &mut self.answer);
        if self.processor.panicked() {
            self.outgoing.silence_channels();
        }
        self.send_events(context);
        self.pace.end(Instant::now());
    }

    /// Sorts out what the host sent: notes for the processor, controllers straight to the output.
    fn take_events(&mut self, passes: Passes, context: &mut impl ProcessContext<Self>) {
        self.incoming.clear();
        self.take_touches();
        while let Some(event) = context.next_event() {
            let timing = event.timing();
            let taken = match Incoming::of(&event) {
                Incoming::On { channel, key, velocity } => self.incoming.strike(timing, channel, key, velocity),
                Incoming::Off { channel, key } => {
                    self.incoming.release(timing, channel, key);
                    true
                }
                Incoming::Controller => !passes.controllers || self.outgoing.pass(event),
                Incoming::KeyPressure => !passes.key_pressure || self.outgoing.pass(event),
                Incoming::Unused => true,
            };
            if !taken {
                Meters::count(&self.meters.dropped);
            }
        }
    }

    /// The window's piano is a keyboard on the first channel.
    fn take_touches(&mut self) {
        const CHANNEL: u8 = 0;
        for touch in self.piano.by_ref() {
            match touch {
                Touch::Down { key, velocity } => {
                    if !self.incoming.strike(0, CHANNEL, key, velocity) {
                        Meters::count(&self.meters.dropped);
                    }
                }
                Touch::Up { key } => self.incoming.release(0, Some(CHANNEL), Some(key)),
            }
        }
    }

    fn send_events(&mut self, context: &mut impl ProcessContext<Self>) {
        for event in self.answer.iter() {
            if !self.outgoing.note(event) {
                Meters::count(&self.meters.dropped);
            }
        }
        self.heard.clear();
        let heard = &mut self.heard;
        let lost = self.outgoing.send(|event| {
            // As many as fit into `outgoing`, which has room for no more.
            if let Some(event) = sound_event(&event).filter(|_| heard.len() < heard.capacity()) {
                heard.push(event);
            }
            context.try_send_event(event).map_err(|(_, reason)| match reason {
                SendEventError::HostBufferFull => Refused::Full,
                SendEventError::NoOutputBuffer | SendEventError::InvalidEvent { .. } => Refused::Never,
            })
        });
        self.meters.dropped.fetch_add(lost, Ordering::Relaxed);
    }
}

/// What the parameters ask for in a block.
struct Asked {
    settings: Settings,
    bypass: bool,
    sound: SoundSettings,
}

impl Asked {
    fn of(params: &ObbligatoParams) -> Self {
        let settings = params.settings();
        Self { settings, bypass: params.bypass.value(), sound: params.sound(&settings) }
    }
}

/// What is passed on beside notes.
#[derive(Debug, Clone, Copy)]
struct Passes {
    controllers: bool,
    key_pressure: bool,
}

impl Passes {
    fn of(thru: bool, api: PluginApi) -> Self {
        // In CLAP the framework sends key pressure as a note expression, on which Bitwig 6.1 stops its audio engine.
        Self { controllers: thru, key_pressure: thru && api != PluginApi::Clap }
    }
}

impl Plugin for Obbligato {
    const NAME: &'static str = "Obbligato";
    const VENDOR: &'static str = "Obbligato";
    const URL: &'static str = "https://github.com/obbligato/obbligato";
    const EMAIL: &'static str = "";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    /// For the preview sound. Several hosts refuse a VST3 without an audio output.
    const AUDIO_IO_LAYOUTS: &'static [AudioIOLayout] =
        &[AudioIOLayout { main_output_channels: NonZeroU32::new(2), ..AudioIOLayout::const_default() }];

    /// Controllers too: an effect that swallows the sustain pedal and pitch bend is broken for a player. The price is
    /// VST3's way of carrying them, a parameter for each controller and channel: 2,130 in all, 50 of them ours.
    const MIDI_INPUT: MidiConfig = MidiConfig::MidiCCs;
    const MIDI_OUTPUT: MidiConfig = MidiConfig::MidiCCs;
    const SAMPLE_ACCURATE_AUTOMATION: bool = true;
    /// So many events in one block that the framework need not allocate for more.
    const INPUT_EVENT_CAPACITY: usize = 8192;

    type Editor = EguiEditor<ObbligatoEditor>;
    type SysExMessage = ();
    type BackgroundTask = ();

    fn params(&self) -> Arc<dyn Params> {
        self.params.clone()
    }

    fn editor(&mut self, _executor: AsyncExecutor<Self>) -> Option<Self::Editor> {
        let piano = self.piano_keys.take()?;
        editor::create(self.params.clone(), self.view.clone(), self.meters.clone(), piano)
    }

    fn filter_state(state: &mut PluginState) {
        params::discard_unusable(state);
    }

    fn activate(
        &mut self,
        _layout: &AudioIOLayout,
        config: &BufferConfig,
        context: &mut impl ActivateContext<Self>,
    ) -> bool {
        self.start_inference();
        // A host that says 0 is not divided by.
        self.sample_rate = f64::from(config.sample_rate).max(1.0);
        self.sound = PreviewSound::new(self.sample_rate);
        self.piano.forget_strikes();
        standalone::start();
        let offline = match config.process_mode {
            ProcessMode::Offline | ProcessMode::Buffered => true,
            ProcessMode::Realtime => false,
        };
        let certain = match context.plugin_api() {
            PluginApi::Clap => offline,
            // Its mode is that of the activation before.
            PluginApi::Vst3 => false,
            PluginApi::Standalone => true,
        };
        self.pace = OfflineDetector::new(offline, certain);
        true
    }

    fn reset(&mut self) {
        self.processor.reset();
        self.sound.reset();
        self.pace.interrupt();
    }

    fn process(
        &mut self,
        buffer: &mut Buffer,
        _aux: &mut AuxiliaryBuffers,
        context: &mut impl ProcessContext<Self>,
    ) -> ProcessStatus {
        let asked = Asked::of(&self.params);
        self.play(&asked, buffer.samples(), buffer.as_slice(), context);
        // Notes may come at any time, whatever the input does.
        ProcessStatus::KeepAlive
    }

    fn deactivate(&mut self) {
        self.processor.reset();
    }
}

impl ClapPlugin for Obbligato {
    const CLAP_ID: &'static str = "org.obbligato.obbligato";
    const CLAP_DESCRIPTION: Option<&'static str> = Some("Listens to a melody and plays with it");
    const CLAP_MANUAL_URL: Option<&'static str> = Some(Self::URL);
    const CLAP_SUPPORT_URL: Option<&'static str> = None;
    const CLAP_FEATURES: &'static [ClapFeature] = &[ClapFeature::NoteEffect, ClapFeature::Utility];
}

impl Vst3Plugin for Obbligato {
    /// Never changes: saved songs refer to it.
    const VST3_CLASS_ID: [u8; 16] = *b"ObbligatoPlaysIt";
    const VST3_SUBCATEGORIES: &'static [Vst3SubCategory] = &[Vst3SubCategory::Instrument, Vst3SubCategory::Tools];
}

nice_export_clap!(Obbligato);
nice_export_vst3!(Obbligato);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::ByChannel;
    use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};
    use nice_plug::midi::{Channel, Key, VoiceID};
    use std::collections::VecDeque;

    #[global_allocator]
    static ALLOCATOR: AllocDisabler = AllocDisabler;

    type Event = NoteEvent<()>;

    /// A host that stands still and writes down what it gets.
    struct Host {
        api: PluginApi,
        transport: Transport,
        input: VecDeque<Event>,
        output: Vec<Event>,
    }

    impl ProcessContext<Obbligato> for Host {
        fn plugin_api(&self) -> PluginApi {
            self.api
        }
        fn execute_background(&self, _task: ()) {}
        fn execute_gui(&self, _task: ()) {}
        fn transport(&self) -> &Transport {
            &self.transport
        }
        fn next_event(&mut self) -> Option<Event> {
            self.input.pop_front()
        }
        fn try_send_event(&mut self, event: Event) -> Result<(), (Event, SendEventError)> {
            self.output.push(event);
            Ok(())
        }
        fn set_latency_samples(&self, _samples: u32) {}
        fn request_restart(&self) {}
        fn set_current_voice_capacity(&self, _capacity: u32) {}
    }

    /// What comes out of a new plugin.
    fn play(api: PluginApi, thru: bool, bypass: bool, input: &[Event]) -> Vec<Event> {
        let transport = Transport::new(48_000.0);
        let mut host = Host { api, transport, input: input.iter().copied().collect(), output: Vec::new() };
        let settings = Settings { thru, ..Settings::default() };
        Obbligato::default().run(512, settings, bypass, &mut host);
        host.output
    }

    fn note(timing: u32, on: bool) -> Event {
        let (voice_id, channel, key) = (VoiceID::Wildcard, Channel::Number(0), Key::Number(60));
        if on {
            NoteEvent::NoteOn { timing, voice_id, channel, key, velocity: 1.0 }
        } else {
            NoteEvent::NoteOff { timing, voice_id, channel, key, velocity: 0.0 }
        }
    }

    fn controllers(timing: u32) -> [Event; 4] {
        [
            NoteEvent::MidiCC { timing, channel: 3, cc: 64, value: 1.0 },
            NoteEvent::MidiPitchBend { timing, channel: 3, value: 0.75 },
            NoteEvent::MidiChannelPressure { timing, channel: 3, pressure: 0.5 },
            NoteEvent::MidiProgramChange { timing, channel: 3, program: 5 },
        ]
    }

    fn key_pressure(timing: u32) -> Event {
        let (voice_id, channel, key) = (VoiceID::Wildcard, Channel::Number(0), Key::Number(60));
        NoteEvent::PolyPressure { timing, voice_id, channel, key, pressure: 0.5 }
    }

    /// A melody note with everything a player does while it sounds, in time order.
    fn performance() -> Vec<Event> {
        let mut events = vec![note(3, true)];
        events.extend(controllers(10));
        events.push(note(100, false));
        events
    }

    #[test]
    fn pedal_and_bend_pass_untouched_with_the_melody() {
        for (thru, bypass, passes) in [(true, false, true), (false, true, true), (false, false, false)] {
            let sent = play(PluginApi::Vst3, thru, bypass, &performance());
            let expected = if passes { performance() } else { Vec::new() };
            assert_eq!(sent, expected, "thru {thru}, bypass {bypass}");
        }
    }

    #[test]
    fn key_pressure_passes_where_it_is_not_sent_as_an_expression() {
        let events = [note(0, true), key_pressure(4)];
        assert_eq!(play(PluginApi::Vst3, true, false, &events), events);
        assert_eq!(play(PluginApi::Clap, true, false, &events), events[..1]);
    }

    /// From parameters and the host's events to the host's events and its sound buffers; what lies between is tried in
    /// `tests/realtime`, and the built plugin with the framework around it in `xtask/tests/system_calls.rs`.
    #[test]
    fn a_whole_call_allocates_nothing() {
        let mut plugin = Obbligato::default();
        let transport = Transport::new(48_000.0);
        let output = Vec::with_capacity(1 << 14);
        let mut host = Host { api: PluginApi::Vst3, transport, input: VecDeque::new(), output };
        let (mut left, mut right, mut loudest) = ([0.0; 512], [0.0; 512], 0.0_f32);
        for block in 0..60_u32 {
            // Not for so long that it would be taken for a render, which waits.
            host.transport.playing = (10..40).contains(&block);
            host.transport.pos_beats = Some(f64::from(block) * 512.0 / 24_000.0);
            host.transport.tempo = Some(120.0);
            host.input.extend(performance());
            if block % 20 == 19 {
                Meters::count(&plugin.meters.panics);
            }
            let before = violation_count();
            assert_no_alloc(|| {
                let asked = Asked::of(&plugin.params);
                let sound = SoundSettings::new(block % 15 < 10, 0.0, ByChannel::of(&asked.settings.parts));
                let asked = Asked { sound, bypass: block > 50, ..asked };
                plugin.play(&asked, 512, &mut [&mut left, &mut right], &mut host);
            });
            assert_eq!(violation_count(), before, "block {block}");
            let silencing =
                host.output.iter().filter(|event| matches!(event, NoteEvent::MidiCC { cc: 120, .. })).count();
            assert_eq!(silencing, if block % 20 == 19 { 16 } else { 0 });
            host.output.clear();
            loudest = left.iter().chain(&right).fold(loudest, |loudest, sample| loudest.max(sample.abs()));
        }
        assert!(loudest > 0.01, "the melody is heard in the preview: {loudest}");
    }

    #[test]
    fn a_scan_of_plugins_starts_no_inference() {
        let plugin = Obbligato::default();
        assert!(plugin.inference.is_none() && plugin.unstarted.is_some());
    }
}
