//! The command line as people meet it: the real binary, real files, exit codes and words.
#![cfg(feature = "cli")]

mod small_models;

use obbligato::arranger::Arranger;
use obbligato::generators::rules::RuleGenerator;
use obbligato::midi_file::{self, MidiFile, PlayedNote, TrackChoice};
use obbligato::music::{Key, Note, Part, Song, Velocity};
use obbligato::settings::{Follow, Settings};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Run {
    code: i32,
    out: String,
    err: String,
}

/// Runs the command line in `folder`.
fn run(folder: &Path, words: &[&str]) -> Run {
    run_of(Command::new(env!("CARGO_BIN_EXE_obbligato-cli")).args(words).current_dir(folder))
}

fn run_of(command: &mut Command) -> Run {
    let output = command.output().expect("the binary was built with the tests");
    Run {
        code: output.status.code().expect("it was not killed"),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Accompanies `in.mid` by rule, with these flags besides.
fn accompany(folder: &Path, output: &str, flags: &[&str]) -> Run {
    let words = ["accompany", "in.mid", "-o", output, "--generator", "rules"];
    run(folder, &[&words, flags].concat())
}

/// An empty folder of the test's own, with a melody in it as `in.mid`.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an old run's folder can be removed");
    }
    fs::create_dir_all(&folder).expect("the target folder can be written");
    fs::copy(example("ode_to_joy"), folder.join("in.mid")).expect("the example can be copied");
    folder
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).with_extension("mid")
}

fn read(path: impl AsRef<Path>) -> MidiFile {
    midi_file::read(&fs::read(path).expect("the file is there")).expect("the file is readable")
}

fn line_names(file: &MidiFile) -> Vec<&str> {
    file.lines.iter().map(|line| line.name.as_str()).collect()
}

fn chord_names(file: &MidiFile) -> Vec<String> {
    file.markers.iter().map(|(at, name)| format!("{at} {name}")).collect()
}

/// A file of one track; `header` is format, tracks, division.
fn file_of(header: [u16; 3], track: &[u8]) -> Vec<u8> {
    let header: Vec<u8> = header.into_iter().flat_map(u16::to_be_bytes).collect();
    let length = (track.len() as u32).to_be_bytes();
    [b"MThd\0\0\0\x06".as_slice(), &header, b"MTrk", &length, track].concat()
}

/// Middle C for a quarter of 96 ticks.
const ONE_NOTE: &[u8] = &[0, 0x90, 60, 80, 96, 0x80, 60, 0, 0, 0xff, 0x2f, 0];

#[test]
fn devices_says_what_computes_models_here() {
    let folder = folder("devices");
    for flags in [&["devices"][..], &["devices", "--measure"]] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_obbligato-cli"));
        let run = run_of(program.args(flags).current_dir(&folder).env("OBBLIGATO_BACKEND", "tract"));
        assert_eq!(run.code, 0, "{}", run.err);
        let said = run.out + &run.err;
        assert!(said.contains("Models are computed by tract in Obbligato"), "{said}");
        assert!(said.contains("  cpu      CPU (") && said.contains("): runs all steps in single precision"), "{said}");
        assert!(said.contains("  auto     is the CPU: there is no other device"), "{said}");
        assert_eq!(said.contains("There is no other device to measure."), flags.len() > 1, "{said}");
    }
}

#[test]
fn help_names_every_flag_and_gives_examples() {
    let folder = folder("help");
    let help = run(&folder, &["--help"]);
    assert_eq!(help.code, 0);
    for command in ["accompany", "enhance", "extend", "models", "devices"] {
        assert!(help.out.contains(command), "{command} is missing in\n{}", help.out);
    }
    for (command, flags) in [
        ("enhance", ["--add", "--remove", "--iterations", "--temperature", "--style", "--seed", "--model"]),
        ("extend", ["--bars", "--listen", "--sampling", "--temperature", "--from", "--chords", "--model"]),
    ] {
        let help = run(&folder, &[command, "--help"]);
        assert!(flags.iter().all(|flag| help.out.contains(flag)), "{}", help.out);
    }
    let help = run(&folder, &["accompany", "--help"]);
    assert_eq!(help.code, 0);
    for word in [
        "--output",
        "--generator",
        "--follow",
        "--style",
        "--temperature",
        "--density",
        "--chords",
        "--count-in",
        "--count-in-band",
        "--seed",
        "--track",
        "--parts",
        "--runtime",
        "--jobs",
        "Examples:",
        "Exit codes:",
    ] {
        assert!(help.out.contains(word), "{word} is missing in\n{}", help.out);
    }
    assert_eq!(run(&folder, &[]).code, 2);
}

#[test]
fn a_melody_gets_a_band_on_tracks_of_their_own() {
    let folder = folder("band");
    let run = accompany(&folder, "out.mid", &["--parts", "all"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let (melody, band) = (read(folder.join("in.mid")), read(folder.join("out.mid")));
    assert_eq!(line_names(&band), ["Melody", "Bass", "Chords", "Pad", "Counter", "Drums"]);
    assert_eq!((&band.tempos, &band.meters), (&melody.tempos, &melody.meters));
    assert_eq!(band.title, melody.title);
    assert_eq!(band.song(&band.lines[0]).melody, melody.song(&melody.lines[0]).melody);
    for (line, part) in band.lines[1..].iter().zip(Part::ALL) {
        assert!(line.notes.iter().all(|note| note.channel == part.default_channel()), "{}", line.name);
        assert!(run.out.contains(&format!("{} {}", part.name(), line.notes.len())), "{}", run.out);
    }
    assert!(run.out.contains("16 bars") && run.out.contains("62 notes"), "{}", run.out);
}

#[test]
fn only_the_parts_asked_for_play_and_quiet_says_nothing() {
    let folder = folder("parts");
    let run = accompany(&folder, "out.mid", &["--parts", "drums,bass", "--quiet"]);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "", ""));
    assert_eq!(line_names(&read(folder.join("out.mid"))), ["Melody", "Bass", "Drums"]);
}

#[test]
fn the_engine_behind_it_is_the_plugins() {
    for (follow, flag) in [(Follow::Jam, "jam"), (Follow::Arrange, "arrange")] {
        let folder = folder(&format!("engine_{flag}"));
        let flags = ["--follow", flag, "--style", "2.5", "--temperature", "1.3", "--density", "0.7", "--seed", "9"];
        assert_eq!(accompany(&folder, "out.mid", &flags).code, 0);
        let melody = read(folder.join("in.mid"));
        let song = melody.song(melody.melody_line(&TrackChoice::Automatic).expect("a melody"));
        let settings = Settings { follow, style: 2.5, temperature: 1.3, density: 0.7, seed: 9, ..Settings::default() };
        let answers = Arranger::new(Box::new(RuleGenerator), None).perform(&song, &settings, &mut |_| {});
        let out = read(folder.join("out.mid"));
        for (line, part) in out.lines[1..].iter().zip([Part::Bass, Part::Chords]) {
            let written: Vec<Note> = line.notes.iter().map(PlayedNote::on_grid).collect();
            let notes = answers.iter().flat_map(|answer| &answer.notes).filter(|note| note.part == part);
            let mut played: Vec<Note> = notes.map(|note| note.note).collect();
            played.sort_unstable();
            let place = |note: &Note| (note.start, note.key, note.velocity);
            let places = |notes: &[Note]| notes.iter().map(place).collect::<Vec<_>>();
            assert_eq!(places(&written), places(&played), "{flag} {}", part.name());
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_other_music() {
    let folder = folder("seed");
    for (output, seed) in [("a.mid", "5"), ("b.mid", "5"), ("c.mid", "6")] {
        assert_eq!(accompany(&folder, output, &["--seed", seed, "--temperature", "2"]).code, 0);
    }
    let bytes = |name| fs::read(folder.join(name)).expect("it was written");
    assert!(bytes("a.mid") == bytes("b.mid"));
    assert!(bytes("a.mid") != bytes("c.mid"));
}

#[test]
fn without_a_name_the_built_in_model_plays() {
    let folder = folder("model");
    fs::copy(example("frere_jacques"), folder.join("in.mid")).expect("the example can be copied");
    let runs = ["a.mid", "b.mid"].map(|output| run(&folder, &["accompany", "in.mid", "-o", output]));
    for run in &runs {
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        assert!(run.out.contains("(CPU)") && run.out.contains("8 bars"), "{}", run.out);
    }
    let bytes = |name| fs::read(folder.join(name)).expect("it was written");
    assert!(bytes("a.mid") == bytes("b.mid"));
    assert_eq!(line_names(&read(folder.join("a.mid"))), ["Melody", "Bass", "Chords"]);
}

#[test]
fn the_built_in_drummer_plays_around_the_grid() {
    let folder = folder("drummer");
    fs::copy(example("frere_jacques"), folder.join("in.mid")).expect("the example can be copied");
    let run = run(&folder, &["accompany", "in.mid", "-o", "out.mid", "--parts", "bass,chords,drums"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert!(!run.out.contains("by rule"), "{}", run.out);
    let out = read(folder.join("out.mid"));
    assert_eq!(line_names(&out), ["Melody", "Bass", "Chords", "Drums"]);
    let off_grid = |note: &&PlayedNote| (note.start_quarters * 12.0).fract() != 0.0;
    let [.., drums] = out.lines.as_slice() else { panic!("there are drums") };
    assert!(drums.notes.len() > 16 && drums.notes.iter().filter(off_grid).count() > 4, "{:?}", drums.notes);
}

#[test]
fn chords_as_text_or_file_are_the_ones_played() {
    let folder = folder("chords");
    assert_eq!(accompany(&folder, "text.mid", &["--chords", "| D | A/C♯ | Bm G |"]).code, 0);
    let names = chord_names(&read(folder.join("text.mid")));
    assert_eq!(names[..6], ["0 D", "48 A/Db", "96 Bm", "120 G", "144 D", "192 A/Db"]);
    fs::write(folder.join("plan.txt"), "# verse\n| D | A/C# |\n| Bm G |\n").expect("it can be written");
    assert_eq!(accompany(&folder, "file.mid", &["--chords", "plan.txt"]).code, 0);
    assert_eq!(accompany(&folder, "midi.mid", &["--chords", "text.mid"]).code, 0);
    let bytes = |name| fs::read(folder.join(name)).expect("it was written");
    assert!(bytes("text.mid") == bytes("file.mid"));
    assert!(bytes("text.mid") == bytes("midi.mid"), "markers are chords");
}

#[test]
fn the_chords_shown_are_text_for_the_next_run() {
    let folder = folder("show_chords");
    let first = accompany(&folder, "a.mid", &["--show-chords", "--quiet"]);
    let second = accompany(&folder, "b.mid", &["--show-chords", "--quiet", "--chords", first.out.trim()]);
    assert_eq!((first.code, second.code), (0, 0), "{}", second.err);
    assert!(first.out.starts_with("| "), "{}", first.out);
    assert_eq!(chord_names(&read(folder.join("a.mid"))), chord_names(&read(folder.join("b.mid"))));
}

#[test]
fn an_unreadable_chord_is_named_with_its_bar() {
    let folder = folder("wrong_chord");
    fs::write(folder.join("plan.txt"), "C\nH2O").expect("it can be written");
    for (chords, bar, chord) in [("| C | G | Xyz |", "bar 3", "Xyz"), ("plan.txt", "bar 2", "H2O")] {
        let run = accompany(&folder, "out.mid", &["--chords", chords]);
        assert_eq!(run.code, 2);
        assert!(run.err.contains(bar) && run.err.contains(chord), "{}", run.err);
    }
    for (chords, words) in [("none.mid", "none.mid"), ("none.txt", "none.txt"), ("||", "no bars")] {
        let run = accompany(&folder, "out.mid", &["--chords", chords]);
        assert_eq!(run.code, 2);
        assert!(run.err.contains(words), "{}", run.err);
    }
    assert!(!folder.join("out.mid").exists());
}

#[test]
fn the_melodys_track_can_be_chosen() {
    let folder = folder("track");
    assert_eq!(accompany(&folder, "band.mid", &[]).code, 0);
    let bass = read(folder.join("band.mid")).lines[1].notes.len();
    for track in ["2", "bass"] {
        let words = ["accompany", "band.mid", "-o", "out.mid", "--generator", "rules", "--track", track];
        let run = run(&folder, &words);
        assert_eq!(run.code, 0);
        assert!(run.out.contains(&format!("melody from Bass, {bass} notes")), "{}", run.out);
    }
    let run = run(&folder, &["accompany", "band.mid", "-o", "out.mid", "--track", "oboe"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("`oboe`") && run.err.contains("2 Bass"), "{}", run.err);
}

#[test]
fn files_that_hold_no_melody_are_refused_in_words() {
    let folder = folder("refused");
    let whole = fs::read(folder.join("in.mid")).expect("it was copied");
    let cut = whole[..whole.len() / 2].to_vec();
    for (name, bytes, words) in [
        ("empty.mid", vec![], "empty"),
        ("text.mid", b"dear diary".to_vec(), "not a MIDI file"),
        ("cut.mid", cut, "cut off"),
        ("smpte.mid", file_of([1, 1, 0xe728], ONE_NOTE), "SMPTE"),
        ("songs.mid", file_of([2, 1, 96], ONE_NOTE), "format 2"),
        ("rest.mid", file_of([1, 1, 96], &[0, 0xff, 0x2f, 0]), "no notes"),
        ("huge.mid", [whole, vec![0; midi_file::LARGEST_FILE]].concat(), "larger than"),
    ] {
        fs::write(folder.join(name), bytes).expect("it can be written");
        let run = run(&folder, &["accompany", name, "-o", "out.mid", "--generator", "rules"]);
        assert_eq!(run.code, 2, "{name}: {}", run.err);
        assert!(run.err.contains(name) && run.err.contains(words), "{name}: {}", run.err);
        assert!(!run.err.contains("panicked") && !folder.join("out.mid").exists());
    }
    let run = run(&folder, &["accompany", "missing.mid", "-o", "out.mid"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("missing.mid"), "{}", run.err);
}

#[test]
fn oddities_are_told_and_lived_with() {
    let folder = folder("oddities");
    let hanging = [0, 0xff, 0x58, 4, 16, 2, 24, 8, 0, 0x90, 60, 80, 96, 0xff, 0x2f, 0];
    fs::write(folder.join("in.mid"), file_of([0, 1, 96], &hanging)).expect("it can be written");
    let run = accompany(&folder, "out.mid", &[]);
    assert_eq!(run.code, 0);
    assert!(run.err.contains("16/4 is taken as bars of 4/4") && run.err.contains("never released"), "{}", run.err);
}

#[test]
fn flags_out_of_range_name_the_range() {
    let folder = folder("range");
    for (flag, value, words) in [
        ("--temperature", "3", "0.1 to 2"),
        ("--temperature", "NaN", "0.1 to 2"),
        ("--density", "-0.5", "0 to 1"),
        ("--style", "9", "-1 to 8"),
        ("--style", "polka", "Chorale"),
        ("--parts", "bass,tuba", "counter"),
        ("--seed", "-1", "is not in 0.."),
        ("--follow", "lead", "arrange"),
        ("--jobs", "0", "1..=256"),
    ] {
        let run = accompany(&folder, "out.mid", &[flag, value]);
        assert_eq!(run.code, 2, "{flag} {value}");
        assert!(run.err.contains(words), "{flag} {value}: {}", run.err);
    }
    assert!(!folder.join("out.mid").exists());
}

#[test]
fn a_generator_or_library_that_is_not_there_is_an_error_only_when_asked_for() {
    let folder = folder("generator");
    let run_with = |flags: &[&str]| run(&folder, &[&["accompany", "in.mid", "-o", "out.mid"], flags].concat());
    let run = run_with(&["--generator", "nobody"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("nobody"), "{}", run.err);
    fs::write(folder.join("broken.so"), b"\x7fELF and nothing else").expect("it can be written");
    let run = run_with(&["--runtime", "broken.so"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("broken.so"), "{}", run.err);
}

#[test]
fn the_melody_itself_is_never_overwritten_and_a_place_that_cannot_be_written_is_named() {
    let folder = folder("output");
    let before = fs::read(folder.join("in.mid")).expect("it was copied");
    assert_eq!(accompany(&folder, "in.mid", &[]).code, 2);
    assert_eq!(run(&folder, &["accompany", ".", "-o", "."]).code, 2);
    assert!(fs::read(folder.join("in.mid")).expect("still there") == before);
    let run = accompany(&folder, "no/such/folder/out.mid", &[]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("out.mid"), "{}", run.err);
    fs::create_dir(folder.join("there")).expect("it can be made");
    assert_eq!(accompany(&folder, "there", &[]).code, 0);
    assert!(folder.join("there/in.mid").exists());
}

#[test]
fn one_bad_file_in_a_folder_does_not_stop_the_rest() {
    let folder = folder("folder");
    let songs = folder.join("songs");
    fs::create_dir(&songs).expect("it can be made");
    let good = ["frere_jacques", "greensleeves", "minuet_in_g"];
    for name in good {
        fs::copy(example(name), songs.join(name).with_extension("mid")).expect("it can be copied");
    }
    fs::write(songs.join("bad.mid"), b"MThd").expect("it can be written");
    fs::write(songs.join("notes.txt"), b"not for us").expect("it can be written");
    for (output, jobs) in [("one", "1"), ("four", "4")] {
        let run = run(&folder, &["accompany", "songs", "-o", output, "--jobs", jobs, "--generator", "rules"]);
        assert_eq!(run.code, 2);
        assert!(run.out.contains("3 of 4 files"), "{}", run.out);
        assert!(run.err.contains("bad.mid"), "{}", run.err);
        assert_eq!(fs::read_dir(folder.join(output)).expect("it was made").count(), good.len());
    }
    for name in good {
        let single = format!("{name}.mid");
        let words = ["accompany", &format!("songs/{single}"), "-o", &single, "--generator", "rules"];
        assert_eq!(run(&folder, &words).code, 0);
        let bytes = |path: PathBuf| fs::read(path).expect("it was written");
        let alone = bytes(folder.join(&single));
        assert!(alone == bytes(folder.join("one").join(&single)), "{name}");
        assert!(alone == bytes(folder.join("four").join(&single)), "{name}");
    }
    fs::remove_file(songs.join("bad.mid")).expect("it was written");
    let run = run(&folder, &["accompany", "songs", "-o", "all", "--generator", "rules"]);
    assert_eq!(run.code, 0, "{}", run.err);
}

#[test]
fn the_list_of_models_has_the_rules() {
    let run = run(&folder("models"), &["models"]);
    assert_eq!(run.code, 0);
    assert!(run.out.lines().any(|line| line.starts_with("rules")), "{}", run.out);
    assert!(run.out.lines().any(|line| line.contains("drums for all of these; built in")), "{}", run.out);
}

/// A folder of the test's own with a melody in it, and small models of each kind as `gan.onnx`, `enhancer.onnx` and
/// `extender.onnx`.
fn folder_with_models(test: &str) -> PathBuf {
    let folder = folder(test);
    for (name, bytes) in [
        ("gan.onnx", small_models::gan()),
        ("enhancer.onnx", small_models::enhancer()),
        ("extender.onnx", small_models::extender()),
    ] {
        fs::write(folder.join(name), bytes).expect("it can be written");
    }
    folder
}

/// The notes of a file's line by start and key.
fn notes_of(file: &MidiFile, line: usize) -> Vec<(i32, u8)> {
    let notes = file.lines[line].notes.iter().map(PlayedNote::on_grid);
    notes.map(|note| (note.start, note.key.number())).collect()
}

/// A chromatic scale, a quarter a note, each louder than the one before.
fn chromatic() -> Song {
    let note = |step: i32| Note {
        start: 12 * step,
        key: Key::folded(60 + step),
        duration: 12,
        velocity: Velocity::clamped(40 + 3 * step),
    };
    Song { melody: (0..12).map(note).collect(), ..Song::default() }
}

#[test]
fn a_gan_plays_with_the_melody() {
    let folder = folder_with_models("gan");
    let words = ["accompany", "in.mid", "-o", "out.mid", "--generator", "gan.onnx", "--parts", "bass,chords,counter"];
    let run_of = |flags: &[&str]| run(&folder, &[&words, flags].concat());
    for (flags, name) in [(&[][..], "Small GAN"), (&["--follow", "jam", "--count-in", "0"], "Small GAN")] {
        let run = run_of(flags);
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        assert!(run.out.contains(name), "{}", run.out);
    }
    assert_eq!(run_of(&[]).code, 0);
    let (melody, band) = (read(folder.join("in.mid")), read(folder.join("out.mid")));
    assert_eq!(line_names(&band), ["Melody", "Bass", "Chords", "Counter"]);
    for (line, octaves) in [(1, -2), (2, -1), (3, 1)] {
        let wanted = notes_of(&melody, 0).into_iter().map(|(start, key)| (start, key as i8 + 12 * octaves));
        let wanted: Vec<(i32, u8)> = wanted.map(|(start, key)| (start, key as u8)).collect();
        assert_eq!(notes_of(&band, line), wanted, "{}", band.lines[line].name);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn models_of_the_users_folder_are_found_by_name() {
    let folder = folder_with_models("users_folder");
    let models = folder.join("data/obbligato/models");
    fs::create_dir_all(&models).expect("it can be made");
    for name in ["gan.onnx", "enhancer.onnx", "extender.onnx"] {
        fs::rename(folder.join(name), models.join(name)).expect("it can be moved");
    }
    let run = |words: &[&str]| run_with_data(&folder, words);
    let listed = run(&["models"]);
    for (name, what) in [
        ("Small GAN", "2 styles; trained on nothing"),
        ("Small enhancer", "enhances melodies; "),
        ("Small extender", "carries melodies on; "),
    ] {
        let found = listed.out.lines().any(|line| line.starts_with(name) && line.contains(what));
        assert!(found, "{name} is missing in\n{}", listed.out);
    }
    for words in [
        &["accompany", "in.mid", "-o", "out.mid", "--generator", "small gan"][..],
        &["enhance", "in.mid", "-o", "out.mid", "--model", "enhancer"],
        &["extend", "in.mid", "-o", "out.mid", "--model", "Small extender"],
    ] {
        let run = run(words);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{words:?}");
        assert!(run.out.contains("Small"), "{}", run.out);
    }
    let refused = run(&["enhance", "in.mid", "-o", "out.mid", "--model", "small gan"]);
    assert_eq!(refused.code, 2);
    let names = "there is no model `small gan`; there are";
    assert!(refused.err.contains(names) && refused.err.contains("Small enhancer"), "{}", refused.err);
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_model_of_its_kind_a_command_says_where_to_put_one() {
    let folder = folder("no_models");
    for (command, kind) in [("enhance", "enhancer"), ("extend", "extender")] {
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/weights").join(kind).with_extension("onnx");
        let run = run_with_data(&folder, &[command, "in.mid", "-o", "out.mid"]);
        if built_in.exists() {
            assert_eq!((run.code, run.err.as_str()), (0, ""));
        } else {
            assert_eq!(run.code, 2);
            assert!(run.err.contains(&format!("there is no {kind} here; put its file (.onnx) into")), "{}", run.err);
        }
    }
}

/// Runs the command line in `folder`, whose `data` has all that a user has.
#[cfg(target_os = "linux")]
fn run_with_data(folder: &Path, words: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obbligato-cli"));
    let command = command.args(words).current_dir(folder).env("XDG_DATA_HOME", folder.join("data"));
    run_of(command)
}

#[test]
fn a_melody_is_enhanced_within_its_limits() {
    let folder = folder_with_models("enhance");
    let written = midi_file::write(&chromatic(), &[], &[], "Scale");
    fs::write(folder.join("in.mid"), written).expect("it can be written");
    let before = read(folder.join("in.mid"));
    let enhance = |flags: &[&str]| {
        let words = ["enhance", "in.mid", "-o", "out.mid", "--model", "enhancer.onnx"];
        let run = run(&folder, &[&words, flags].concat());
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        (read(folder.join("out.mid")), run.out)
    };
    let (after, out) = enhance(&["--add", "100", "--remove", "100"]);
    assert!(out.contains("Small enhancer: 5 notes added, 5 of 12 removed"), "{out}");
    assert_eq!(after.title, before.title);
    for (old, new) in before.lines[0].notes.iter().zip(&after.lines[0].notes) {
        let key = old.key.number();
        let black = [1, 3, 6, 8, 10].contains(&(key % 12));
        assert_eq!(new.key.number(), if black { key - 1 } else { key });
        assert_eq!((new.start_quarters, new.velocity), (old.start_quarters, old.velocity));
    }
    let moved = |after: &MidiFile| {
        let keys = notes_of(&before, 0).into_iter().zip(notes_of(after, 0));
        keys.filter(|(old, new)| old != new).count()
    };
    for (flags, expected) in [
        (["--add", "0", "--remove", "100"], 0),
        (["--add", "100", "--remove", "0"], 0),
        (["--add", "2", "--remove", "100"], 2),
        (["--add", "100", "--remove", "25"], 3),
    ] {
        assert_eq!(moved(&enhance(&flags).0), expected, "{flags:?}");
    }
    assert_eq!(moved(&enhance(&["--add", "100", "--remove", "100", "--iterations", "0"]).0), 0);
}

#[test]
fn what_is_enhanced_keeps_its_touch() {
    let folder = folder_with_models("touch");
    let off_grid =
        file_of([1, 1, 96], &[5, 0x90, 60, 77, 90, 0x80, 60, 0, 3, 0x90, 61, 51, 90, 0x80, 61, 0, 0, 0xff, 0x2f, 0]);
    fs::write(folder.join("in.mid"), off_grid).expect("it can be written");
    let words = ["enhance", "in.mid", "-o", "out.mid", "--model", "enhancer.onnx", "--remove", "100"];
    assert_eq!(run(&folder, &words).code, 0);
    let (before, after) = (read(folder.join("in.mid")), read(folder.join("out.mid")));
    let [old, new] = [&before, &after].map(|file| file.lines[0].notes.clone());
    assert!((old[0].start_quarters - new[0].start_quarters).abs() < 0.002, "{new:?}");
    assert_eq!((new[0].velocity, new[1].velocity, new[1].key.number()), (old[0].velocity, old[1].velocity, 60));
}

#[test]
fn a_melody_is_carried_on() {
    let folder = folder_with_models("extend");
    let extend = |flags: &[&str]| {
        let words = ["extend", "in.mid", "-o", "out.mid", "--model", "extender.onnx", "--temperature", "0"];
        let run = run(&folder, &[&words, flags].concat());
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        (notes_of(&read(folder.join("out.mid")), 0), run.out)
    };
    let before = notes_of(&read(folder.join("in.mid")), 0);
    let going_on = |bar: i32| (0..4_u8).map(move |beat| (48 * bar + 12 * i32::from(beat), 60 + beat));
    let (after, out) = extend(&["--bars", "2"]);
    assert!(out.contains("8 notes from bar 17 on"), "{out}");
    let expected: Vec<(i32, u8)> = before.iter().copied().chain((16..18).flat_map(going_on)).collect();
    assert_eq!(after, expected);
    let (after, _) = extend(&["--bars", "1", "--from", "3", "--listen", "1", "--sampling", "top-k"]);
    let kept = before.iter().copied().filter(|(start, _)| *start < 96);
    assert_eq!(after, kept.chain(going_on(2)).collect::<Vec<_>>());
    extend(&["--bars", "2", "--chords", "| C | Am F |"]);
    assert_eq!(chord_names(&read(folder.join("out.mid"))), ["768 C", "816 Am", "840 F"]);
    let run = run(&folder, &["extend", "in.mid", "-o", "o.mid", "--model", "extender.onnx", "--from", "40"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("--from 40: the melody has 16 bars"), "{}", run.err);
}

#[test]
fn commands_hand_melodies_on_to_each_other() {
    let folder = folder_with_models("chain");
    let piped = |words: &[&str], input: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_obbligato-cli"));
        let command = command.args(words).current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built with the tests");
        child.stdin.take().expect("it is piped").write_all(input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        output.stdout
    };
    let melody = fs::read(folder.join("in.mid")).expect("it was copied");
    let seed = ["--seed", "3"];
    let enhance = ["enhance", "-", "-o", "-", "--model", "enhancer.onnx", "--remove", "100"];
    let extend = ["extend", "-", "-o", "-", "--model", "extender.onnx", "--bars", "4"];
    let accompany = ["accompany", "-", "-o", "-", "--generator", "rules"];
    let enhanced = piped(&[&enhance[..], &seed].concat(), &melody);
    let extended = piped(&[&extend[..], &seed].concat(), &enhanced);
    let accompanied = piped(&accompany, &extended);
    let band = midi_file::read(&accompanied).expect("nothing but the file goes out");
    assert_eq!(line_names(&band), ["Melody", "Bass", "Chords"]);
    assert_eq!(band.song(&band.lines[0]).bars().count(), 20);
    fs::write(folder.join("extended.mid"), &extended).expect("it can be written");
    let words = ["accompany", "extended.mid", "-o", "out.mid", "--generator", "rules"];
    assert_eq!(run(&folder, &words).code, 0);
    assert!(fs::read(folder.join("out.mid")).expect("it was written") == accompanied, "as by files");
}

#[test]
fn melodies_that_are_hardly_any_are_worked_on_too() {
    let folder = folder_with_models("hardly");
    let note = |start, key| Note { start, key: Key::folded(key), duration: 12, velocity: Velocity::default() };
    for (name, melody) in [
        ("one", vec![note(0, 61)]),
        ("late", vec![note(24 * 3600, 61)]),
        ("all", (0..128).map(|key| note(48, key)).collect()),
    ] {
        let song = Song { melody, ..Song::default() };
        fs::write(folder.join("in.mid"), midi_file::write(&song, &[], &[], name)).expect("it can be written");
        for (command, model) in [("enhance", "enhancer.onnx"), ("extend", "extender.onnx")] {
            let run = run(&folder, &[command, "in.mid", "-o", "out.mid", "--model", model]);
            assert_eq!((run.code, run.err.as_str()), (0, ""), "{command} {name}");
        }
    }
    fs::write(folder.join("in.mid"), file_of([1, 1, 96], &[0, 0xff, 0x2f, 0])).expect("it can be written");
    for command in ["enhance", "extend"] {
        let run = run(&folder, &[command, "in.mid", "-o", "out.mid"]);
        assert_eq!(run.code, 2);
        assert!(run.err.contains("in.mid") && run.err.contains("no notes"), "{}", run.err);
    }
}

#[test]
fn wrong_flags_and_models_of_another_kind_are_refused_in_words() {
    let folder = folder_with_models("wrong");
    let refused = |words: &[&str], expected: &str| {
        let run = run(&folder, words);
        assert_eq!(run.code, 2, "{words:?}: {}", run.err);
        assert!(run.err.contains(expected), "{words:?}: {}", run.err);
        assert!(!folder.join("out.mid").exists(), "{words:?}");
    };
    for (command, flag, value, words) in [
        ("enhance", "--add", "-1", "-1"),
        ("enhance", "--remove", "101", "0 to 100"),
        ("enhance", "--iterations", "101", "0..=100"),
        ("enhance", "--temperature", "3", "0 to 2"),
        ("enhance", "--style", "polka", "Chorale"),
        ("extend", "--bars", "0", "1..=1000"),
        ("extend", "--listen", "-1", "-1"),
        ("extend", "--sampling", "dice", "top-k"),
        ("extend", "--temperature", "NaN", "0 to 2"),
        ("extend", "--chords", "| Xyz |", "Xyz"),
    ] {
        refused(&[command, "in.mid", "-o", "out.mid", flag, value], words);
    }
    for (command, flag, model, words) in [
        ("enhance", "--model", "gan.onnx", "`obbligato.engine` = `gan`, this build reads `arcnn`"),
        ("extend", "--model", "enhancer.onnx", "`obbligato.engine` = `arcnn`, this build reads `extender`"),
        ("accompany", "--generator", "extender.onnx", "`obbligato.engine` = `extender`, this build reads"),
        ("enhance", "--model", "nobody", "nobody"),
        ("extend", "--model", "nobody.onnx", "nobody.onnx"),
    ] {
        refused(&[command, "in.mid", "-o", "out.mid", flag, model], words);
    }
    refused(&["enhance", "in.mid", "-o", "in.mid", "--model", "enhancer.onnx"], "the melody itself");
}
