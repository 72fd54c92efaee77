//! INFERENCE THREAD: takes what the audio thread heard to the arranger and its answers back. May allocate and wait.

mod given_chords;
mod linked_part;
mod loading;
mod melodists;

use crate::arranger::Arranger;
use crate::channels::{
    Cut, EditorCommand, EngineStatus, Heard, InferenceEnd, Meters, Reply, ReplyKind, ReplyMessage, SharedView,
    SongView, TakeId,
};
use crate::generators::PartNote;
use crate::generators::library::{GeneratorChoice, Loaded};
use crate::links::{Band, BandEntry, Role, Seat};
use crate::music::{Segment, Ticks, in_quarters};
use crate::settings::ChordInput;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use given_chords::GivenChords;
use linked_part::LinkedPart;
use loading::Loading;
use melodists::LoadedMelodists;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The worker's loop, one step at a time, so that a test can take one.
pub struct InferenceWorker {
    end: InferenceEnd,
    commands: Receiver<EditorCommand>,
    view: SharedView,
    arranger: Arranger,
    status: EngineStatus,
    loading: Loading,
    /// The model has come while the band was playing, and has not read yet what was played before.
    settling: bool,
    melodists: LoadedMelodists,
    /// Why a part of the melody that is wanted is not written.
    unable: Option<String>,
    /// What was asked for last.
    choice: Option<GeneratorChoice>,
    /// How long it is still told that the generator was too slow, in segments.
    slow_for: u32,
    /// Failures of the generators that have been counted.
    failures: u32,
    timing: Timing,
    last_cut: Option<Cut>,
    /// The number of the last song that was loaded.
    restored: u32,
    /// The segment for which a reserve has been sent last.
    reserved: Option<(TakeId, Ticks)>,
    /// When something was last heard.
    last_heard: Instant,
    /// There was nothing to write ahead, and nothing has come since that could change it.
    all_written: bool,
    /// Likewise with what can be read ahead.
    all_read: bool,
    stop: Arc<AtomicBool>,
    seat: Seat,
    /// While this instance is a band.
    entry: Option<BandEntry>,
    /// From its chord tracks.
    chords: GivenChords,
    /// While it belongs to another's band.
    part: LinkedPart,
    /// What is then shown of it.
    shown_as_part: Option<SongView>,
    /// This instance became a band in the middle of a take, of which the arranger knows nothing.
    joins: bool,
}

impl InferenceWorker {
    /// A worker that knows of no other instances.
    pub fn new(
        end: InferenceEnd,
        view: SharedView,
        commands: Receiver<EditorCommand>,
        loaded: Loaded,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self::while_loading(end, view, commands, loaded, Loading::default(), stop)
    }

    /// The same; `loaded` plays until what is `loading` is there.
    fn while_loading(
        end: InferenceEnd,
        view: SharedView,
        commands: Receiver<EditorCommand>,
        mut loaded: Loaded,
        loading: Loading,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let (status, mut melodists) = (status_of(&loaded), LoadedMelodists::default());
        let (enhancer, extender) = (loaded.enhancer.take(), loaded.extender.take());
        let mut arranger = Arranger::new(loaded.generator, loaded.drummer);
        melodists.take(enhancer, extender, &mut arranger);
        let timing = Timing::of_a_band(loaded.half_bar, &end.meters);
        let mut worker = Self {
            end,
            commands,
            view,
            arranger,
            status,
            loading,
            settling: false,
            melodists,
            unable: None,
            choice: loaded.choice,
            slow_for: 0,
            failures: 0,
            timing,
            last_cut: None,
            restored: 0,
            reserved: None,
            last_heard: Instant::now(),
            all_written: false,
            all_read: false,
            stop,
            part: LinkedPart::new(Seat::default().links),
            seat: Seat::default(),
            entry: None,
            chords: GivenChords::default(),
            shown_as_part: None,
            joins: false,
        };
        worker.show_readiness();
        worker.publish();
        worker
    }

    fn show_readiness(&self) {
        self.end.meters.ready.store(!self.loading.is_going_on() && !self.settling, Ordering::Relaxed);
    }

    /// The same among other instances.
    #[must_use]
    pub fn seated(self, seat: Seat) -> Self {
        Self { part: LinkedPart::new(seat.links.clone()), seat, ..self }
    }

    /// Does all that is waiting to be done. Returns whether there was anything.
    pub fn run_pending(&mut self) -> bool {
        // What was heard is looked at first and answered last: a song or a plan that was sent before the music began is then
        // surely here.
        let mut batch = Vec::new();
        while let Ok(heard) = self.end.heard.pop() {
            batch.push(heard);
        }
        let mut worked = !batch.is_empty();
        if let Some(loaded) = self.loading.look() {
            self.play_with(loaded);
            worked = true;
        }
        if worked {
            (self.last_heard, self.all_written, self.all_read) = (Instant::now(), false, false);
        }
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command);
            worked = true;
        }
        if self.take_seat() {
            self.play_part(&batch);
            return worked;
        }
        self.hear_chord_tracks();
        for (index, heard) in batch.iter().enumerate() {
            match heard {
                Heard::Cut(cut) => {
                    let cut = self.able(&self.with_chord_track(cut));
                    self.answer(&cut, &batch[index + 1..]);
                }
                Heard::TakeBegan { .. }
                | Heard::NoteOn { .. }
                | Heard::NoteOff { .. }
                | Heard::ChordOn { .. }
                | Heard::ChordHeld { .. }
                | Heard::TakeEnded { .. } => self.hear(heard),
            }
        }
        let wrote = !worked && self.write_next();
        self.count_failures();
        if wrote || batch.iter().any(|heard| matches!(heard, Heard::TakeEnded { .. })) {
            self.publish();
        }
        if !batch.is_empty() {
            // After the song, so that a bar that has gone into it is not missed in between.
            self.view.publish_sung(self.arranger.sung());
        }
        let read = !worked && !wrote && self.read_ahead();
        let idle = !worked && !wrote && !read;
        if idle {
            self.settle();
            if self.is_at_rest() { self.arranger.at_rest() } else { self.arranger.keep_warm() }
        }
        if self.arranger.device().is_some_and(|device| device != self.status.device) {
            self.publish();
        }
        worked || wrote || read
    }

    /// From now on what the model misses is late.
    fn settle(&mut self) {
        if std::mem::take(&mut self.settling) {
            self.show_readiness();
        }
    }

    /// Does as the user has linked this instance. Returns whether it plays a part of another.
    fn take_seat(&mut self) -> bool {
        let link = self.seat.link.get();
        if link.role != Role::Band {
            if let Some(cut) = self.last_cut.filter(|_| self.entry.is_some()) {
                self.hear(&Heard::TakeEnded { at: in_quarters(cut.segment.start()) });
            }
            (self.entry, self.joins) = (None, true);
            return true;
        }
        if self.entry.as_ref().is_none_or(|entry| entry.band().number() != link.band) {
            self.part.leave();
            self.entry = Some(self.seat.links.enter_band(link.band, self.view.clone(), self.end.meters.clone()));
            self.show_readiness();
            if self.shown_as_part.take().is_some() {
                self.publish();
            }
        }
        let elsewhere = self.entry.as_ref().map(BandEntry::played_elsewhere).unwrap_or_default();
        self.end.meters.set_played_elsewhere(elsewhere);
        false
    }

    fn play_part(&mut self, heard: &[Heard]) {
        let link = self.seat.link.get();
        self.part.run(link, heard, &mut self.end, &self.stop);
        if let Some(view) = self.part.news(link) {
            self.shown_as_part = Some(view);
            self.publish();
        }
    }

    fn hear(&mut self, heard: &Heard) {
        match heard {
            Heard::TakeBegan { take, .. } => self.show_take(Some(*take)),
            Heard::TakeEnded { .. } => self.show_take(None),
            Heard::NoteOn { .. }
            | Heard::NoteOff { .. }
            | Heard::ChordOn { .. }
            | Heard::ChordHeld { .. }
            | Heard::Cut(_) => {}
        }
        self.arranger.hear(heard);
        if matches!(heard, Heard::TakeBegan { .. }) {
            self.chords.held_over().for_each(|held| self.arranger.hear(&held));
        }
    }

    fn hear_chord_tracks(&mut self) {
        let given = self.entry.as_ref().map(|entry| entry.band().take_chords()).unwrap_or_default();
        // A chord is heard before the segment after it is asked for.
        let reach = self.last_cut.map_or(f64::INFINITY, |cut| in_quarters(cut.segment.end()));
        for heard in self.chords.take_in(&given, reach) {
            self.arranger.hear(&heard);
        }
    }

    /// Live, a band follows its chord tracks. A render plays the chords that the song has from them: in it, the tracks may be
    /// called in any order and at any speed.
    fn with_chord_track(&self, cut: &Cut) -> Cut {
        let given = !cut.offline && self.entry.as_ref().is_some_and(BandEntry::has_chord_track);
        let mut cut = *cut;
        if given && cut.settings.chord_input == ChordInput::Off {
            cut.settings.chord_input = ChordInput::Channel;
        }
        cut
    }

    fn able(&mut self, cut: &Cut) -> Cut {
        let (cut, unable) = self.melodists.able(cut, self.choice.as_ref(), &mut self.arranger);
        self.unable = unable;
        cut
    }

    fn show_take(&mut self, take: Option<TakeId>) {
        self.joins = false;
        if let Some(entry) = &self.entry {
            entry.band().show_take(take);
        }
    }

    fn count_failures(&mut self) {
        let failures = self.arranger.failures();
        let new = failures.wrapping_sub(std::mem::replace(&mut self.failures, failures));
        self.end.meters.failed_answers.fetch_add(new, Ordering::Relaxed);
    }

    /// What is written ahead takes its time too. To find that there is nothing takes a look at the whole song, so it is
    /// not looked for again until something has come.
    fn write_next(&mut self) -> bool {
        // What is written ahead stays: it is worth waiting for a model.
        if self.all_written || self.loading.is_going_on() || !self.has_time_for_a_bar() {
            return false;
        }
        let (begun, written) = (Instant::now(), self.arranger.written());
        let arranged = self.arranger.write_next();
        self.all_written = !arranged;
        let written = self.arranger.written().wrapping_sub(written);
        if let Some(cut) = self.last_cut.filter(|_| written > 0) {
            self.timing.note(begun.elapsed(), written, &cut, &self.end.meters);
        }
        arranged
    }

    /// Whether a bar can be written before the next segment is asked for. At rest there is always time.
    fn has_time_for_a_bar(&self) -> bool {
        let Some(cut) = self.last_cut.filter(|cut| !cut.offline && !self.is_at_rest()) else { return true };
        let next = cut.segment.next();
        let left = in_quarters(next.start() - cut.margin) - self.end.meters.playhead_quarters.load(Ordering::Relaxed);
        let half_bars = cut.segment.bar.segments().count() as f64;
        left * 60.0 / f64::from(cut.quarters_per_minute) >= half_bars * f64::from(self.timing.slowest_seconds)
    }

    /// What has to be read before the next answer is read when there is time; until something has come, once.
    fn read_ahead(&mut self) -> bool {
        if self.all_read || self.is_at_rest() {
            return false;
        }
        self.all_read = !self.arranger.read_ahead();
        !self.all_read
    }

    fn obey(&mut self, command: EditorCommand) {
        (self.all_written, self.all_read) = (false, false);
        match command {
            EditorCommand::SetPlan(plan) => self.arranger.set_plan(plan),
            EditorCommand::Ledger(command) => self.arranger.command(command),
            EditorCommand::UseGenerator(choice) => self.use_generator(choice),
            EditorCommand::UseMelodist { melodist, name } => self.melodists.choose(melodist, name, &mut self.arranger),
            EditorCommand::Restore { ledger, number } => {
                self.arranger.restore(ledger);
                self.restored = number;
            }
        }
        self.publish();
    }

    /// Loads another generator; the one there is plays until then.
    fn use_generator(&mut self, choice: GeneratorChoice) {
        if self.choice.as_ref() == Some(&choice) {
            return;
        }
        if self.choice.as_ref().is_some_and(|old| !old.runs_like(&choice)) {
            self.melodists.forget(&mut self.arranger);
        }
        self.choice = Some(choice.clone());
        if let Some(loaded) = self.loading.choose(choice) {
            self.play_with(loaded);
        }
    }

    fn play_with(&mut self, mut loaded: Loaded) {
        self.status = status_of(&loaded);
        self.melodists.take(loaded.enhancer.take(), loaded.extender.take(), &mut self.arranger);
        self.arranger.set_band(loaded.generator, loaded.drummer);
        (self.choice, self.failures, self.timing) =
            (loaded.choice.or(self.choice.take()), 0, Timing::of_a_band(loaded.half_bar, &self.end.meters));
        (self.all_written, self.all_read, self.slow_for) = (false, false, 0);
        self.settling = !self.is_at_rest();
        self.show_readiness();
        self.publish();
    }

    /// `after` is what was heard since: whoever is behind does not waste time on what can no longer be played.
    fn answer(&mut self, cut: &Cut, after: &[Heard]) {
        let later = after.iter().find(|heard| matches!(heard, Heard::TakeBegan { .. } | Heard::Cut(_)));
        match later.filter(|_| !cut.offline) {
            Some(Heard::Cut(next)) if next.take == cut.take && self.begins(cut) => return self.answer_at_once(cut),
            Some(Heard::Cut(_)) => return self.pass_over(cut),
            Some(_) => return,
            None => self.slow_for = self.slow_for.saturating_sub(1),
        }
        self.arranger.wait_to_arrange(self.loading.is_going_on());
        // A render must not depend on when a model is ready; what stands needs none.
        if cut.offline
            && self.loading.is_going_on()
            && !self.arranger.plays_again(cut)
            && let Some(loaded) = self.loading.wait(None)
        {
            self.play_with(loaded);
        }
        if self.joins {
            self.hear(&Heard::TakeBegan { take: cut.take, at: in_quarters(cut.segment.start() - cut.margin) });
        }
        let band = self.entry.as_ref().map(BandEntry::band);
        band.iter().for_each(|band| band.show_cut(cut));
        if !cut.offline && self.reserved != Some((cut.take, cut.segment.start())) {
            self.send_reserve(cut.segment, cut);
        }
        let (begun, written) = (Instant::now(), self.arranger.written());
        let band = self.entry.as_ref().map(BandEntry::band);
        let mut outlet = Outlet { end: &mut self.end, stop: &self.stop, band };
        let mut stream = AnswerStream::new(cut, ReplyKind::Answer);
        self.arranger.answer(cut, &mut |note| stream.send(note, &mut outlet));
        stream.finish(&mut outlet);
        if cut.segment.is_last_of_bar() {
            Meters::count(&self.end.meters.bars);
        }
        let written = self.arranger.written().wrapping_sub(written);
        if written > 0 {
            self.timing.note(begun.elapsed(), written, cut, &self.end.meters);
            self.timing.ask_for_time(begun.elapsed(), &self.end.meters);
            self.settle();
        }
        if !cut.offline {
            self.send_reserve(cut.segment.next(), cut);
        }
        self.last_cut = Some(*cut);
        self.status.median_milliseconds_per_bar = self.timing.median();
        self.status.worst_milliseconds_per_bar = self.timing.worst();
        self.publish();
    }

    /// Whether nothing has been sent in this take.
    fn begins(&self, cut: &Cut) -> bool {
        self.reserved.is_none_or(|(take, _)| take != cut.take)
    }

    /// A take begins so shortly before its second segment that this is asked for already: the rest of the first is played as what
    /// stands, or by rule.
    fn answer_at_once(&mut self, cut: &Cut) {
        self.arranger.pass_over(cut);
        self.send_at_once(cut.segment, cut, ReplyKind::Answer);
    }

    /// A segment that is over already, or as good as, when its turn comes.
    fn pass_over(&mut self, cut: &Cut) {
        /// Long enough to be read.
        const TOLD_FOR: u32 = 8;
        self.arranger.pass_over(cut);
        // What was played while the model was still being loaded is not its fault.
        if self.last_cut.is_some() && !self.loading.is_going_on() {
            self.slow_for = TOLD_FOR;
            self.publish();
        }
    }

    fn send_reserve(&mut self, segment: Segment, cut: &Cut) {
        self.send_at_once(segment, cut, ReplyKind::Reserve);
    }

    /// What stands, or what the rules write: it takes microseconds.
    fn send_at_once(&mut self, segment: Segment, cut: &Cut, kind: ReplyKind) {
        let band = self.entry.as_ref().map(BandEntry::band);
        let mut outlet = Outlet { end: &mut self.end, stop: &self.stop, band };
        let mut stream = AnswerStream::new(&Cut { segment, ..*cut }, kind);
        self.arranger.reserve(segment, cut, &mut |note| stream.send(note, &mut outlet));
        stream.finish(&mut outlet);
        self.reserved = Some((cut.take, segment.start()));
    }

    fn publish(&mut self) {
        if let Some(device) = self.arranger.device() {
            self.status.device = device;
        }
        let mut engine = self.status.clone();
        if let Some(problem) = self.arranger.problem() {
            engine.problem = Some(problem.to_owned());
        } else if self.slow_for > 0 {
            engine.problem = Some(format!(
                "{} is too slow here, and the rules play what it misses: choose another model or device.",
                engine.generator
            ));
        } else if let Some(entry) = self.entry.as_ref().filter(|entry| entry.is_passed_over()) {
            let number = entry.band().number();
            engine.problem = Some(format!("Another instance is {number} already: give this one another number."));
        } else if engine.problem.is_none() {
            engine.problem.clone_from(&self.unable);
        }
        (engine.enhancer, engine.extender) = self.melodists.status();
        let ahead = self.last_cut.map_or_else(Vec::new, |cut| self.arranger.chords_ahead(cut.segment.next()));
        let ledger = self.arranger.ledger().clone();
        let (chords, restored, steps) = (ledger.chords(), self.restored, self.arranger.steps());
        let view = SongView { engine, chords, ahead, ledger, restored, steps };
        self.view.publish(match &self.shown_as_part {
            None => view,
            Some(shown) => SongView { ledger: view.ledger, restored, steps, ..shown.clone() },
        });
    }
}

fn status_of(loaded: &Loaded) -> EngineStatus {
    EngineStatus {
        generator: loaded.generator.name().to_owned(),
        by_rule: loaded.by_rule(),
        backend: loaded.backend.clone(),
        device: loaded.device.clone(),
        problem: loaded.problem.clone(),
        ..EngineStatus::default()
    }
}

/// Where answers go: to this instance's audio thread, and to the instances that play parts of this band.
struct Outlet<'a> {
    end: &'a mut InferenceEnd,
    stop: &'a AtomicBool,
    band: Option<&'a Band>,
}

/// One answer on its way to the audio thread.
struct AnswerStream {
    segment: Segment,
    reply: Reply,
    begun: bool,
}

impl AnswerStream {
    fn new(cut: &Cut, kind: ReplyKind) -> Self {
        let segment_start = cut.segment.start();
        let reply = Reply { take: cut.take, segment_start, kind, message: ReplyMessage::Begin };
        Self { segment: cut.segment, reply, begun: false }
    }

    fn send(&mut self, note: PartNote, outlet: &mut Outlet<'_>) {
        self.begin(outlet);
        self.push(ReplyMessage::Note(note), outlet);
    }

    fn finish(&mut self, outlet: &mut Outlet<'_>) {
        self.begin(outlet);
        self.push(ReplyMessage::End, outlet);
    }

    /// Sent with the first note and not before: from then on the audio thread counts on the answer.
    fn begin(&mut self, outlet: &mut Outlet<'_>) {
        if !std::mem::replace(&mut self.begun, true) {
            self.push(ReplyMessage::Begin, outlet);
        }
    }

    fn push(&self, message: ReplyMessage, outlet: &mut Outlet<'_>) {
        let reply = Reply { message, ..self.reply };
        if let Some(band) = outlet.band {
            band.show(self.segment, &reply);
        }
        push(reply, outlet.end, outlet.stop);
    }
}

/// Waits a little for room: this side may. The audio thread empties the queue with every block.
fn push(reply: Reply, end: &mut InferenceEnd, stop: &AtomicBool) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let begun = Instant::now();
    while end.replies.push(reply).is_err() {
        if stop.load(Ordering::Relaxed) || end.replies.is_abandoned() || begun.elapsed() > PATIENCE {
            Meters::count(&end.meters.dropped);
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How long answers take.
#[derive(Debug, Default)]
struct Timing {
    /// Milliseconds a bar, of each answer.
    answers: Vec<f32>,
    smoothed: f32,
    /// The slowest recent answer in seconds; forgotten slowly.
    slowest_seconds: f32,
}

impl Timing {
    /// Old measurements make room for new ones beyond this.
    const KEPT: usize = 4096;

    /// `written` is in ticks, more than 0.
    fn note(&mut self, elapsed: Duration, written: Ticks, cut: &Cut, meters: &Meters) {
        let of_a_bar = f64::from(cut.segment.bar.meter.bar_length()) / f64::from(written);
        let milliseconds = (elapsed.as_secs_f64() * 1000.0 * of_a_bar) as f32;
        if self.answers.len() == Self::KEPT {
            self.answers.remove(0);
        }
        self.answers.push(milliseconds);
        self.smoothed += (milliseconds - self.smoothed) * if self.answers.len() == 1 { 1.0 } else { 0.2 };
        meters.milliseconds_per_bar.store(self.smoothed, Ordering::Relaxed);
        meters.worst_milliseconds_per_bar.store(self.worst(), Ordering::Relaxed);
    }

    /// A band that was heard to take so long for half a bar.
    fn of_a_band(half_bar: Option<Duration>, meters: &Meters) -> Self {
        let mut timing = Self::default();
        timing.ask_for_time(half_bar.unwrap_or_default(), meters);
        timing
    }

    /// Has the audio thread cut so early that the slowest recent answer would have been in time, and a half more.
    fn ask_for_time(&mut self, elapsed: Duration, meters: &Meters) {
        const FORGETTING: f32 = 0.97;
        const SAFETY: f32 = 1.5;
        self.slowest_seconds = (self.slowest_seconds * FORGETTING).max(elapsed.as_secs_f32());
        meters.wanted_seconds.store(SAFETY * self.slowest_seconds, Ordering::Relaxed);
    }

    fn median(&self) -> f32 {
        let mut sorted = self.answers.clone();
        sorted.sort_by(f32::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }

    fn worst(&self) -> f32 {
        self.answers.iter().copied().fold(0.0, f32::max)
    }
}

/// The inference thread of one plugin instance. Dropping it ends and joins the thread.
pub struct InferenceThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl InferenceThread {
    /// Starts the thread of an instance that knows of no others.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn spawn(
        end: InferenceEnd,
        view: SharedView,
        commands: Receiver<EditorCommand>,
        load: impl FnOnce() -> Loaded + Send + 'static,
    ) -> std::io::Result<Self> {
        Self::spawn_seated(Seat::default(), end, view, commands, load)
    }

    /// Starts the thread; `load` is called beside it, since loading a model takes its time and the rules play meanwhile, and only
    /// when the instance is a band: to play a part of another it needs none.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn spawn_seated(
        seat: Seat,
        mut end: InferenceEnd,
        view: SharedView,
        commands: Receiver<EditorCommand>,
        load: impl FnOnce() -> Loaded + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let body = move || {
            let Some(joins) = play_part_first(&seat, &mut end, &view, &stopped) else { return };
            let mut loading = Loading::default();
            let loaded = loading.begin(load).or_else(|| loading.wait(Some(Instant::now() + WORTH_WAITING)));
            let loaded = loaded.unwrap_or_else(until_loaded);
            let worker = InferenceWorker::while_loading(end, view, commands, loaded, loading, stopped);
            let mut worker = worker.seated(seat);
            worker.joins = joins;
            while !worker.stop.load(Ordering::Relaxed) {
                if !worker.take_turn() {
                    worker.wait();
                }
            }
        };
        let thread = std::thread::Builder::new().name("obbligato inference".into()).spawn(body)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

/// So long nobody misses a model that is still being loaded.
const WORTH_WAITING: Duration = Duration::from_millis(100);

/// Who plays while the first model is being loaded.
fn until_loaded() -> Loaded {
    Loaded {
        problem: Some("The model is being loaded; the rules play until then. Wait a few seconds.".into()),
        ..Loaded::rules()
    }
}

/// Short against a 32nd at 300 quarters a minute (25 ms), long against the cost of waking.
const BETWEEN_LOOKS: Duration = Duration::from_millis(3);
/// A take asks for its first answer where it begins, and has patience for a 32nd: 31 ms at 240 quarters a minute, so that the
/// rules are in time. Each waking costs tens of microseconds on a virtual machine: at 10 ms this was most of an idle instance.
const AT_REST: Duration = Duration::from_millis(20);

/// Plays a part of another band until this instance is made a band itself; `None` when it is to stop, else whether there was
/// anything to play. Commands stay where they are, and with them what was loaded.
fn play_part_first(seat: &Seat, end: &mut InferenceEnd, view: &SharedView, stop: &AtomicBool) -> Option<bool> {
    let mut part = LinkedPart::new(seat.links.clone());
    let mut played = false;
    while !stop.load(Ordering::Relaxed) {
        let link = seat.link.get();
        if link.role == Role::Band {
            return Some(played);
        }
        let mut heard = Vec::new();
        while let Ok(next) = end.heard.pop() {
            heard.push(next);
        }
        part.run(link, &heard, end, stop);
        part.news(link).into_iter().for_each(|news| view.publish(news));
        played = true;
        let at_rest = !end.meters.playing.load(Ordering::Relaxed);
        std::thread::sleep(if at_rest { AT_REST } else { BETWEEN_LOOKS });
    }
    None
}

impl InferenceWorker {
    /// The same as [`run_pending`](Self::run_pending), but an error in the program costs no more than what was pending, and
    /// a word about it.
    pub fn take_turn(&mut self) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.run_pending())).unwrap_or_else(|_| {
            Meters::count(&self.end.meters.failed_answers);
            self.status.problem = Some("An answer was lost to an error in the program; the last bar plays. If it happens again, choose another model.".into());
            // What broke may break this too; then it is told with the next answer.
            let _ = catch_unwind(AssertUnwindSafe(|| self.publish()));
            false
        })
    }

    /// Sleeps until a command comes or it is time to look at the melody again.
    fn wait(&mut self) {
        let pause = if self.is_at_rest() { AT_REST } else { BETWEEN_LOOKS };
        match self.commands.recv_timeout(pause) {
            Ok(command) => self.obey(command),
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody can send commands any more; the melody still comes.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(pause),
        }
    }

    /// The transport stands still, or the host has not called for so long that it may be gone: even in slow music there is a
    /// segment more often.
    fn is_at_rest(&self) -> bool {
        const LONGEST_SEGMENT: Duration = Duration::from_secs(30);
        !self.end.meters.playing.load(Ordering::Relaxed) || self.last_heard.elapsed() > LONGEST_SEGMENT
    }
}

impl Drop for InferenceThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the worker has been seen by its user as silence already; there is nobody to tell here.
            let _ = thread.join();
        }
    }
}
