//! What the editor says about the band, in words. Pure functions.

use super::gauge::{Gauge, milliseconds};
use crate::channels::{MelodistStatus, Meters, SongView};
use crate::music::{BarIndex, Part, Ticks};
use std::sync::atomic::{AtomicU32, Ordering};

/// The engine, how fast it is, what was lost, and where the song is.
pub fn status_line(view: &SongView, meters: &Meters) -> String {
    [engine(view), speed(view, meters), losses(meters), place(view, meters)]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("  ·  ")
}

fn engine(view: &SongView) -> String {
    let status = &view.engine;
    match (status.generator.is_empty(), status.backend.is_empty()) {
        (true, _) => "Loading".into(),
        (false, true) => status.generator.clone(),
        (false, false) => format!("{} in {} on {}", status.generator, status.backend, status.device),
    }
}

fn speed(view: &SongView, meters: &Meters) -> String {
    let worst = view.engine.worst_milliseconds_per_bar;
    Gauge::of(view, meters)
        .map_or_else(String::new, |gauge| format!("{} (worst {})", gauge.text(), milliseconds(worst)))
}

fn losses(meters: &Meters) -> String {
    let (segments, notes) = (count(&meters.late_segments), count(&meters.late_notes));
    let counters =
        [&meters.late_segments, &meters.late_notes, &meters.repeated_segments, &meters.failed_answers, &meters.dropped];
    if counters.into_iter().all(|counter| count(counter) == 0) {
        return if count(&meters.bars) == 0 { String::new() } else { "on time".into() };
    }
    let repeated = told("repeated ", count(&meters.repeated_segments), ", ");
    let failed = told("failed ", count(&meters.failed_answers), "  ·  ");
    format!("late {segments} ({repeated}notes {notes})  ·  {failed}dropped {}", count(&meters.dropped))
}

/// A count that is worth telling.
fn told(before: &str, count: u32, after: &str) -> String {
    if count == 0 { String::new() } else { format!("{before}{count}{after}") }
}

/// What the engine cannot say itself: that it does not answer.
pub fn silence_of_engine(meters: &Meters) -> Option<String> {
    /// Two bars, in most metres.
    const LONG: u32 = 4;
    let late = count(&meters.late_in_a_row);
    let silent = late >= LONG && meters.playing.load(Ordering::Relaxed);
    silent.then(|| {
        format!(
            "The engine has missed the last {late} answers: the rules play, or the last bar again. Choose another model or \
             device, or close what else keeps the computer busy."
        )
    })
}

/// A message as the window shows it: from a capital to a full stop, names in quotation marks. The engine's are written so that
/// they can follow a program's name and a colon.
pub fn sentence(message: &str) -> String {
    let mut marks = ['“', '”'].into_iter().cycle();
    let quoted = message.chars().map(|letter| if letter == '`' { marks.next().unwrap_or(letter) } else { letter });
    let mut letters = quoted.collect::<String>().trim_end_matches('.').to_owned();
    if let Some(first) = letters.chars().next() {
        letters.replace_range(..first.len_utf8(), &first.to_uppercase().to_string());
    }
    letters + "."
}

fn place(view: &SongView, meters: &Meters) -> String {
    if !meters.playing.load(Ordering::Relaxed) {
        return "stopped".into();
    }
    match playing_bar(view, meters.playhead_tick()) {
        Some(bar) => format!("bar {}", bar.0 + 1),
        None => "playing".into(),
    }
}

fn playing_bar(view: &SongView, playhead: Ticks) -> Option<BarIndex> {
    let mut bars = view.chords.iter().map(|(segment, _)| segment.bar);
    bars.find(|bar| (bar.start..bar.end()).contains(&playhead)).map(|bar| bar.index)
}

/// What stands beside a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartNote {
    pub word: &'static str,
    pub explanation: &'static str,
}

/// Of a part that sounds elsewhere, or that the generator does not write itself.
pub fn part_note(view: &SongView, meters: &Meters, part: Part) -> Option<PartNote> {
    let missing = |melodist: &MelodistStatus| melodist.name.is_empty() && melodist.problem.is_some();
    let nobody = match part {
        Part::Bass | Part::Chords | Part::Pad | Part::Counter | Part::Drums => false,
        Part::Enhanced => missing(&view.engine.enhancer),
        Part::Extension => missing(&view.engine.extender),
    };
    match (meters.parts_played_elsewhere()[part], view.engine.by_rule[part], nobody) {
        (true, ..) => {
            Some(PartNote { word: "elsewhere", explanation: "An instance on another track plays it, and not this one" })
        }
        (false, true, _) => {
            let explanation = "The model that is chosen does not play this part, so the rules do";
            Some(PartNote { word: "by rule", explanation })
        }
        (false, false, true) => {
            Some(PartNote { word: "no model", explanation: "Nobody plays it: there is no model for it here" })
        }
        (false, false, false) => None,
    }
}

fn count(counter: &AtomicU32) -> u32 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::EngineStatus;
    use crate::music::{Bar, Meter, PerPart, PlanSource, PlannedChord};

    /// Chords of whole bars, from bar `first` on.
    fn view(first: i32, bars: &[&str]) -> SongView {
        let mut chords = Vec::new();
        for (index, text) in (first..).zip(bars) {
            for segment in Bar::of_constant_meter(index, Meter::COMMON).segments() {
                chords.push((segment, PlannedChord { chord: text.parse().ok(), source: PlanSource::Proposed }));
            }
        }
        let engine = EngineStatus {
            backend: "tract".into(),
            device: "CPU".into(),
            generator: "Accompanist".into(),
            by_rule: PerPart::from_fn(|part| part == Part::Drums),
            median_milliseconds_per_bar: 41.6,
            worst_milliseconds_per_bar: 230.0,
            ..EngineStatus::default()
        };
        SongView { engine, chords, ..SongView::default() }
    }

    fn meters(quarters: f64, playing: bool) -> Meters {
        let meters = Meters::default();
        meters.playhead_quarters.store(quarters, Ordering::Relaxed);
        meters.playing.store(playing, Ordering::Relaxed);
        meters
    }

    #[test]
    fn the_status_line_tells_engine_speed_losses_and_place() {
        let meters = meters(17.5, true);
        meters.bars.store(9, Ordering::Relaxed);
        meters.milliseconds_per_bar.store(41.6, Ordering::Relaxed);
        meters.late_segments.store(2, Ordering::Relaxed);
        meters.late_notes.store(5, Ordering::Relaxed);
        meters.dropped.store(1, Ordering::Relaxed);
        assert_eq!(
            status_line(&view(3, &["C", "F"]), &meters),
            "Accompanist in tract on CPU  ·  42 of 2000 ms a bar (worst 230)  ·  late 2 (notes 5)  ·  dropped 1  ·  bar 5"
        );
    }

    #[test]
    fn what_the_reserve_and_the_last_bar_had_to_play_is_told() {
        let meters = meters(0.0, true);
        for (counter, value) in
            [(&meters.late_segments, 9), (&meters.repeated_segments, 7), (&meters.failed_answers, 3)]
        {
            counter.store(value, Ordering::Relaxed);
        }
        let line = status_line(&view(0, &["C"]), &meters);
        assert!(line.contains("late 9 (repeated 7, notes 0)  ·  failed 3  ·  dropped 0"), "{line}");
    }

    #[test]
    fn what_is_wrong_is_told_in_sentences() {
        for (message, told) in [
            ("no key; write one from C-1 to G9", "No key; write one from C-1 to G9."),
            ("chord plan, bar 1: `Xyz` is not a chord", "Chord plan, bar 1: “Xyz” is not a chord."),
            ("`a.so` and `b.so`", "“a.so” and “b.so”."),
            ("It is well.", "It is well."),
        ] {
            assert_eq!(sentence(message), told);
        }
    }

    #[test]
    fn an_engine_that_does_not_answer_is_told_of_while_it_matters() {
        let meters = meters(0.0, true);
        for (late, told) in [(0, false), (3, false), (4, true), (400, true)] {
            meters.late_in_a_row.store(late, Ordering::Relaxed);
            let words = silence_of_engine(&meters);
            assert_eq!(words.is_some_and(|words| words.contains(&format!("last {late} answers"))), told);
        }
        meters.playing.store(false, Ordering::Relaxed);
        assert_eq!(silence_of_engine(&meters), None);
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        assert_eq!(status_line(&SongView::default(), &Meters::default()), "Loading  ·  stopped");
        let engine = EngineStatus { generator: "Rules".into(), ..EngineStatus::default() };
        let rules = SongView { engine, ..SongView::default() };
        let meters = meters(4.0, true);
        assert_eq!(status_line(&rules, &meters), "Rules  ·  playing");
        meters.bars.store(1, Ordering::Relaxed);
        assert!(status_line(&rules, &meters).ends_with("a bar (worst 0.0)  ·  on time  ·  playing"));
        meters.bars.store(0, Ordering::Relaxed);
        meters.failed_answers.store(1, Ordering::Relaxed);
        assert_eq!(status_line(&rules, &meters), "Rules  ·  late 0 (notes 0)  ·  failed 1  ·  dropped 0  ·  playing");
    }

    #[test]
    fn a_nonsense_playhead_is_no_bar() {
        for quarters in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let line = status_line(&view(3, &["C"]), &meters(quarters, true));
            assert!(line.ends_with("playing"), "{quarters}: {line}");
        }
    }

    #[test]
    fn parts_without_a_model_say_so() {
        let mut view = view(0, &[]);
        view.engine.extender.problem = Some("there is none".into());
        let meters = meters(0.0, false);
        let word = |meters: &Meters, part| part_note(&view, meters, part).map_or("", |note| note.word);
        let notes =
            |meters: &Meters| [Part::Bass, Part::Drums, Part::Enhanced, Part::Extension].map(|part| word(meters, part));
        assert_eq!(notes(&meters), ["", "by rule", "", "no model"]);
        meters.set_played_elsewhere(PerPart::from_fn(|part| part == Part::Drums));
        assert_eq!(notes(&meters), ["", "elsewhere", "", "no model"]);
    }
}
