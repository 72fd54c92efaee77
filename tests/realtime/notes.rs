//! Every struck note is released, and none by what is not its own.

use crate::bands::{Metronome, all_parts, no_chords, only};
use crate::host::{SAMPLES_PER_QUARTER, TestHost, block, playing, release, strike};
use obbligato::channels::Meters;
use obbligato::generators::library::Loaded;
use obbligato::generators::{Generator, GeneratorError, PartNote, Request};
use obbligato::music::{Key, Meter, Note, Part, PerPart, PlannedChord, Velocity};
use obbligato::realtime::{Block, HostTransport, NoteEvent};
use obbligato::settings::Settings;

/// A held chord is struck, then something happens: which channels still sound after that block?
fn sounding_after(happens: impl Fn(&mut Block<'_>)) -> Vec<u8> {
    let settings = Settings { style: 0.0, ..all_parts() };
    let mut host = TestHost::inline(Loaded::rules());
    let melody = [strike(0, 67), strike(0, 64)];
    for eighth in 0..18 {
        let mut block = block(SAMPLES_PER_QUARTER / 2, playing(f64::from(eighth) / 2.0), &settings);
        block.input = if eighth == 0 { &melody } else { &[] };
        if eighth == 17 {
            // Short, so that nothing ends by itself.
            block.frames = 16;
            happens(&mut block);
        }
        host.block(&block);
    }
    let mut channels: Vec<u8> = host.sounding.keys().map(|(channel, _)| channel).collect();
    channels.dedup();
    channels
}

#[test]
fn notes_are_released_where_what_holds_them_ends() {
    let pitched = [Part::Bass, Part::Chords, Part::Pad];
    let channel_of = |part: &Part| part.default_channel();
    let undisturbed = sounding_after(|_| {});
    assert!(pitched.iter().all(|part| undisturbed.contains(&channel_of(part))), "{undisturbed:?}");

    assert_eq!(sounding_after(|block| block.transport.playing = false), [0_u8; 0], "stop");
    assert_eq!(sounding_after(|block| block.bypass = true), [0_u8; 0], "bypass");
    assert_eq!(sounding_after(|block| block.panic = true), [0_u8; 0], "panic");
    assert_eq!(sounding_after(|block| block.transport.quarters = Some(400.0)), [0_u8; 0], "jump");
    let muted = sounding_after(|block| block.settings.parts[Part::Chords].on = false);
    assert!(!muted.contains(&Part::Chords.default_channel()) && muted.contains(&Part::Bass.default_channel()));
    let moved = sounding_after(|block| block.settings.parts[Part::Bass].channel = 12);
    assert!(!moved.contains(&Part::Bass.default_channel()) && !moved.contains(&12), "struck anew only by new notes");
}

/// Bass and counter-melody play the same key, the bass longer.
struct Unison;

impl Generator for Unison {
    fn name(&self) -> &str {
        "Unison"
    }

    fn parts(&self) -> PerPart<bool> {
        PerPart::from_fn(|part| matches!(part, Part::Bass | Part::Counter))
    }

    fn plays(&self, _: Meter) -> bool {
        true
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        write: &mut dyn FnMut(PartNote),
    ) -> Result<Vec<PlannedChord>, GeneratorError> {
        for (part, start, duration) in [(Part::Bass, 6, 15), (Part::Counter, 9, 3)] {
            let start = request.ask.start() + start;
            let note = Note { start, key: Key::folded(60), duration, velocity: Velocity::default() };
            write(PartNote::on_grid(part, note));
        }
        Ok(no_chords(request))
    }
}

/// What is sent in the first half bar, as ticks of strikes (+) and releases (-). The player holds the same key from tick
/// 12 to tick 18, if `thru`.
fn unison(bass: u8, counter: u8, thru: bool) -> Vec<String> {
    const TICK: u32 = SAMPLES_PER_QUARTER / 12;
    let mut settings = Settings { thru, ..all_parts() };
    for part in Part::ALL {
        settings.parts[part].on = matches!(part, Part::Bass | Part::Counter);
    }
    (settings.parts[Part::Bass].channel, settings.parts[Part::Counter].channel) = (bass, counter);
    let mut host = TestHost::inline(Loaded { generator: Box::new(Unison), ..Loaded::rules() });
    for tick in 0..24 {
        let mut block = block(TICK, playing(f64::from(tick) / 12.0), &settings);
        let (struck, released) = ([strike(0, 60)], [release(0, 60)]);
        block.input = match tick {
            12 => &struck,
            18 => &released,
            _ => &[],
        };
        host.block(&block);
    }
    assert_eq!((host.hanging(), host.orphans), (0, 0));
    let text = |event: &NoteEvent| match event {
        NoteEvent::On { channel, .. } => format!("+{channel}"),
        NoteEvent::Off { channel, .. } => format!("-{channel}"),
    };
    host.sent.iter().map(|sent| format!("{}{}", sent.sample / u64::from(TICK), text(&sent.event))).collect()
}

#[test]
fn a_key_that_several_hold_sounds_until_the_last_lets_go() {
    // On channels of their own they do not meet.
    assert_eq!(unison(1, 4, false), ["6+1", "9+4", "12-4", "21-1"]);
    // On one channel the second strike is heard, and its release does not cut the first.
    assert_eq!(unison(1, 1, false), ["6+1", "9-1", "9+1", "21-1"]);
    // The player's own key counts as well.
    assert_eq!(unison(0, 0, true), ["6+0", "9-0", "9+0", "12-0", "12+0", "21-0"]);
    assert_eq!(unison(4, 0, true), ["6+4", "9+0", "12-0", "12+0", "18-0", "21-4"]);
}

/// Plays the metronome's long notes in blocks of a tick, with a melody key that is held from the start. `at` is called
/// before each block with its tick.
fn metronome_with(at: impl Fn(i32, &mut Block<'_>, &Meters)) -> TestHost {
    let mut host = TestHost::inline(Metronome { duration: 20, ..Metronome::default() }.load());
    let settings = Settings { thru: true, ..only(Part::Bass) };
    let meters = host.meters.clone();
    let held = [strike(0, 72)];
    for tick in 0..96 {
        let mut block = block(SAMPLES_PER_QUARTER / 12, playing(f64::from(tick) / 12.0), &settings);
        block.input = if tick == 0 { &held } else { &[] };
        at(tick, &mut block, &meters);
        host.block(&block);
    }
    host
}

/// Strikes and releases as ticks, without the first half bar.
fn ticks(host: &TestHost, on: bool) -> Vec<u64> {
    let of_kind = host.sent.iter().filter(|sent| sent.is_on() == on);
    let ticks = of_kind.map(|sent| sent.sample / u64::from(SAMPLES_PER_QUARTER / 12));
    ticks.filter(|tick| *tick >= 24).collect()
}

#[test]
fn a_panic_silences_everything_in_its_block_and_the_band_until_the_next_segment() {
    let undisturbed = metronome_with(|_, _, _| {});
    assert_eq!((ticks(&undisturbed, true), ticks(&undisturbed, false)), (vec![24, 48, 72], vec![44, 68, 92]));
    // By the host's switch, which stays on, or by the editor's button.
    let switched = metronome_with(|tick, block, _| block.panic = tick >= 30);
    let pressed = metronome_with(|tick, _, meters| {
        if tick == 30 {
            Meters::count(&meters.panics);
        }
    });
    for mut host in [switched, pressed] {
        // The metronome's note and the player's key, at the first sample of the block.
        assert_eq!((ticks(&host, true), ticks(&host, false)), (vec![24, 48, 72], vec![30, 30, 68, 92]));
        let sample = u64::from(30 * SAMPLES_PER_QUARTER / 12);
        assert_eq!(host.sent.iter().filter(|sent| !sent.is_on() && sent.sample == sample).count(), 2);
        host.stop(&Settings::default());
        assert_eq!((host.hanging(), host.orphans), (0, 0));
    }
}

/// Ticks of the band's strikes in the fifth bar, with or without a panic at its third tick.
fn strikes_in_the_fifth_bar(panics: bool) -> Vec<u64> {
    const TICK: u32 = SAMPLES_PER_QUARTER / 12;
    let mut host = TestHost::inline(Loaded::rules());
    let settings = Settings { density: 0.8, ..all_parts() };
    let melody = [strike(0, 67)];
    for tick in 0..240 {
        let mut block = block(TICK, playing(f64::from(tick) / 12.0), &settings);
        block.input = if tick % 24 == 0 { &melody } else { &[] };
        block.panic = panics && tick == 195;
        host.block(&block);
    }
    let ticks = host.strikes().into_iter().map(|sample| sample / u64::from(TICK));
    ticks.filter(|tick| *tick >= 192).collect()
}

#[test]
fn after_a_panic_the_rest_of_the_segment_is_silent_and_the_next_is_not() {
    let undisturbed = strikes_in_the_fifth_bar(false);
    let silent = |tick: &u64| (195..216).contains(tick);
    assert!(undisturbed.iter().filter(|tick| silent(tick)).count() > 4, "{undisturbed:?}");
    let expected: Vec<u64> = undisturbed.into_iter().filter(|tick| !silent(tick)).collect();
    assert_eq!(strikes_in_the_fifth_bar(true), expected);
}

#[test]
fn after_a_panic_notes_that_were_on_their_way_do_not_sound_either() {
    let settings = only(Part::Bass);
    let mut host = TestHost::inline(Metronome { duration: 20, ..Metronome::default() }.load());
    // Blocks of half a tick.
    for step in 0..60 {
        let mut block = block(SAMPLES_PER_QUARTER / 24, playing(f64::from(step) / 24.0), &settings);
        // The answer to the first segment comes after the panic, but before it would be late.
        block.panic = step == 1;
        if step == 0 { host.block_without_worker(&block) } else { host.block(&block) }
    }
    let strikes: Vec<u64> = host.strikes().iter().map(|sample| sample / u64::from(SAMPLES_PER_QUARTER / 12)).collect();
    assert_eq!(strikes, [24]);
}

#[test]
fn a_panic_is_heard_while_the_host_stands_still_and_in_blocks_of_no_length() {
    let settings = Settings::default();
    for frames in [0, 64] {
        let mut host = TestHost::bare();
        let mut standing = block(64, HostTransport::default(), &settings);
        let held = [strike(0, 60), strike(0, 64)];
        standing.input = &held;
        host.block(&standing);
        assert_eq!(host.hanging(), 2);
        host.block(&Block { frames, panic: true, input: &[], ..standing });
        assert_eq!((host.hanging(), host.orphans), (0, 0));
        // The player lets go of what has been silenced.
        let released = [release(0, 60), release(0, 64)];
        host.block(&Block { panic: true, input: &released, ..standing });
        assert_eq!((host.hanging(), host.orphans), (0, 0));
    }
}
