//! Hosts a built `.vst3`: the few interfaces of the format that a MIDI effect needs.
#![allow(clippy::unnecessary_cast, reason = "the format's enumerations are signed on Windows and unsigned elsewhere")]

use super::{
    BlockProcessor, HostBlock, HostTransport, HostedPlugin, Message, Parameter, PluginState, RenderMode, Timed,
    midi_velocity, parameter_number,
};
use anyhow::{Context, Result, ensure};
use libloading::{Library, Symbol};
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_void};
use std::path::{Path, PathBuf};
use vst3::Steinberg::IBStream_::IStreamSeekMode_::{kIBSeekCur, kIBSeekEnd, kIBSeekSet};
use vst3::Steinberg::Vst::BusDirections_::{kInput, kOutput};
use vst3::Steinberg::Vst::Event_::EventTypes_::{kLegacyMIDICCOutEvent, kNoteOffEvent, kNoteOnEvent};
use vst3::Steinberg::Vst::MediaTypes_::{kAudio, kEvent};
use vst3::Steinberg::Vst::ProcessContext_::StatesAndFlags_::{
    kBarPositionValid, kPlaying, kProjectTimeMusicValid, kTempoValid, kTimeSigValid,
};
use vst3::Steinberg::Vst::ProcessModes_::{kOffline, kRealtime};
use vst3::Steinberg::Vst::SymbolicSampleSizes_::kSample32;
use vst3::Steinberg::Vst::*;
use vst3::Steinberg::*;
use vst3::{Class, ComPtr, ComWrapper, Interface};

/// Controller numbers that the format adds to MIDI's 128.
const PITCH_BEND: i16 = 129;

/// The first audio plugin of a `.vst3`.
pub struct Vst3Plugin {
    // Fields are dropped in this order: the library goes last.
    processor: Option<Vst3Processor>,
    controller: ComPtr<IEditController>,
    audio_processor: ComPtr<IAudioProcessor>,
    component: ComPtr<IComponent>,
    /// How often it is told how it will be called, before it is activated.
    setups: u32,
    _handler: ComWrapper<ComponentHandler>,
    _library: Library,
}

/// The active plugin with the audio buffers a process call needs.
struct Vst3Processor {
    processor: ComPtr<IAudioProcessor>,
    mapping: Option<ComPtr<IMidiMapping>>,
    sample_rate: f64,
    mode: RenderMode,
    /// By bus, then channel.
    input_audio: Vec<Vec<Vec<f32>>>,
    output_audio: Vec<Vec<Vec<f32>>>,
    /// Parameter changes that the next block brings.
    changes: Vec<(ParamID, f64)>,
    /// Samples processed since activation.
    samples: i64,
}

// SAFETY: the format allows `process` on another thread than the one that made the plugin. The pointers are used by
// one thread at a time, since whoever calls `process` holds `&mut`.
unsafe impl Send for Vst3Processor {}

impl Vst3Plugin {
    /// Loads a `.vst3` bundle.
    ///
    /// # Errors
    /// When there is no library for this platform in it, or no audio plugin in that.
    pub fn load(bundle: &Path) -> Result<Self> {
        let path = library_in(bundle)?;
        // SAFETY: the library is this project's own plugin, built by this workspace; loading runs its initialisers.
        let library = unsafe { Library::new(&path) }.with_context(|| format!("cannot load {}", path.display()))?;
        initialise(&library);
        let factory = factory_of(&library)?;
        let component = create_component(&factory)?;
        let audio_processor = component.cast::<IAudioProcessor>().context("the plugin processes nothing")?;
        let controller = component.cast::<IEditController>().context("the plugin's controller is a separate object")?;
        let handler = ComWrapper::new(ComponentHandler);
        let handler_pointer = handler.as_com_ref::<IComponentHandler>().context("the handler has its interface")?;
        // SAFETY: the handler lives as long as the plugin, in the same struct.
        unsafe { controller.setComponentHandler(handler_pointer.as_ptr()) };
        // The plugin framework learns of the mode with the call after the one that says it.
        let setups = 2;
        Ok(Self {
            processor: None,
            controller,
            audio_processor,
            component,
            setups,
            _handler: handler,
            _library: library,
        })
    }

    /// Tells the plugin only once whether it renders, as hosts do; so it learns of it with the next activation.
    #[must_use]
    pub fn told_once(mut self) -> Self {
        self.setups = 1;
        self
    }

    /// The format's categories of the plugin, such as `Instrument|Tools`.
    pub fn categories(bundle: &Path) -> Result<String> {
        let path = library_in(bundle)?;
        // SAFETY: as in `load`.
        let library = unsafe { Library::new(&path) }.with_context(|| format!("cannot load {}", path.display()))?;
        let factory = factory_of(&library)?.cast::<IPluginFactory2>().context("the factory is of the first version")?;
        // SAFETY: the structure is plain data for which zeros are valid, and the factory fills it in.
        let (result, info) = unsafe {
            let mut info: PClassInfo2 = std::mem::zeroed();
            (factory.getClassInfo2(0, &mut info), info)
        };
        ensure!(result == kResultOk, "the factory does not describe its plugin");
        // SAFETY: the factory writes a terminated text.
        Ok(unsafe { CStr::from_ptr(info.subCategories.as_ptr()) }.to_string_lossy().into_owned())
    }

    fn buses(&self, media: MediaType, direction: BusDirection) -> i32 {
        // SAFETY: a plain call on a live component.
        unsafe { self.component.getBusCount(media, direction) }
    }

    fn switch_buses(&self, on: bool) {
        for (media, direction) in [(kAudio, kInput), (kAudio, kOutput), (kEvent, kInput), (kEvent, kOutput)] {
            let (media, direction) = (media as MediaType, direction as BusDirection);
            for index in 0..self.buses(media, direction) {
                // SAFETY: the index is below the count that the component gave.
                unsafe { self.component.activateBus(media, direction, index, TBool::from(on)) };
            }
        }
    }

    fn audio(&self, direction: BusDirection, frames: u32) -> Vec<Vec<Vec<f32>>> {
        let media = kAudio as MediaType;
        let channels = |index| {
            // SAFETY: the structure is plain data for which zeros are valid, and the component fills it in.
            let info = unsafe {
                let mut info: BusInfo = std::mem::zeroed();
                self.component.getBusInfo(media, direction, index, &mut info);
                info
            };
            info.channelCount.max(0) as usize
        };
        (0..self.buses(media, direction)).map(|index| vec![vec![0.0; frames as usize]; channels(index)]).collect()
    }
}

impl HostedPlugin for Vst3Plugin {
    fn parameters(&mut self) -> Vec<Parameter> {
        // SAFETY: a plain call on a live controller.
        let count = unsafe { self.controller.getParameterCount() };
        let described = |index| {
            // SAFETY: the structure is plain data for which zeros are valid, and the controller fills it in.
            let info = unsafe {
                let mut info: ParameterInfo = std::mem::zeroed();
                self.controller.getParameterInfo(index, &mut info);
                info
            };
            Parameter { number: info.id, name: text_of(&info.title), steps: info.stepCount.max(0) as u32 }
        };
        (0..count).map(described).collect()
    }

    fn set_parameter(&mut self, id: &str, value: f64) -> Result<()> {
        let number = parameter_number(id);
        // SAFETY: a plain call on a live controller.
        let result = unsafe { self.controller.setParamNormalized(number, value) };
        ensure!(result == kResultOk, "the plugin has no parameter `{id}`");
        if let Some(processor) = &mut self.processor {
            processor.changes.push((number, value));
        }
        Ok(())
    }

    fn parameter_from_text(&mut self, id: &str, text: &str) -> Result<f64> {
        let mut wide: Vec<TChar> = text.encode_utf16().chain([0]).collect();
        let mut value = 0.0;
        // SAFETY: the text is terminated and lives through the call.
        let result =
            unsafe { self.controller.getParamValueByString(parameter_number(id), wide.as_mut_ptr(), &mut value) };
        ensure!(result == kResultOk, "the plugin cannot read `{text}` as `{id}`");
        Ok(value)
    }

    fn parameter_text(&mut self, id: &str, value: f64) -> Result<String> {
        let mut text: String128 = [0; 128];
        // SAFETY: the buffer has the size that the format prescribes.
        let result = unsafe { self.controller.getParamStringByValue(parameter_number(id), value, &mut text) };
        ensure!(result == kResultOk, "the plugin has no text for `{id}`");
        Ok(text_of(&text))
    }

    fn save_state(&mut self) -> Result<PluginState> {
        let stream = ComWrapper::new(Stream::default());
        let pointer = stream.as_com_ref::<IBStream>().context("the stream has its interface")?;
        // SAFETY: the stream lives through the call.
        let result = unsafe { self.component.getState(pointer.as_ptr()) };
        ensure!(result == kResultOk, "the plugin does not save its state");
        PluginState::from_json(&stream.bytes.borrow())
    }

    fn load_state(&mut self, state: &PluginState) -> Result<()> {
        let stream = ComWrapper::new(Stream { bytes: RefCell::new(state.to_json()), position: Cell::new(0) });
        let pointer = stream.as_com_ref::<IBStream>().context("the stream has its interface")?;
        // SAFETY: the stream lives through the call.
        let result = unsafe { self.component.setState(pointer.as_ptr()) };
        ensure!(result == kResultOk, "the plugin does not take the state");
        Ok(())
    }

    fn activate(&mut self, sample_rate: f64, largest_block: u32, mode: RenderMode) -> Result<()> {
        self.deactivate();
        let mut setup = ProcessSetup {
            processMode: mode_number(mode),
            symbolicSampleSize: kSample32 as i32,
            maxSamplesPerBlock: largest_block as i32,
            sampleRate: sample_rate,
        };
        for _ in 0..self.setups {
            // SAFETY: the structure lives through the call.
            let result = unsafe { self.audio_processor.setupProcessing(&mut setup) };
            ensure!(result == kResultOk, "the plugin refuses {sample_rate} Hz in blocks of {largest_block}");
        }
        self.switch_buses(true);
        // SAFETY: plain calls on a live component, in the format's order.
        let result = unsafe { self.component.setActive(1) };
        ensure!(result == kResultOk, "the plugin does not start");
        // SAFETY: as above. Plugins may leave the call unimplemented, so its result says nothing.
        unsafe { self.audio_processor.setProcessing(1) };
        self.processor = Some(Vst3Processor {
            processor: self.audio_processor.clone(),
            mapping: self.component.cast(),
            sample_rate,
            mode,
            input_audio: self.audio(kInput as BusDirection, largest_block),
            output_audio: self.audio(kOutput as BusDirection, largest_block),
            changes: Vec::new(),
            samples: 0,
        });
        Ok(())
    }

    fn deactivate(&mut self) {
        if self.processor.take().is_some() {
            // SAFETY: plain calls on a live component, in the format's order.
            unsafe {
                self.audio_processor.setProcessing(0);
                self.component.setActive(0);
            }
            self.switch_buses(false);
        }
    }

    fn latency(&mut self) -> Result<u32> {
        // SAFETY: a plain call on a live component.
        Ok(unsafe { self.audio_processor.getLatencySamples() })
    }

    fn processor(&mut self) -> Result<&mut (dyn BlockProcessor + Send)> {
        let processor = self.processor.as_mut().context("the plugin is not active")?;
        Ok(processor)
    }
}

impl Drop for Vst3Plugin {
    fn drop(&mut self) {
        self.deactivate();
        // SAFETY: the last call on the component; its pointers are only released after it.
        unsafe { self.component.terminate() };
    }
}

impl BlockProcessor for Vst3Processor {
    fn process(&mut self, block: &HostBlock<'_>, output: &mut Vec<Timed>) -> Result<()> {
        let changes = self.parameter_changes(block.input);
        let nothing_changes = ComWrapper::new(ParameterChanges::default());
        let events = block.input.iter().filter_map(note_event).collect();
        let input_events = ComWrapper::new(EventList { events: RefCell::new(events) });
        let output_events = ComWrapper::new(EventList::default());
        let mut context = process_context(&block.transport, self.sample_rate, self.samples);
        let mut inputs = AudioBuses::new(&mut self.input_audio);
        let mut outputs = AudioBuses::new(&mut self.output_audio);
        let mut data = ProcessData {
            processMode: mode_number(self.mode),
            symbolicSampleSize: kSample32 as i32,
            numSamples: block.frames as i32,
            numInputs: inputs.buses.len() as i32,
            numOutputs: outputs.buses.len() as i32,
            inputs: inputs.buses.as_mut_ptr(),
            outputs: outputs.buses.as_mut_ptr(),
            inputParameterChanges: pointer_to::<_, IParameterChanges>(&changes),
            outputParameterChanges: pointer_to::<_, IParameterChanges>(&nothing_changes),
            inputEvents: pointer_to::<_, IEventList>(&input_events),
            outputEvents: pointer_to::<_, IEventList>(&output_events),
            processContext: &mut context,
        };
        // SAFETY: all that `data` points to lives through the call; the audio buffers hold the largest block.
        let result = unsafe { self.processor.process(&mut data) };
        ensure!(result == kResultOk, "the plugin's process call failed");
        self.samples += i64::from(block.frames);
        output.extend(output_events.events.borrow().iter().filter_map(heard));
        Ok(())
    }
}

impl Vst3Processor {
    /// Parameter changes, and the controllers, which the format passes as such.
    fn parameter_changes(&mut self, input: &[Timed]) -> ComWrapper<ParameterChanges> {
        let mut queues: Vec<ParameterQueue> = Vec::new();
        let mut add = |id: ParamID, timing: u32, value: f64| match queues.iter_mut().find(|queue| queue.id == id) {
            Some(queue) => queue.points.push((timing as i32, value)),
            None => queues.push(ParameterQueue { id, points: vec![(timing as i32, value)] }),
        };
        for (id, value) in self.changes.drain(..) {
            add(id, 0, value);
        }
        for Timed { timing, message } in input.iter().copied() {
            let (channel, controller, value) = match message {
                Message::Controller { channel, number, value } => {
                    (channel, i16::from(number), f64::from(value) / 127.0)
                }
                Message::PitchBend { channel, value } => (channel, PITCH_BEND, f64::from(value) / 16383.0),
                Message::Parameter { number, value } => {
                    add(number, timing, value);
                    continue;
                }
                Message::NoteOn { .. } | Message::NoteOff { .. } => continue,
            };
            if let Some(id) = self.mapping.as_ref().and_then(|mapping| assigned(mapping, channel, controller)) {
                add(id, timing, value);
            }
        }
        ComWrapper::new(ParameterChanges { queues: queues.into_iter().map(ComWrapper::new).collect() })
    }
}

/// The parameter that stands for a controller, if the plugin wants controllers.
fn assigned(mapping: &ComPtr<IMidiMapping>, channel: u8, controller: i16) -> Option<ParamID> {
    let mut id = 0;
    // SAFETY: a plain call on a live plugin.
    let result = unsafe { mapping.getMidiControllerAssignment(0, i16::from(channel), controller, &mut id) };
    (result == kResultOk).then_some(id)
}

/// Pointers to audio buffers as a process call wants them.
struct AudioBuses {
    buses: Vec<AudioBusBuffers>,
    /// What `buses` points to.
    _channels: Vec<Vec<*mut f32>>,
}

impl AudioBuses {
    fn new(audio: &mut [Vec<Vec<f32>>]) -> Self {
        let mut channels: Vec<Vec<*mut f32>> =
            audio.iter_mut().map(|bus| bus.iter_mut().map(Vec::as_mut_ptr).collect()).collect();
        let buses = channels
            .iter_mut()
            .map(|bus| AudioBusBuffers {
                numChannels: bus.len() as i32,
                silenceFlags: 0,
                __field0: AudioBusBuffers__type0 { channelBuffers32: bus.as_mut_ptr() },
            })
            .collect();
        Self { buses, _channels: channels }
    }
}

fn mode_number(mode: RenderMode) -> i32 {
    match mode {
        RenderMode::Offline => kOffline as i32,
        RenderMode::Realtime => kRealtime as i32,
    }
}

fn process_context(transport: &HostTransport, sample_rate: f64, samples: i64) -> ProcessContext {
    let known = kTempoValid | kTimeSigValid | kProjectTimeMusicValid | kBarPositionValid;
    let playing = if transport.playing { kPlaying } else { 0 };
    // SAFETY: the structure is plain data for which zeros are valid.
    let nothing: ProcessContext = unsafe { std::mem::zeroed() };
    ProcessContext {
        state: (known | playing) as u32,
        sampleRate: sample_rate,
        projectTimeSamples: samples,
        projectTimeMusic: transport.quarters,
        barPositionMusic: transport.bar_start,
        tempo: transport.quarters_per_minute,
        timeSigNumerator: i32::from(transport.meter.0),
        timeSigDenominator: i32::from(transport.meter.1),
        ..nothing
    }
}

fn note_event(timed: &Timed) -> Option<Event> {
    const NO_ID: i32 = -1;
    let (kind, content) = match timed.message {
        Message::NoteOn { channel, key, velocity } => {
            let note = NoteOnEvent {
                channel: i16::from(channel),
                pitch: i16::from(key),
                tuning: 0.0,
                velocity: f32::from(velocity) / 127.0,
                length: 0,
                noteId: NO_ID,
            };
            (kNoteOnEvent, Event__type0 { noteOn: note })
        }
        Message::NoteOff { channel, key } => {
            let note = NoteOffEvent {
                channel: i16::from(channel),
                pitch: i16::from(key),
                velocity: 0.0,
                noteId: NO_ID,
                tuning: 0.0,
            };
            (kNoteOffEvent, Event__type0 { noteOff: note })
        }
        Message::Controller { .. } | Message::PitchBend { .. } | Message::Parameter { .. } => return None,
    };
    Some(Event {
        busIndex: 0,
        sampleOffset: timed.timing as i32,
        ppqPosition: 0.0,
        flags: 0,
        r#type: kind as u16,
        __field0: content,
    })
}

/// An event of the plugin, if it is a channel message.
fn heard(event: &Event) -> Option<Timed> {
    let small = |value: i16| u8::try_from(value).ok();
    let kind = u32::from(event.r#type);
    let message = if kind == kNoteOnEvent as u32 {
        // SAFETY: the type says which field is filled.
        let note = unsafe { event.__field0.noteOn };
        let velocity = midi_velocity(f64::from(note.velocity));
        Message::NoteOn { channel: small(note.channel)?, key: small(note.pitch)?, velocity }
    } else if kind == kNoteOffEvent as u32 {
        // SAFETY: the type says which field is filled.
        let note = unsafe { event.__field0.noteOff };
        Message::NoteOff { channel: small(note.channel)?, key: small(note.pitch)? }
    } else if kind == kLegacyMIDICCOutEvent as u32 {
        // SAFETY: the type says which field is filled.
        let controller = unsafe { event.__field0.midiCCOut };
        let (channel, low, high) = (controller.channel as u8, controller.value as u8, controller.value2 as u8);
        if i16::from(controller.controlNumber) == PITCH_BEND {
            Message::PitchBend { channel, value: u16::from(low) | u16::from(high) << 7 }
        } else {
            Message::Controller { channel, number: controller.controlNumber, value: low }
        }
    } else {
        return None;
    };
    Some(Timed { timing: u32::try_from(event.sampleOffset).ok()?, message })
}

fn text_of(text: &String128) -> String {
    let end = text.iter().position(|unit| *unit == 0).unwrap_or(text.len());
    String::from_utf16_lossy(&text[..end])
}

/// The plugin's library inside a bundle.
fn library_in(bundle: &Path) -> Result<PathBuf> {
    let name = bundle.file_stem().context("a bundle has a name")?.to_string_lossy();
    let architecture = std::env::consts::ARCH;
    let inside = if cfg!(target_os = "macos") {
        format!("MacOS/{name}")
    } else if cfg!(target_os = "windows") {
        let folder = if architecture == "aarch64" { "arm_64" } else { architecture };
        format!("{folder}-win/{name}.vst3")
    } else {
        format!("{architecture}-linux/{name}.so")
    };
    let path = bundle.join("Contents").join(inside);
    ensure!(path.exists(), "there is no {}; `cargo xtask bundle` makes it", path.display());
    Ok(path)
}

/// Calls the entry function that the format prescribes for the platform, if there is one.
fn initialise(library: &Library) {
    if cfg!(target_os = "windows") {
        // SAFETY: the signature is the format's.
        unsafe {
            if let Ok(entry) = library.get::<unsafe extern "system" fn() -> bool>(b"InitDll\0") {
                entry();
            }
        }
        return;
    }
    let name: &[u8] = if cfg!(target_os = "macos") { b"bundleEntry\0" } else { b"ModuleEntry\0" };
    // SAFETY: the signature is the format's; the plugin framework does not use the handle.
    unsafe {
        if let Ok(entry) = library.get::<unsafe extern "C" fn(*mut c_void) -> bool>(name) {
            entry(std::ptr::null_mut());
        }
    }
}

fn factory_of(library: &Library) -> Result<ComPtr<IPluginFactory>> {
    type GetPluginFactory = unsafe extern "system" fn() -> *mut IPluginFactory;
    // SAFETY: name and signature are the format's; the caller owns the reference that the function returns.
    unsafe {
        let get: Symbol<'_, GetPluginFactory> =
            library.get(b"GetPluginFactory\0").context("the library is no VST3: it has no factory")?;
        ComPtr::from_raw(get()).context("the library's factory is missing")
    }
}

fn create_component(factory: &ComPtr<IPluginFactory>) -> Result<ComPtr<IComponent>> {
    let mut object: *mut c_void = std::ptr::null_mut();
    // SAFETY: the class is the one that the factory describes at its first place, and the interface asked for is the
    // one that the pointer is then taken for.
    let component = unsafe {
        let mut info: PClassInfo = std::mem::zeroed();
        ensure!(factory.getClassInfo(0, &mut info) == kResultOk, "the factory has no class");
        let result = factory.createInstance(info.cid.as_ptr(), IComponent::IID.as_ptr().cast(), &mut object);
        ensure!(result == kResultOk, "the factory does not make its plugin");
        ComPtr::from_raw(object.cast::<IComponent>()).context("the factory made nothing")?
    };
    // SAFETY: a plain call on a live component; the plugin framework does not use the host's context.
    let result = unsafe { component.initialize(std::ptr::null_mut()) };
    ensure!(result == kResultOk, "the plugin does not initialise");
    Ok(component)
}

/// A pointer that the plugin may use while `object` lives.
fn pointer_to<C: Class, I: Interface>(object: &ComWrapper<C>) -> *mut I {
    object.as_com_ref::<I>().map_or(std::ptr::null_mut(), |interface| interface.as_ptr())
}

/// Hears of edits in the plugin's window, of which there is none here.
struct ComponentHandler;

impl Class for ComponentHandler {
    type Interfaces = (IComponentHandler,);
}

impl IComponentHandlerTrait for ComponentHandler {
    unsafe fn beginEdit(&self, _id: ParamID) -> tresult {
        kResultOk
    }

    unsafe fn performEdit(&self, _id: ParamID, _value: ParamValue) -> tresult {
        kResultOk
    }

    unsafe fn endEdit(&self, _id: ParamID) -> tresult {
        kResultOk
    }

    unsafe fn restartComponent(&self, _flags: int32) -> tresult {
        kResultOk
    }
}

#[derive(Default)]
struct EventList {
    events: RefCell<Vec<Event>>,
}

impl Class for EventList {
    type Interfaces = (IEventList,);
}

impl IEventListTrait for EventList {
    unsafe fn getEventCount(&self) -> int32 {
        self.events.borrow().len() as int32
    }

    unsafe fn getEvent(&self, index: int32, event: *mut Event) -> tresult {
        match self.events.borrow().get(index as usize) {
            Some(found) => {
                // SAFETY: the plugin gives room for an event.
                unsafe { event.write(*found) };
                kResultOk
            }
            None => kInvalidArgument,
        }
    }

    unsafe fn addEvent(&self, event: *mut Event) -> tresult {
        // SAFETY: the plugin gives an event that lives through the call.
        self.events.borrow_mut().push(unsafe { event.read() });
        kResultOk
    }
}

#[derive(Default)]
struct ParameterChanges {
    queues: Vec<ComWrapper<ParameterQueue>>,
}

impl Class for ParameterChanges {
    type Interfaces = (IParameterChanges,);
}

impl IParameterChangesTrait for ParameterChanges {
    unsafe fn getParameterCount(&self) -> int32 {
        self.queues.len() as int32
    }

    unsafe fn getParameterData(&self, index: int32) -> *mut IParamValueQueue {
        self.queues.get(index as usize).map_or(std::ptr::null_mut(), pointer_to)
    }

    unsafe fn addParameterData(&self, _id: *const ParamID, _index: *mut int32) -> *mut IParamValueQueue {
        std::ptr::null_mut()
    }
}

/// Changes of one parameter: samples into the block, and values 0..=1.
struct ParameterQueue {
    id: ParamID,
    points: Vec<(int32, ParamValue)>,
}

impl Class for ParameterQueue {
    type Interfaces = (IParamValueQueue,);
}

impl IParamValueQueueTrait for ParameterQueue {
    unsafe fn getParameterId(&self) -> ParamID {
        self.id
    }

    unsafe fn getPointCount(&self) -> int32 {
        self.points.len() as int32
    }

    unsafe fn getPoint(&self, index: int32, offset: *mut int32, value: *mut ParamValue) -> tresult {
        let Some((sample, point)) = self.points.get(index as usize) else {
            return kInvalidArgument;
        };
        // SAFETY: the plugin gives room for both.
        unsafe {
            offset.write(*sample);
            value.write(*point);
        }
        kResultOk
    }

    unsafe fn addPoint(&self, _offset: int32, _value: ParamValue, _index: *mut int32) -> tresult {
        kResultFalse
    }
}

/// A stream in memory.
#[derive(Default)]
struct Stream {
    bytes: RefCell<Vec<u8>>,
    position: Cell<usize>,
}

impl Class for Stream {
    type Interfaces = (IBStream,);
}

impl IBStreamTrait for Stream {
    unsafe fn read(&self, buffer: *mut c_void, count: int32, read: *mut int32) -> tresult {
        let bytes = self.bytes.borrow();
        let rest = &bytes[self.position.get().min(bytes.len())..];
        let count = rest.len().min(count.max(0) as usize);
        // SAFETY: the plugin gives room for as many bytes as it asks for; `read` may be null.
        unsafe {
            std::ptr::copy_nonoverlapping(rest.as_ptr(), buffer.cast(), count);
            if let Some(read) = read.as_mut() {
                *read = count as int32;
            }
        }
        self.position.set(self.position.get() + count);
        kResultOk
    }

    unsafe fn write(&self, buffer: *mut c_void, count: int32, written: *mut int32) -> tresult {
        let count = count.max(0) as usize;
        let mut bytes = self.bytes.borrow_mut();
        let start = self.position.get();
        let end = start + count;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        // SAFETY: the plugin gives as many bytes as it says; `written` may be null.
        unsafe {
            bytes[start..end].copy_from_slice(std::slice::from_raw_parts(buffer.cast(), count));
            if let Some(written) = written.as_mut() {
                *written = count as int32;
            }
        }
        self.position.set(end);
        kResultOk
    }

    unsafe fn seek(&self, offset: int64, mode: int32, result: *mut int64) -> tresult {
        let from = if mode == kIBSeekSet as int32 {
            0
        } else if mode == kIBSeekCur as int32 {
            self.position.get() as int64
        } else if mode == kIBSeekEnd as int32 {
            self.bytes.borrow().len() as int64
        } else {
            return kInvalidArgument;
        };
        let position = (from + offset).max(0);
        self.position.set(position as usize);
        // SAFETY: the pointer is null or gives room for the position.
        unsafe {
            if let Some(result) = result.as_mut() {
                *result = position;
            }
        }
        kResultOk
    }

    unsafe fn tell(&self, position: *mut int64) -> tresult {
        // SAFETY: the plugin gives room for the position.
        unsafe { position.write(self.position.get() as int64) };
        kResultOk
    }
}
