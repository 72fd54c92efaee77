//! Hosts a built `.clap`.

use super::{
    BlockProcessor, HostBlock, HostTransport, HostedPlugin, Message, Parameter, PluginState, RenderMode, Timed,
    midi_velocity, parameter_number,
};
use anyhow::{Context, Result, bail};
use clack_extensions::audio_ports::{AudioPortInfoBuffer, PluginAudioPorts};
use clack_extensions::gui::{GuiApiType, GuiConfiguration, GuiSize, HostGui, HostGuiImpl, PluginGui, Window};
use clack_extensions::latency::PluginLatency;
use clack_extensions::params::{ParamInfoBuffer, ParamInfoFlags, PluginParams};
use clack_extensions::render::PluginRender;
use clack_extensions::state::PluginState as StateExtension;
use clack_host::events::EventFlags;
use clack_host::events::event_types::{
    MidiEvent, NoteOffEvent, NoteOnEvent, ParamValueEvent, TransportEvent, TransportFlags,
};
use clack_host::events::spaces::CoreEventSpace;
use clack_host::events::{Match, Pckn};
use clack_host::prelude::*;
use clack_host::utils::{BeatTime, SecondsTime};
use std::ffi::CString;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the plugin may ask of its host.
#[derive(Default)]
struct Requests {
    callback: AtomicBool,
}

impl SharedHandler<'_> for Requests {
    fn request_restart(&self) {}

    fn request_process(&self) {}

    fn request_callback(&self) {
        self.callback.store(true, Ordering::Release);
    }
}

/// The window has the size that its scene asks for. A plugin that opens one wants a host that can be asked all the same.
impl HostGuiImpl for Requests {
    fn resize_hints_changed(&self) {}

    fn request_resize(&self, _new_size: GuiSize) -> Result<(), HostError> {
        Err(HostError::Message("the size is fixed"))
    }

    fn request_show(&self) -> Result<(), HostError> {
        Ok(())
    }

    fn request_hide(&self) -> Result<(), HostError> {
        Ok(())
    }

    fn closed(&self, _was_destroyed: bool) {}
}

struct Host;

impl HostHandlers for Host {
    type Shared<'a> = Requests;
    type MainThread<'a> = ();
    type AudioProcessor<'a> = ();

    fn declare_extensions(builder: &mut HostExtensions<Self>, _shared: &Self::Shared<'_>) {
        builder.register::<HostGui>();
    }
}

/// One instance of a plugin in a `.clap`.
pub struct ClapPlugin {
    // Declared before the instance: it must be dropped first.
    processor: Option<ClapProcessor>,
    instance: PluginInstance<Host>,
    parameters: PluginParams,
    state: StateExtension,
    render: PluginRender,
}

/// The active plugin with the buffers a process call needs.
struct ClapProcessor {
    started: StartedPluginAudioProcessor<Host>,
    input_ports: AudioPorts,
    output_ports: AudioPorts,
    /// By port, then channel.
    input_audio: Vec<Vec<Vec<f32>>>,
    output_audio: Vec<Vec<Vec<f32>>>,
    input_events: EventBuffer,
    output_events: EventBuffer,
    /// Parameter changes that the next block brings.
    changes: Vec<(ClapId, f64)>,
    /// Samples processed since activation.
    steady_time: u64,
}

impl ClapPlugin {
    /// Loads the plugin `id` from a `.clap`.
    ///
    /// # Errors
    /// When the file cannot be loaded, has no such plugin, or the plugin lacks an extension every such plugin has.
    pub fn load(path: &Path, id: &str) -> Result<Self> {
        // SAFETY: the file is this project's own plugin, built by this workspace; loading runs its initialisers.
        let entry = unsafe { PluginEntry::load(path) }.with_context(|| format!("cannot load {}", path.display()))?;
        let id = CString::new(id)?;
        let info = HostInfo::new("Obbligato test host", "Obbligato", "", env!("CARGO_PKG_VERSION"))?;
        let mut instance = PluginInstance::<Host>::new(|_| Requests::default(), |_| (), &entry, &id, &info)
            .with_context(|| format!("{} has no plugin {id:?} that starts", path.display()))?;
        let handle = instance.plugin_handle();
        let parameters = handle.get_extension().context("the plugin has no parameters")?;
        let state = handle.get_extension().context("the plugin saves no state")?;
        let render = handle.get_extension().context("the plugin cannot be told that rendering is offline")?;
        Ok(Self { processor: None, instance, parameters, state, render })
    }

    /// Ids of the plugins in a `.clap`, with their feature lists.
    pub fn list(path: &Path) -> Result<Vec<(String, Vec<String>)>> {
        // SAFETY: as in `load`.
        let entry = unsafe { PluginEntry::load(path) }.with_context(|| format!("cannot load {}", path.display()))?;
        let factory = entry.get_plugin_factory().context("the file has no plugin factory")?;
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let described = factory.plugin_descriptors().map(|plugin| {
            let id = plugin.id().map(text).unwrap_or_default();
            (id, plugin.features().map(text).collect())
        });
        Ok(described.collect())
    }

    fn number(&self, id: &str) -> Result<ClapId> {
        ClapId::from_raw(parameter_number(id)).with_context(|| format!("`{id}` cannot be a parameter"))
    }

    /// CLAP counts stepped parameters in steps.
    fn steps(&mut self, id: &str) -> Result<f64> {
        let number = parameter_number(id);
        let found = self.parameters().into_iter().find(|parameter| parameter.number == number);
        let parameter = found.with_context(|| format!("the plugin has no parameter `{id}`"))?;
        Ok(f64::from(parameter.steps.max(1)))
    }

    /// Opens the plugin's window inside another one (X11), of a size in pixels.
    ///
    /// # Errors
    /// When the plugin has no window, or does not open it.
    pub fn open_window(&mut self, parent: u32, (width, height): (u32, u32), scale: f64) -> Result<()> {
        let handle = self.instance.plugin_handle();
        let gui: PluginGui = handle.get_extension().context("the plugin has no window")?;
        gui.create(&handle, GuiConfiguration { api_type: GuiApiType::X11, is_floating: false })?;
        gui.set_scale(&handle, scale)?;
        // SAFETY: the window is open, and outlives the plugin's, which `close_window` takes out of it.
        unsafe { gui.set_parent(&handle, Window::from_x11_handle(parent.into())) }?;
        gui.set_size(&handle, GuiSize { width, height })?;
        gui.show(&handle)?;
        Ok(())
    }

    pub fn close_window(&mut self) {
        let handle = self.instance.plugin_handle();
        if let Some(gui) = handle.get_extension::<PluginGui>() {
            gui.destroy(&handle);
        }
    }

    /// What the plugin has asked its host's main thread for.
    pub fn serve_requests(&mut self) {
        let asked = self.instance.access_shared_handler(|requests| requests.callback.swap(false, Ordering::AcqRel));
        if asked {
            self.instance.call_on_main_thread_callback();
        }
    }

    fn audio(&mut self, is_input: bool, frames: u32) -> Vec<Vec<Vec<f32>>> {
        let handle = self.instance.plugin_handle();
        let Some(ports) = handle.get_extension::<PluginAudioPorts>() else {
            return Vec::new();
        };
        let mut buffer = AudioPortInfoBuffer::new();
        (0..ports.count(&handle, is_input))
            .map(|index| ports.get(&handle, index, is_input, &mut buffer).map_or(0, |port| port.channel_count))
            .map(|channels| vec![vec![0.0; frames as usize]; channels as usize])
            .collect()
    }
}

impl HostedPlugin for ClapPlugin {
    fn parameters(&mut self) -> Vec<Parameter> {
        let handle = self.instance.plugin_handle();
        let mut buffer = ParamInfoBuffer::new();
        let mut found = Vec::new();
        for index in 0..self.parameters.count(&handle) {
            let Some(info) = self.parameters.get_info(&handle, index, &mut buffer) else {
                continue;
            };
            let stepped = info.flags.contains(ParamInfoFlags::IS_STEPPED);
            let steps = if stepped { info.max_value } else { 0.0 };
            found.push(Parameter {
                number: info.id.get(),
                name: String::from_utf8_lossy(info.name).into_owned(),
                steps: steps as u32,
            });
        }
        found
    }

    fn set_parameter(&mut self, id: &str, value: f64) -> Result<()> {
        let (number, steps) = (self.number(id)?, self.steps(id)?);
        if let Some(processor) = &mut self.processor {
            processor.changes.push((number, value * steps));
            return Ok(());
        }
        let mut change = EventBuffer::new();
        change.push(&ParamValueEvent::new(0, number, Pckn::match_all(), value * steps));
        let mut handle = self.instance.inactive_plugin_handle().context("the plugin is active")?;
        self.parameters.flush(&mut handle, &change.as_input(), &mut EventBuffer::new().as_output());
        Ok(())
    }

    fn parameter_from_text(&mut self, id: &str, text: &str) -> Result<f64> {
        let (number, steps) = (self.number(id)?, self.steps(id)?);
        let value = self.parameters.text_to_value(&self.instance.plugin_handle(), number, &CString::new(text)?);
        Ok(value.with_context(|| format!("the plugin cannot read `{text}` as `{id}`"))? / steps)
    }

    fn parameter_text(&mut self, id: &str, value: f64) -> Result<String> {
        let (number, steps) = (self.number(id)?, self.steps(id)?);
        let mut buffer = [0; 256];
        let handle = self.instance.plugin_handle();
        let text = self.parameters.value_to_text(&handle, number, value * steps, &mut buffer);
        let text = text.ok().with_context(|| format!("the plugin has no text for `{id}`"))?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn save_state(&mut self) -> Result<PluginState> {
        self.serve_requests();
        let mut bytes = Vec::new();
        self.state.save(&self.instance.plugin_handle(), &mut bytes)?;
        // CLAP has no stream length, so the framework writes one.
        let json = bytes.get(STATE_LENGTH_BYTES..).context("the plugin saved nothing")?;
        PluginState::from_json(json)
    }

    fn load_state(&mut self, state: &PluginState) -> Result<()> {
        let json = state.to_json();
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json);
        self.state.load(&self.instance.plugin_handle(), &mut bytes.as_slice())?;
        self.serve_requests();
        Ok(())
    }

    fn activate(&mut self, sample_rate: f64, largest_block: u32, mode: RenderMode) -> Result<()> {
        self.deactivate();
        let mode = match mode {
            RenderMode::Offline => clack_extensions::render::RenderMode::Offline,
            RenderMode::Realtime => clack_extensions::render::RenderMode::Realtime,
        };
        self.render.set(&self.instance.plugin_handle(), mode)?;
        let (input_audio, output_audio) = (self.audio(true, largest_block), self.audio(false, largest_block));
        let configuration =
            PluginAudioConfiguration { sample_rate, min_frames_count: 1, max_frames_count: largest_block };
        let stopped = self.instance.activate(|_, ()| (), configuration)?;
        let channels = |ports: &[Vec<Vec<f32>>]| ports.iter().map(Vec::len).sum();
        self.processor = Some(ClapProcessor {
            started: stopped.start_processing().ok().context("the plugin does not start processing")?,
            input_ports: AudioPorts::with_capacity(channels(&input_audio), input_audio.len()),
            output_ports: AudioPorts::with_capacity(channels(&output_audio), output_audio.len()),
            input_audio,
            output_audio,
            input_events: EventBuffer::new(),
            output_events: EventBuffer::new(),
            changes: Vec::new(),
            steady_time: 0,
        });
        Ok(())
    }

    fn deactivate(&mut self) {
        if let Some(processor) = self.processor.take() {
            self.instance.deactivate(processor.started.stop_processing());
        }
    }

    fn latency(&mut self) -> Result<u32> {
        let handle = self.instance.plugin_handle();
        let latency: PluginLatency = handle.get_extension().context("the plugin does not tell its latency")?;
        Ok(latency.get(&handle))
    }

    fn processor(&mut self) -> Result<&mut (dyn BlockProcessor + Send)> {
        let processor = self.processor.as_mut().context("the plugin is not active")?;
        Ok(processor)
    }
}

impl Drop for ClapPlugin {
    fn drop(&mut self) {
        self.deactivate();
    }
}

const STATE_LENGTH_BYTES: usize = 8;

impl BlockProcessor for ClapProcessor {
    fn process(&mut self, block: &HostBlock<'_>, output: &mut Vec<Timed>) -> Result<()> {
        let frames = block.frames as usize;
        self.fill_input(block.input);
        self.output_events.clear();
        let input_audio =
            self.input_ports.with_input_buffers(self.input_audio.iter_mut().map(|port| AudioPortBuffer {
                latency: 0,
                channels: AudioPortBufferType::f32_input_only(
                    port.iter_mut().map(move |channel| InputChannel::constant(&mut channel[..frames])),
                ),
            }));
        let mut output_audio =
            self.output_ports.with_output_buffers(self.output_audio.iter_mut().map(|port| AudioPortBuffer {
                latency: 0,
                channels: AudioPortBufferType::f32_output_only(
                    port.iter_mut().map(move |channel| &mut channel[..frames]),
                ),
            }));
        let status = self.started.process(
            &input_audio,
            &mut output_audio,
            &self.input_events.as_input(),
            &mut self.output_events.as_output(),
            Some(self.steady_time),
            Some(&transport_event(&block.transport)),
        );
        if let Err(error) = status {
            bail!("the plugin's process call failed: {error}");
        }
        self.steady_time += u64::from(block.frames);
        output.extend(self.output_events.iter().filter_map(heard));
        Ok(())
    }
}

impl ClapProcessor {
    fn fill_input(&mut self, input: &[Timed]) {
        self.input_events.clear();
        for (number, value) in self.changes.drain(..) {
            self.input_events.push(&ParamValueEvent::new(0, number, Pckn::match_all(), value));
        }
        for Timed { timing, message } in input.iter().copied() {
            match message {
                Message::NoteOn { channel, key, velocity } => {
                    let velocity = f64::from(velocity) / 127.0;
                    self.input_events.push(&NoteOnEvent::new(timing, pckn(channel, key), velocity));
                }
                Message::NoteOff { channel, key } => {
                    self.input_events.push(&NoteOffEvent::new(timing, pckn(channel, key), 0.0));
                }
                Message::Controller { channel, number, value } => {
                    self.input_events.push(&MidiEvent::new(timing, 0, [0xb0 | channel, number, value]));
                }
                Message::PitchBend { channel, value } => {
                    let (low, high) = ((value & 0x7f) as u8, (value >> 7) as u8);
                    self.input_events.push(&MidiEvent::new(timing, 0, [0xe0 | channel, low, high]));
                }
                Message::Parameter { number, value } => {
                    if let Some(number) = ClapId::from_raw(number) {
                        self.input_events.push(&ParamValueEvent::new(timing, number, Pckn::match_all(), value));
                    }
                }
            }
        }
    }
}

fn pckn(channel: u8, key: u8) -> Pckn {
    Pckn::new(0_u16, channel, key, Match::All)
}

/// An event of the plugin, if it is a channel message.
fn heard(event: &UnknownEvent) -> Option<Timed> {
    let specific = |value: Match<u16>| value.into_specific().and_then(|value| u8::try_from(value).ok());
    let message = match event.as_core_event()? {
        CoreEventSpace::NoteOn(note) => Message::NoteOn {
            channel: specific(note.channel())?,
            key: specific(note.key())?,
            velocity: midi_velocity(note.velocity()),
        },
        CoreEventSpace::NoteOff(note) => {
            Message::NoteOff { channel: specific(note.channel())?, key: specific(note.key())? }
        }
        CoreEventSpace::Midi(midi) => channel_message(midi.data())?,
        _ => return None,
    };
    Some(Timed { timing: event.header().time(), message })
}

fn channel_message([status, first, second]: [u8; 3]) -> Option<Message> {
    let channel = status & 0x0f;
    Some(match status & 0xf0 {
        0x80 => Message::NoteOff { channel, key: first },
        0x90 => Message::NoteOn { channel, key: first, velocity: second },
        0xb0 => Message::Controller { channel, number: first, value: second },
        0xe0 => Message::PitchBend { channel, value: u16::from(first) | u16::from(second) << 7 },
        _ => return None,
    })
}

fn transport_event(transport: &HostTransport) -> TransportEvent {
    let known = TransportFlags::HAS_TEMPO | TransportFlags::HAS_BEATS_TIMELINE | TransportFlags::HAS_TIME_SIGNATURE;
    let playing = if transport.playing { TransportFlags::IS_PLAYING } else { TransportFlags::empty() };
    let no_seconds = SecondsTime::default();
    TransportEvent {
        header: EventHeader::new_core(0, EventFlags::empty()),
        flags: known | playing,
        song_pos_beats: BeatTime::from_float(transport.quarters),
        song_pos_seconds: no_seconds,
        tempo: transport.quarters_per_minute,
        tempo_inc: 0.0,
        loop_start_beats: BeatTime::default(),
        loop_end_beats: BeatTime::default(),
        loop_start_seconds: no_seconds,
        loop_end_seconds: no_seconds,
        bar_start: BeatTime::from_float(transport.bar_start),
        bar_number: transport.bar_number,
        time_signature_numerator: transport.meter.0,
        time_signature_denominator: transport.meter.1,
    }
}
