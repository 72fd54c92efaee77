//! Whatever the transport does, takes begin where it starts or is moved and nowhere else, and notes stand in their place.

use crate::bands::{Metronome, only};
use crate::host::{SAMPLE_RATE, SAMPLES_PER_QUARTER, TestHost, playing, release, strike};
use obbligato::channels::{Cut, Heard};
use obbligato::generators::library::Loaded;
use obbligato::music::{Meter, Part, TICKS_PER_QUARTER, Ticks};
use obbligato::realtime::{Block, HostTransport, TimedEvent};
use obbligato::settings::Settings;

/// One call of the host.
#[derive(Debug, Clone)]
struct Call {
    frames: u32,
    sample_rate: f64,
    transport: HostTransport,
    input: Vec<TimedEvent>,
}

fn call(frames: u32, transport: HostTransport) -> Call {
    Call { frames, sample_rate: SAMPLE_RATE, transport, input: Vec::new() }
}

fn stopped() -> HostTransport {
    HostTransport { playing: false, ..playing(0.0) }
}

fn make(host: &mut TestHost, call: &Call, settings: &Settings) {
    host.block(&Block {
        frames: call.frames,
        sample_rate: call.sample_rate,
        transport: call.transport,
        settings: *settings,
        bypass: false,
        panic: false,
        offline: false,
        input: &call.input,
    });
}

/// What the inference thread is told of a journey.
#[derive(Debug, Default)]
struct Told {
    /// Where takes began, in quarter notes.
    takes: Vec<f64>,
    cuts: Vec<Cut>,
    /// Where notes were struck and released.
    strikes: Vec<f64>,
    releases: Vec<f64>,
}

impl Told {
    /// Start, metre and bar of the segments that were asked for.
    fn asked(&self) -> Vec<(Ticks, String, i32)> {
        let of = |cut: &Cut| (cut.segment.start(), cut.segment.bar.meter.to_string(), cut.segment.bar.index.0);
        self.cuts.iter().map(of).collect()
    }

    /// How many segments were asked for again because the bar turned out to be another.
    fn corrections(&self) -> usize {
        let last = self.cuts.last().map_or(0, |cut| cut.take.0 as usize);
        last - self.takes.len()
    }
}

fn told(calls: impl IntoIterator<Item = Call>) -> Told {
    let mut host = TestHost::bare();
    let mut told = Told::default();
    for call in calls {
        make(&mut host, &call, &Settings::default());
        while let Ok(heard) = host.end().heard.pop() {
            match heard {
                Heard::TakeBegan { at, .. } => told.takes.push(at),
                Heard::Cut(cut) => told.cuts.push(cut),
                Heard::NoteOn { at, .. } => told.strikes.push(at),
                Heard::NoteOff { at, .. } => told.releases.push(at),
                Heard::ChordOn { .. } | Heard::ChordHeld { .. } | Heard::TakeEnded { .. } => {}
            }
        }
    }
    told
}

/// The samples at which a band strikes on a journey. Nothing hangs after it, and nothing was late but the first answers.
fn struck(band: Loaded, part: Part, calls: impl IntoIterator<Item = Call>) -> Vec<u64> {
    let mut host = TestHost::inline(band);
    let settings = only(part);
    calls.into_iter().for_each(|call| make(&mut host, &call, &settings));
    host.stop(&settings);
    assert_eq!((host.hanging(), host.orphans), (0, 0));
    assert_eq!(host.count(|meters| &meters.late_notes), 0);
    host.strikes()
}

/// Plays on from a position for so many quarters at 120.
fn straight(from: f64, quarters: f64, frames: u32) -> impl Iterator<Item = Call> {
    let samples = (quarters * f64::from(SAMPLES_PER_QUARTER)).round() as u64;
    (0..samples).step_by(frames as usize).map(move |sample| {
        let frames = (samples - sample).min(u64::from(frames)) as u32;
        call(frames, playing(from + sample as f64 / f64::from(SAMPLES_PER_QUARTER)))
    })
}

/// A loop, and how the host goes through it.
#[derive(Debug, Clone, Copy)]
struct Loop {
    /// In quarters.
    from: f64,
    to: f64,
    frames: u32,
    /// Ends a block at the loop's end; else the block runs over it and the next begins a little inside the loop.
    splits: bool,
}

impl Loop {
    fn samples(&self) -> u64 {
        ((self.to - self.from) * f64::from(SAMPLES_PER_QUARTER)).round() as u64
    }

    fn rounds(self, rounds: u64) -> impl Iterator<Item = Call> {
        let (length, end) = (self.samples(), rounds * self.samples());
        let mut sample = 0;
        std::iter::from_fn(move || {
            let within = sample % length;
            let left = if self.splits { length - within } else { u64::MAX };
            let frames = left.min(end - sample).min(u64::from(self.frames)) as u32;
            let position = self.from + within as f64 / f64::from(SAMPLES_PER_QUARTER);
            sample += u64::from(frames);
            (frames > 0).then(|| call(frames, playing(position)))
        })
    }
}

/// Around bars, inside bars, inside a segment.
const LOOPS: [(f64, f64); 4] = [(0.0, 8.0), (1.3, 6.7), (5.5, 7.25), (2.25, 3.0)];

#[test]
fn a_loop_begins_a_take_each_time_it_comes_round() {
    for (from, to) in LOOPS {
        for frames in [64, 480, 4096] {
            for splits in [true, false] {
                let told = told(Loop { from, to, frames, splits }.rounds(5));
                assert_eq!(told.takes.len(), 5, "{from}..{to} in blocks of {frames}");
                let latest = if splits { 1e-9 } else { f64::from(frames) / f64::from(SAMPLES_PER_QUARTER) };
                for at in &told.takes {
                    assert!((from..=from + latest).contains(at), "a take began at {at}");
                }
                // Each take asks first for the segment that it begins in.
                for take in 1..=5 {
                    let first = told.cuts.iter().find(|cut| cut.take.0 == take).expect("each take asks").segment;
                    let begun = f64::from(first.start()) <= from * f64::from(TICKS_PER_QUARTER);
                    assert!(begun && f64::from(first.end()) > from * f64::from(TICKS_PER_QUARTER), "{first:?}");
                }
            }
        }
    }
}

#[test]
fn in_a_loop_notes_stand_at_their_place_in_every_pass() {
    for (from, to) in LOOPS {
        let looped = Loop { from, to, frames: 256, splits: true };
        let calls = looped.rounds(6);
        let found = struck(Metronome { duration: 3, ..Metronome::default() }.load(), Part::Bass, calls);
        // A stroke for each segment that begins inside; one at the loop's start itself comes as soon as it is known.
        let inside = (0..4).map(|segment| 2.0 * f64::from(segment)).filter(|start| (from..to).contains(start));
        let places: Vec<u64> =
            inside.map(|start| ((start - from) * f64::from(SAMPLES_PER_QUARTER)).round() as u64).collect();
        let expected = (0..6).flat_map(|pass| {
            let places = places.iter();
            places.map(move |place| pass * looped.samples() + if *place == 0 { 256 } else { *place })
        });
        assert_eq!(found, expected.collect::<Vec<_>>(), "{from}..{to}");
    }
}

/// At 240 quarters a minute, with a worker that wants to be asked .15 s before: also in blocks that are longer than a 32nd, and where
/// the loop begins when its next segment has to be asked for already.
#[test]
fn nothing_in_a_loop_is_late() {
    const A_QUARTER: u32 = SAMPLES_PER_QUARTER / 2;
    for (from, to) in [(0.0, 8.0), (1.3, 6.7), (1.9, 5.9), (3.75, 8.0)] {
        for frames in [64, 512, 2048, 4096] {
            let case = format!("{from}..{to} in blocks of {frames}");
            let mut host = TestHost::inline(Metronome::default().load());
            host.wanted_seconds = 0.15;
            let settings = only(Part::Bass);
            let samples = ((to - from) * f64::from(A_QUARTER)).round() as u32;
            let mut strikes = Vec::new();
            for _ in 0..4 {
                let before = host.sent.len();
                for sample in (0..samples).step_by(frames as usize) {
                    let position = from + f64::from(sample) / f64::from(A_QUARTER);
                    let transport = HostTransport { quarters_per_minute: Some(240.0), ..playing(position) };
                    make(&mut host, &call(frames.min(samples - sample), transport), &settings);
                }
                strikes.push(host.sent[before..].iter().filter(|sent| sent.is_on()).count());
            }
            let late = (host.count(|meters| &meters.late_segments), host.count(|meters| &meters.late_notes));
            assert_eq!((late, host.count(|meters| &meters.repeated_segments)), ((0, 0), 0), "{case}");
            let inside = (0..4).filter(|segment| (from..to).contains(&(2.0 * f64::from(*segment)))).count();
            assert!(strikes.iter().all(|strikes| *strikes >= inside), "{case}: {strikes:?} of {inside}");
            host.stop(&settings);
            assert_eq!((host.hanging(), host.orphans), (0, 0), "{case}");
        }
    }
}

/// Some hosts wrap a loop inside a block, so that the next block begins a little after the loop's start.
#[test]
fn a_stroke_on_the_loop_point_is_made_up_for() {
    for part in [Part::Drums, Part::Bass] {
        let looped = Loop { from: 0.0, to: 4.0, frames: 1024, splits: false };
        let found = struck(Metronome { part, ..Metronome::default() }.load(), part, looped.rounds(8));
        for pass in 0..8 {
            // The bar that does not come may have begun in the block before; that one is not meant.
            let first_block = (pass * looped.samples()).next_multiple_of(1024);
            let made_up = found.iter().any(|sample| (first_block..=first_block + 1024).contains(sample));
            assert!(made_up, "pass {pass} from {first_block} on: {found:?}");
        }
    }
}

#[test]
fn a_jump_or_a_restart_without_a_stop_begins_a_take_where_it_leads() {
    // Forward, back, by an eighth, to the start, to the start again, a bar back to the same place in it.
    let places = [0.0, 9.0, 2.0, 4.5, 0.0, 0.0, 3.0, 1.0];
    let told = told(places.into_iter().flat_map(|from| straight(from, 2.0, 500)));
    assert_eq!(told.takes, places);
}

#[test]
fn what_sounds_is_released_where_the_transport_jumps_or_stops() {
    let held = || Metronome { duration: 48, ..Metronome::default() }.load();
    for moved in [playing(37.0), stopped()] {
        let mut host = TestHost::inline(held());
        straight(0.0, 3.0, 480).for_each(|call| make(&mut host, &call, &only(Part::Bass)));
        assert_eq!(host.hanging(), 1);
        make(&mut host, &call(480, moved), &only(Part::Bass));
        let last = host.sent.last().expect("it was released");
        assert_eq!((host.hanging(), host.orphans, last.sample), (0, 0, 3 * u64::from(SAMPLES_PER_QUARTER)));
    }
}

/// Some hosts stop for a block where the loop wraps; what they say of the position meanwhile differs.
#[test]
fn the_playing_flag_may_flicker_at_the_loop_point() {
    for flicker_at in [0.0, 4.0] {
        for blocks in [1, 3] {
            let off = HostTransport { playing: false, ..playing(flicker_at) };
            let pauses = std::iter::repeat_n(call(128, off), blocks);
            let calls: Vec<Call> = (0..4).flat_map(|_| straight(0.0, 4.0, 500).chain(pauses.clone())).collect();
            let told = told(calls.clone());
            assert_eq!(told.takes, [0.0; 4]);
            assert_eq!(told.corrections(), 0);
            let found = struck(Metronome::default().load(), Part::Bass, calls);
            assert_eq!(found.len(), 8, "no stroke is doubled or lost: {found:?}");
        }
    }
}

/// From 60 to 240 in 8 seconds and back, the position as the integral of the tempo.
fn ramp(frames: u32) -> Vec<Call> {
    let position = |seconds: f64| {
        let up = seconds.min(8.0);
        let down = (seconds - 8.0).max(0.0);
        let climbed = up + 0.5 * 22.5 * up * up / 60.0;
        climbed + 4.0 * down - 0.5 * 22.5 * down * down / 60.0
    };
    let tempo = |seconds: f64| if seconds < 8.0 { 60.0 + 22.5 * seconds } else { 240.0 - 22.5 * (seconds - 8.0) };
    let blocks = (0..16 * 48_000_u64).step_by(frames as usize);
    let at = blocks.map(|sample| sample as f64 / SAMPLE_RATE);
    at.map(|seconds| {
        let quarters_per_minute = Some(tempo(seconds));
        call(frames, HostTransport { quarters_per_minute, ..playing(position(seconds)) })
    })
    .collect()
}

#[test]
fn a_tempo_ramp_begins_no_take_and_moves_no_note() {
    for frames in [32, 480, 4096, 8192] {
        let told = told(ramp(frames));
        assert_eq!((told.takes.len(), told.corrections()), (1, 0), "blocks of {frames}");
        let asked: Vec<Ticks> = told.asked().into_iter().map(|(start, ..)| start).collect();
        let every = (0..asked.len() as Ticks).map(|segment| 24 * segment);
        assert_eq!(asked, every.collect::<Vec<_>>(), "each segment once");
    }
    let calls = ramp(480);
    let found = struck(Metronome::default().load(), Part::Bass, calls.clone());
    assert_eq!(found.len(), 20);
    for (segment, sample) in found.iter().enumerate().skip(1) {
        let truth = 2.0 * segment as f64;
        let block = &calls[(*sample / 480) as usize].transport;
        let (start, tempo) = (block.quarters.expect("told"), block.quarters_per_minute.expect("told"));
        let position = start + (sample % 480) as f64 / SAMPLE_RATE * tempo / 60.0;
        assert!((position - truth).abs() < 1e-3, "struck at {position}, not {truth}");
    }
}

/// A song in many metres. Blocks of 250 and 1000 end at the bar lines, others do not.
fn metres(frames: u32, tells_bars: bool) -> Vec<Call> {
    let bars = [(4, 4), (4, 4), (3, 4), (6, 8), (6, 8), (2, 4), (7, 8), (4, 4), (4, 4)];
    let mut line = 0;
    let mut lines = Vec::new();
    for (beats, unit) in bars {
        let length = Meter::new(beats, unit).expect("usual").bar_length();
        lines.push((line, line + length, (beats as i32, unit as i32)));
        line += length;
    }
    let samples = u64::from(SAMPLES_PER_QUARTER) / 12 * line as u64;
    let blocks = (0..samples).step_by(frames as usize);
    let calls = blocks.map(|sample| {
        let quarters = sample as f64 / f64::from(SAMPLES_PER_QUARTER);
        let tick = (quarters * 12.0 + 1e-6) as Ticks;
        let (start, _, meter) = *lines.iter().find(|(_, end, _)| tick < *end).expect("inside the song");
        let bar_start = tells_bars.then_some(f64::from(start) / 12.0);
        call(frames, HostTransport { meter: Some(meter), bar_start, ..playing(quarters) })
    });
    calls.collect()
}

#[test]
fn changes_of_metre_are_followed_from_their_bar_line_on() {
    let truth = [
        (0, "4/4", 0),
        (48, "4/4", 1),
        (96, "3/4", 2),
        (132, "6/8", 3),
        (168, "6/8", 4),
        (204, "2/4", 5),
        (228, "7/8", 6),
        (270, "4/4", 7),
        (318, "4/4", 8),
    ];
    for frames in [250, 1000, 1024] {
        for tells_bars in [true, false] {
            let told = told(metres(frames, tells_bars));
            assert_eq!(told.takes.len(), 1);
            assert_eq!(told.corrections(), 5, "where the metre changes and nowhere else");
            // What was asked last for each bar's start is the bar that was there.
            for (start, meter, index) in truth {
                let asked = told.asked();
                let last = asked.iter().rfind(|(asked, ..)| *asked == start);
                assert_eq!(last, Some(&(start, meter.to_owned(), index)), "blocks of {frames}, {tells_bars}");
            }
        }
    }
}

#[test]
fn a_pre_roll_counts_from_before_zero() {
    let mut calls: Vec<Call> = straight(-5.5, 8.0, 500).collect();
    // A note at -1, in the block that begins there.
    calls[216].input = vec![strike(0, 60), release(499, 60)];
    let told = told(calls);
    assert_eq!((told.takes.as_slice(), told.corrections()), ([-5.5].as_slice(), 0));
    let bars: Vec<(Ticks, i32)> = told.asked().into_iter().map(|(start, _, index)| (start, index)).collect();
    let expected = [(-72, -2), (-48, -1), (-24, -1), (0, 0), (24, 0)];
    assert_eq!(bars, expected);
    assert_eq!(told.strikes, [-1.0]);
    let short = Metronome { duration: 3, ..Metronome::default() };
    let found = struck(short.load(), Part::Bass, straight(-5.5, 8.0, 500));
    let places = [-4.0, -2.0, 0.0, 2.0].map(|at| ((at + 5.5) * f64::from(SAMPLES_PER_QUARTER)) as u64);
    assert_eq!(found, places);
}

/// The position is off by up to five milliseconds either way.
fn jittery(frames: u32) -> impl Iterator<Item = Call> {
    let mut state = 1_u32;
    straight(0.0, 24.0, frames).map(move |mut call| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let off = f64::from(state >> 8) / f64::from(1 << 24) - 0.5;
        call.transport.quarters = call.transport.quarters.map(|quarters| quarters + 0.02 * off);
        // Its bar goes with it, forth and back.
        call.transport.bar_start = call.transport.quarters.map(|quarters| (quarters / 4.0).floor() * 4.0);
        call
    })
}

#[test]
fn jitter_begins_no_take_and_doubles_no_note() {
    for frames in [16, 64, 512, 2048] {
        let told = told(jittery(frames));
        assert_eq!((told.takes.len(), told.corrections()), (1, 0), "blocks of {frames}");
        let mut found = struck(Metronome::default().load(), Part::Bass, jittery(frames));
        found.retain(|sample| *sample < 23 * u64::from(SAMPLES_PER_QUARTER));
        assert_eq!(found.len(), 12, "blocks of {frames}: {found:?}");
        for (segment, sample) in found.iter().enumerate().skip(1) {
            let off = *sample as i64 - i64::from(SAMPLES_PER_QUARTER) * 2 * segment as i64;
            assert!(off.abs() <= 300, "{off} samples off");
        }
    }
}

#[test]
fn a_change_of_sample_rate_is_no_jump() {
    let (mut calls, mut seconds) = (Vec::new(), 0.0);
    for sample_rate in [44_100.0, 96_000.0, 22_050.0, 192_000.0, 48_000.0] {
        for _ in 0..200 {
            calls.push(Call { sample_rate, ..call(441, playing(2.0 * seconds)) });
            seconds += 441.0 / sample_rate;
        }
    }
    let told = told(calls.clone());
    assert_eq!((told.takes.len(), told.corrections()), (1, 0));
    let found = struck(Metronome::default().load(), Part::Bass, calls.clone());
    assert_eq!(found.len(), 10, "one a second of these 9.2: {found:?}");
    for (segment, sample) in found.iter().enumerate().skip(1) {
        let Call { sample_rate, transport, .. } = &calls[(*sample / 441) as usize];
        let into = (sample % 441) as f64 / sample_rate * 2.0;
        let position = transport.quarters.expect("told") + into;
        assert!((position - 2.0 * segment as f64).abs() < 3.0 / sample_rate, "{position}");
    }
}

#[test]
fn after_ten_hours_notes_stand_where_they_should() {
    // 72,000 quarters at 120, and what is left of the first million.
    for from in [72_000.0, 999_900.0] {
        let found = struck(Metronome::default().load(), Part::Bass, straight(from, 16.0, 480));
        let expected = (1..8).map(|segment| 2 * u64::from(SAMPLES_PER_QUARTER) * segment);
        assert_eq!(found[1..], expected.collect::<Vec<_>>(), "from {from}");
    }
}

/// Hosts hand over parameters in blocks of no length, which may say anything of the transport.
#[test]
fn blocks_of_no_length_move_nothing() {
    let mut calls: Vec<Call> = Vec::new();
    for (index, next) in straight(0.0, 4.0, 480).enumerate() {
        let transport = [stopped(), playing(99.0), HostTransport::default()][index % 3];
        let input = if index == 50 { vec![strike(0, 60)] } else { Vec::new() };
        calls.push(Call { input, ..call(0, transport) });
        calls.push(next);
    }
    let told = told(calls.clone());
    assert_eq!((told.takes.as_slice(), told.corrections()), ([0.0].as_slice(), 0));
    assert!((told.strikes[0] - 1.0).abs() < 1e-9, "a note in it is heard where the song is: {:?}", told.strikes);
    let found = struck(Metronome::default().load(), Part::Bass, calls);
    assert_eq!(found.len(), 2);
}

#[test]
fn positions_that_come_only_now_and_then_are_enough() {
    let mut calls: Vec<Call> = straight(0.0, 16.0, 480).collect();
    for (index, call) in calls.iter_mut().enumerate().filter(|(index, _)| index % 7 != 0) {
        call.transport.quarters = [None, Some(f64::NAN)][index % 2];
    }
    let told = told(calls.clone());
    assert_eq!((told.takes.len(), told.corrections()), (1, 0));
    let found = struck(Metronome::default().load(), Part::Bass, calls);
    assert_eq!(found[1..], [1, 2, 3, 4, 5, 6, 7].map(|segment| 2 * u64::from(SAMPLES_PER_QUARTER) * segment));
}

/// Without a transport: the player's quarters from 0.2 seconds on, then silence.
fn player(host: HostTransport, strikes: u64, seconds: f64) -> impl Iterator<Item = Call> {
    const FRAMES: u32 = 240;
    let first = 40 * u64::from(FRAMES);
    (0..(seconds * SAMPLE_RATE) as u64).step_by(FRAMES as usize).map(move |sample| {
        let beat = sample.checked_sub(first).filter(|since| since / 24_000 < strikes).map(|since| since % 24_000);
        let input = match beat {
            Some(0) => vec![strike(0, 67)],
            Some(12_000) => vec![release(0, 67)],
            Some(_) | None => Vec::new(),
        };
        Call { input, ..call(FRAMES, host) }
    })
}

#[test]
fn without_any_transport_the_first_notes_start_the_band_and_a_long_silence_stops_it() {
    let with_tempo = HostTransport { quarters_per_minute: Some(120.0), ..HostTransport::default() };
    for host in [with_tempo, HostTransport { playing: true, ..with_tempo }, HostTransport::default()] {
        let told = told(player(host, 8, 30.0));
        assert_eq!(told.takes, [0.0], "{host:?}");
        // Every note was heard, also those before the band began, at its beat.
        let beats: Vec<f64> = (0..8).map(f64::from).collect();
        assert!(told.strikes.iter().zip(&beats).all(|(at, beat)| (at - beat).abs() < 1e-3), "{:?}", told.strikes);
        assert_eq!((told.strikes.len(), told.releases.len()), (8, 8));
        // The last note is at beat 7; 32 quarters later the segment from 38 on has been asked for, and the one from 40.
        let last = told.cuts.last().expect("it asks").segment.start();
        assert!((456..=480).contains(&last), "asked up to {last}");
        assert_eq!(told.corrections(), 0);

        let found = struck(Loaded::rules(), Part::Bass, player(host, 8, 30.0));
        let in_seconds = |seconds: std::ops::Range<u64>| {
            found.iter().filter(|sample| seconds.contains(&(**sample / SAMPLE_RATE as u64))).count()
        };
        assert!([3..7, 7..11, 11..15].map(in_seconds).iter().all(|count| *count > 1), "the band plays: {found:?}");
        assert_eq!(in_seconds(20..30), 0, "and has stopped");
    }
}

#[test]
fn a_host_that_stands_still_is_not_taken_for_one_without_a_transport() {
    let told = told(player(stopped(), 8, 6.0));
    assert!(told.takes.is_empty() && told.cuts.is_empty());
}
