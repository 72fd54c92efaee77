//! What a call of `process` costs the audio thread while a band of five plays a dense song, in blocks of 64 samples, and
//! how soon a band that was at rest is heard: `cargo bench --bench process`. No model is needed: the audio thread has
//! the same to do whoever writes the notes. With `OBBLIGATO_PLOT=FILE.svg` the distribution is drawn.

use criterion::Criterion;
use obbligato::channels::{self, EditorCommand, SharedView};
use obbligato::generators::library::Loaded;
use obbligato::generators::{Generator, GeneratorError, PartNote, Request};
use obbligato::inference::{InferenceThread, InferenceWorker};
use obbligato::music::{Key, Meter, Note, Part, PerPart, PlanSource, PlannedChord, Ticks, Velocity};
use obbligato::realtime::{Block, EventBuffer, HostTransport, NoteEvent, RealtimeProcessor, TimedEvent};
use obbligato::settings::Settings;
use plotters::prelude::*;
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const FRAMES: u32 = 64;
const SAMPLE_RATE: f64 = 48_000.0;
/// What a block may take in all, in microseconds: as long as it sounds.
const BUDGET: f64 = FRAMES as f64 / SAMPLE_RATE * 1e6;
/// What one of many plugins should take at the very most.
const AIM: f64 = 25.0;
/// Two minutes: some hundreds of bars.
const BLOCKS: usize = 90_000;
/// The same song so often. The system interrupts whom it likes; the least time of a block is that of its work.
const RUNS: usize = 5;
const QUARTERS_PER_MINUTE: f64 = 180.0;

fn main() {
    // With `--test` cargo asks whether it runs, not how fast.
    let tries = std::env::args().any(|argument| argument == "--test");
    let (blocks, runs) = if tries { (2000, 1) } else { (BLOCKS, RUNS) };
    let runs: Vec<Vec<f64>> = (0..runs).map(|_| microseconds_of_blocks(blocks)).collect();
    let as_it_came = Distribution::of(runs.concat());
    let work = Distribution::of((0..blocks).map(|block| least(&runs, block)).collect());
    println!("process, {FRAMES} samples (a block lasts {BUDGET:.0} µs), {} runs of {blocks} blocks", runs.len());
    println!("  as it came       {as_it_came}");
    println!("  the work itself  {work}");
    if let Some(file) = std::env::var_os("OBBLIGATO_PLOT") {
        plot(file.as_ref(), &as_it_came, &work).unwrap_or_else(|error| panic!("the plot is not written: {error}"));
    }
    let starts = Distribution::of((0..if tries { 1 } else { 40 }).map(milliseconds_to_first_strike).collect());
    println!(
        "from the start of a host that stood still to the first note: {:.1} ms, at most {:.1} ms",
        starts.at(0.5),
        starts.at(1.0)
    );
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("process, 64 samples", |bench| {
        bench.iter_custom(|count| {
            let times = microseconds_of_blocks(count as usize);
            Duration::from_secs_f64(times.iter().sum::<f64>() / 1e6)
        });
    });
    criterion.final_summary();
}

fn least(runs: &[Vec<f64>], block: usize) -> f64 {
    runs.iter().map(|run| run[block]).fold(f64::INFINITY, f64::min)
}

/// A band that never rests: about a hundred and thirty notes a bar.
struct Busy;

impl Generator for Busy {
    fn name(&self) -> &str {
        "Busy"
    }

    fn parts(&self) -> PerPart<bool> {
        PerPart::from_fn(|_| true)
    }

    fn plays(&self, _: Meter) -> bool {
        true
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        const SIXTEENTH: Ticks = 3;
        for start in (request.ask.start()..request.ask.end()).step_by(SIXTEENTH as usize) {
            let mut strike = |part, key, duration| {
                let key = Key::folded(key + start.rem_euclid(7));
                write(PartNote::on_grid(part, Note { start, key, duration, velocity: Velocity::default() }));
            };
            strike(Part::Bass, 36, SIXTEENTH);
            strike(Part::Counter, 72, 4 * SIXTEENTH);
            [36, 42, 49].into_iter().for_each(|drum| strike(Part::Drums, drum, SIXTEENTH));
            if start % (2 * SIXTEENTH) == 0 {
                [48, 52, 55, 59].into_iter().for_each(|key| strike(Part::Chords, key, 2 * SIXTEENTH));
            }
            if start % (8 * SIXTEENTH) == 0 {
                [55, 60, 64, 67].into_iter().for_each(|key| strike(Part::Pad, key, 8 * SIXTEENTH));
            }
        }
        let chord = PlannedChord { chord: None, source: PlanSource::Rule };
        Ok(request.ask.segments().map(|_| chord).collect())
    }
}

fn busy() -> Loaded {
    Loaded { generator: Box::new(Busy), ..Loaded::rules() }
}

/// The processor and what it is called with.
struct Host {
    processor: RealtimeProcessor,
    output: EventBuffer,
    settings: Settings,
    input: Vec<TimedEvent>,
    struck: usize,
}

impl Host {
    fn new(processor: RealtimeProcessor) -> Self {
        let mut settings = Settings { count_in: 0, ..Settings::default() };
        Part::BAND.into_iter().for_each(|part| settings.parts[part].on = true);
        Self { processor, output: EventBuffer::new(), settings, input: Vec::new(), struck: 0 }
    }

    /// Calls `process` for block `number` of the song, or of the time before it. Returns how long that took.
    fn block(&mut self, number: Option<usize>) -> Duration {
        let quarters = number.map_or(0.0, quarters_at);
        self.play_melody(number);
        let block = Block {
            frames: FRAMES,
            sample_rate: SAMPLE_RATE,
            transport: HostTransport {
                playing: number.is_some(),
                quarters: Some(quarters),
                quarters_per_minute: Some(QUARTERS_PER_MINUTE),
                meter: Some((4, 4)),
                ..HostTransport::default()
            },
            settings: self.settings,
            bypass: false,
            panic: false,
            offline: false,
            input: &self.input,
        };
        self.output.clear();
        let begun = Instant::now();
        self.processor.process(black_box(&block), &mut self.output);
        let time = begun.elapsed();
        self.struck += self.output.iter().filter(|sent| matches!(sent.event, NoteEvent::On { .. })).count();
        time
    }

    /// An eighth after the other, each until the next.
    fn play_melody(&mut self, number: Option<usize>) {
        self.input.clear();
        let Some(number) = number else { return };
        let eighth = |number| (2.0 * quarters_at(number)).floor() as i32;
        let (before, now) = (number.checked_sub(1).map_or(-1, eighth), eighth(number));
        if before != now {
            let key = |eighth: i32| Key::folded(60 + 5 * eighth % 13);
            let off = NoteEvent::Off { channel: 0, key: key(before) };
            let on = NoteEvent::On { channel: 0, key: key(now), velocity: Velocity::default() };
            self.input.extend([off, on].map(|event| TimedEvent { timing: 0, event }));
        }
    }
}

fn quarters_at(block: usize) -> f64 {
    block as f64 * f64::from(FRAMES) / SAMPLE_RATE * QUARTERS_PER_MINUTE / 60.0
}

/// Plays the song, with the worker's turns between the blocks.
fn microseconds_of_blocks(count: usize) -> Vec<f64> {
    let (realtime, end) = channels::connect();
    let (_commands, receiver) = crossbeam_channel::unbounded::<EditorCommand>();
    let stop = Arc::new(AtomicBool::new(false));
    let mut worker = InferenceWorker::new(end, SharedView::default(), receiver, busy(), stop);
    let mut host = Host::new(RealtimeProcessor::new(realtime));
    let block = |number| {
        let time = host.block(Some(number));
        worker.run_pending();
        time.as_secs_f64() * 1e6
    };
    let times = (0..count).map(block).collect();
    let bars = quarters_at(count) / 4.0;
    assert!(bars < 2.0 || host.struck as f64 > 100.0 * bars, "{} notes in {bars:.0} bars", host.struck);
    times
}

/// How long after the host's start the band is heard, with a worker that slept.
fn milliseconds_to_first_strike(start: usize) -> f64 {
    const BLOCK: Duration = Duration::from_nanos((FRAMES as f64 / SAMPLE_RATE * 1e9) as u64);
    let (realtime, end) = channels::connect();
    let (_commands, receiver) = crossbeam_channel::unbounded::<EditorCommand>();
    let _inference =
        InferenceThread::spawn(end, SharedView::default(), receiver, busy).expect("the system has threads");
    let mut host = Host::new(RealtimeProcessor::new(realtime));
    host.settings.thru = false;
    // Each time at another moment of its sleep.
    let rest = Duration::from_micros(100_000 + 777 * start as u64);
    let began = Instant::now();
    while began.elapsed() < rest {
        host.block(None);
        std::thread::sleep(BLOCK);
    }
    let began = Instant::now();
    for number in 0.. {
        host.block(Some(number));
        if host.struck > 0 {
            break;
        }
        std::thread::sleep((BLOCK * (number as u32 + 1)).saturating_sub(began.elapsed()));
    }
    began.elapsed().as_secs_f64() * 1000.0
}

/// Measurements in order.
struct Distribution(Vec<f64>);

impl Distribution {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The value below which this share of all lies; 1 is the largest.
    fn at(&self, share: f64) -> f64 {
        let place = (self.0.len() as f64 * share).ceil() as usize;
        self.0[place.clamp(1, self.0.len()) - 1]
    }

    /// How rare, as one in so many, and the value that is exceeded as rarely.
    fn tail(&self) -> impl Iterator<Item = (f64, f64)> {
        let most = self.0.len() as f64;
        let steps = (0..).map(|step| 10_f64.powf(f64::from(step) / 20.0)).take_while(move |one_in| *one_in <= most);
        steps.map(|one_in| (one_in, self.at(1.0 - 1.0 / one_in)))
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let figures = [("p50", 0.5), ("p99", 0.99), ("p99.99", 0.9999), ("max", 1.0)].map(|(name, share)| {
            let microseconds = self.at(share);
            format!("{name} {microseconds:.2} µs ({:.2} %)", 100.0 * microseconds / BUDGET)
        });
        f.write_str(&figures.join(", "))
    }
}

/// How much of a block's time a call takes, against how rarely.
fn plot(file: &std::path::Path, as_it_came: &Distribution, work: &Distribution) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(file, (720, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let rarest = as_it_came.0.len() as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption("A call of process: five busy parts, 64 samples at 48 kHz", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((1.0..rarest).log_scale(), (0.01..2000.0).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("one call in so many takes longer")
        .y_desc("% of the block's time")
        .x_label_formatter(&|one_in| format!("{one_in}"))
        .y_label_formatter(&|share| format!("{share}"))
        .draw()?;
    let share = |(one_in, microseconds): (f64, f64)| (one_in, 100.0 * microseconds / BUDGET);
    for (name, colour, points) in [
        ("as it came", RGBColor(190, 120, 40), as_it_came.tail().map(share).collect::<Vec<_>>()),
        ("the work itself (the least of all runs)", RGBColor(40, 90, 160), work.tail().map(share).collect()),
        ("aim: 25 µs", RGBColor(120, 120, 120), vec![(1.0, 100.0 * AIM / BUDGET), (rarest, 100.0 * AIM / BUDGET)]),
        ("the block's time", BLACK, vec![(1.0, 100.0), (rarest, 100.0)]),
    ] {
        let series = chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        series.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::LowerRight).background_style(WHITE).draw()?;
    area.present()?;
    Ok(())
}
