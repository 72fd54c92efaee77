//! The flags, and the settings and choices that they stand for.

use clap::{Args, Parser, Subcommand, ValueEnum};
use obbligato::generators::extender::Sampling;
use obbligato::generators::library::GeneratorChoice;
use obbligato::generators::{enhancer, extender};
use obbligato::midi_file::TrackChoice;
use obbligato::music::{Part, PerPart, Style, style_from_text, style_stops, style_text};
use obbligato::runtime::{Device, DeviceChoice, RuntimeChoice};
use obbligato::settings::{CountInBand, EnhanceSettings, ExtendSettings, Follow, PartSettings, Settings};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Obbligato listens to a melody and plays with it.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Write an accompaniment to a melody, or to each melody in a folder
    Accompany(Box<Accompany>),
    /// Add notes to a melody and take notes away
    Enhance(Box<Enhance>),
    /// Carry a melody on
    Extend(Box<Extend>),
    /// List what can play: the rules, the built-in model and your own
    Models,
    /// List the devices that can compute models here, and where they really run
    Devices {
        /// Play bars on each, with pauses as in music, and remember the fastest for `auto`: half a minute
        #[arg(long)]
        measure: bool,

        /// The model to do it with: a name that `obbligato-cli models` shows, or a file [default: the built-in model]
        #[arg(long, value_name = "NAME")]
        generator: Option<String>,

        /// Say nothing on the way
        #[arg(short, long)]
        quiet: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  A band for a melody
      obbligato-cli accompany examples/ode_to_joy.mid -o ode.mid
  Calm hymn-like chords and bass on chords of your own (the plan repeats)
      obbligato-cli accompany song.mid -o out.mid --style hymn --temperature 0.6 \\
          --chords '| C | G/B | Am F | C G |'
  Everybody plays, along with a chord track, to the track called Lead
      obbligato-cli accompany song.mid -o out.mid --parts all --chords chords.mid --track lead
  All melodies of a folder, four at a time
      obbligato-cli accompany melodies/ -o accompanied/ --jobs 4
  A band for a melody that comes from another program
      obbligato-cli enhance song.mid -o - | obbligato-cli accompany - -o out.mid

Exit codes: 0 done; 2 a file or flag is wrong (in a folder: some file failed); 1 anything else.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Accompany {
    /// A MIDI file (format 0 or 1), a folder of them, or `-` for a file that comes in by stdin
    #[arg(value_name = "IN.mid|FOLDER")]
    pub input: PathBuf,

    /// The file to write, the folder to write to, or `-` for stdout; what is there is replaced
    #[arg(short, long, value_name = "OUT.mid|FOLDER")]
    pub output: PathBuf,

    /// What writes the music: `rules`, a name that `obbligato-cli models` shows, or a model file [default: the built-in model]
    #[arg(long, value_name = "NAME")]
    generator: Option<String>,

    /// Written for the melody as it is, or as in a jam, before each half bar is heard
    #[arg(long, value_enum, default_value_t = FollowFlag::Arrange)]
    follow: FollowFlag,

    #[arg(long, value_name = "STYLE", value_parser = style, allow_negative_numbers = true)]
    #[arg(help = style_help())]
    style: Option<f32>,

    /// How adventurous: 1 is as the model was trained
    #[arg(long, value_name = "0.1..2", value_parser = within(Settings::TEMPERATURE), allow_negative_numbers = true)]
    #[arg(default_value_t = Settings::default().temperature)]
    temperature: f32,

    /// How many notes: 0.5 leaves it to the band
    #[arg(long, value_name = "0..1", value_parser = within(Settings::DENSITY), allow_negative_numbers = true)]
    #[arg(default_value_t = Settings::default().density)]
    density: f32,

    /// More or fewer notes in a part than in the others: 0.5 is as --density says; as in bass=0.2,drums=0.8
    #[arg(long, value_name = "PART=0..1", value_delimiter = ',', value_parser = part_density)]
    part_density: Vec<(Part, f32)>,

    /// In a jam without chords: bars to listen to before the generator plays
    #[arg(long, value_name = "0..8", value_parser = clap::value_parser!(u8).range(0..=8), allow_negative_numbers = true)]
    #[arg(default_value_t = Settings::default().count_in)]
    count_in: u8,

    /// What the band does meanwhile
    #[arg(long, value_enum, default_value_t = CountInFlag::Rules)]
    count_in_band: CountInFlag,

    /// Chords to play: bars between `|`, or a text file of them, or a MIDI file with chords as markers or notes
    #[arg(long, value_name = "CHORDS|FILE")]
    pub chords: Option<String>,

    /// Another seed, another answer to the same melody
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..), allow_negative_numbers = true)]
    #[arg(default_value_t = Settings::default().seed)]
    seed: u32,

    /// The melody's track by name or number [default: by name, else the highest]
    #[arg(long, value_name = "N|NAME")]
    track: Option<TrackChoice>,

    /// Who plays along: `all`, or some of bass,chords,pad,counter,drums
    #[arg(long, value_name = "PARTS", value_delimiter = ',', value_parser = parts)]
    #[arg(default_value = "bass,chords")]
    parts: Vec<PerPart<bool>>,

    /// Show the chords that were played, as text for --chords
    #[arg(long)]
    pub show_chords: bool,

    /// Where models are computed: `auto`, or an id that `obbligato-cli devices` shows
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    device: Option<DeviceChoice>,

    /// An ONNX Runtime library to compute with [default: one that is found, else the built-in tract]
    #[arg(long, value_name = "PATH")]
    pub runtime: Option<PathBuf>,

    /// How many files of a folder are worked on at once [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,

    /// Say nothing but warnings and errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// What all commands have that work on the melody itself.
#[derive(Args)]
pub struct OfMelody {
    /// A MIDI file (format 0 or 1), or `-` for one that comes in by stdin
    #[arg(value_name = "IN.mid")]
    pub input: PathBuf,

    /// The file to write, or `-` for stdout; what is there is replaced
    #[arg(short, long, value_name = "OUT.mid")]
    pub output: PathBuf,

    /// The model to do it: a name that `obbligato-cli models` shows, or a file [default: the first of its kind]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    #[arg(long, value_name = "STYLE", value_parser = style, allow_negative_numbers = true)]
    #[arg(help = style_help())]
    style: Option<f32>,

    /// Another seed, another outcome
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..), allow_negative_numbers = true)]
    #[arg(default_value_t = Settings::default().seed)]
    pub seed: u32,

    /// The melody's track by name or number [default: by name, else the highest]
    #[arg(long, value_name = "N|NAME")]
    track: Option<TrackChoice>,

    /// Where models are computed: `auto`, or an id that `obbligato-cli devices` shows
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    device: Option<DeviceChoice>,

    /// An ONNX Runtime library to compute with [default: one that is found, else the built-in tract]
    #[arg(long, value_name = "PATH")]
    pub runtime: Option<PathBuf>,

    /// Say nothing but warnings and errors
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Args)]
#[command(after_help = "Exit codes: 0 done; 2 the file or a flag is wrong; 1 anything else.")]
pub struct Enhance {
    #[command(flatten)]
    pub melody: OfMelody,

    /// Notes at most that come in, in all
    #[arg(long, value_name = "N", default_value_t = enhancer::Wish::default().add as u32, allow_negative_numbers = true)]
    add: u32,

    /// Per cent of all notes, at most, that go
    #[arg(long, value_name = "0..100", value_parser = within(0.0..=100.0), allow_negative_numbers = true)]
    #[arg(default_value_t = 100.0 * EnhanceSettings::default().remove)]
    remove: f32,

    /// Passes in which it is done: more are more careful
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100), allow_negative_numbers = true)]
    #[arg(default_value_t = enhancer::Wish::default().iterations, visible_alias = "passes")]
    iterations: u32,

    /// Creative risk: at 0 only what is likelier than not
    #[arg(long, value_name = "0..2", value_parser = within(EnhanceSettings::RISK), allow_negative_numbers = true)]
    #[arg(default_value_t = enhancer::Wish::default().temperature, visible_alias = "risk")]
    temperature: f32,
}

#[derive(Args)]
#[command(after_help = "Exit codes: 0 done; 2 the file or a flag is wrong; 1 anything else.")]
pub struct Extend {
    #[command(flatten)]
    pub melody: OfMelody,

    /// Bars to write
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), allow_negative_numbers = true)]
    #[arg(default_value_t = extender::Wish::default().bars as u32)]
    bars: u32,

    /// Go on where this bar begins, counted from 1; what the file has from there on is replaced [default: after the last]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), allow_negative_numbers = true)]
    pub from: Option<u32>,

    /// Bars to listen back to
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000), allow_negative_numbers = true)]
    #[arg(default_value_t = extender::Wish::default().listen as u32)]
    listen: u32,

    /// Among which notes the next is drawn
    #[arg(long, value_enum, default_value_t = SamplingFlag::Nucleus)]
    sampling: SamplingFlag,

    /// Creative risk: 1 is as the model was trained, at 0 always the likeliest is taken
    #[arg(long, value_name = "0..2", value_parser = within(ExtendSettings::RISK), allow_negative_numbers = true)]
    #[arg(default_value_t = extender::Wish::default().temperature, visible_alias = "risk")]
    temperature: f32,

    /// Chords of the melody and of what comes: bars between `|`, or a text file of them, or a MIDI file with chords
    #[arg(long, value_name = "CHORDS|FILE")]
    pub chords: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum SamplingFlag {
    /// The likeliest that hold most of the chance together
    Nucleus,
    /// A dozen of the likeliest
    TopK,
    /// All that may come
    Random,
}

impl OfMelody {
    pub fn track(&self) -> TrackChoice {
        self.track.clone().unwrap_or_default()
    }

    fn style(&self) -> f32 {
        self.style.unwrap_or(Settings::default().style)
    }

    /// # Errors
    /// When the runtime's path cannot be made absolute.
    pub fn choice(&self) -> std::io::Result<GeneratorChoice> {
        choice(self.model.as_ref(), self.runtime.as_ref(), self.device)
    }
}

impl Enhance {
    pub fn wish(&self) -> enhancer::Wish {
        let Self { melody, add, remove, iterations, temperature } = self;
        enhancer::Wish {
            add: *add as usize,
            remove: enhancer::Removal::PerCent(*remove),
            iterations: *iterations,
            temperature: *temperature,
            style: melody.style(),
            seed: melody.seed.into(),
        }
    }
}

impl Extend {
    pub fn wish(&self) -> extender::Wish {
        extender::Wish {
            bars: self.bars as usize,
            listen: self.listen as usize,
            sampling: match self.sampling {
                SamplingFlag::Nucleus => Sampling::Nucleus,
                SamplingFlag::TopK => Sampling::TopK,
                SamplingFlag::Random => Sampling::Random,
            },
            temperature: self.temperature,
            style: self.melody.style(),
            seed: self.melody.seed.into(),
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum FollowFlag {
    /// As the plugin plays when it hears the melody for the first time
    Jam,
    /// As the plugin plays from the second time on
    Arrange,
}

#[derive(Clone, Copy, ValueEnum)]
enum CountInFlag {
    /// It plays by rule
    Rules,
    /// It rests
    Rests,
}

impl Accompany {
    pub fn settings(&self) -> Settings {
        let default = Settings::default();
        let on = |part| self.parts.iter().any(|chosen| chosen[part]);
        let density = |part| self.part_density.iter().rfind(|(of, _)| *of == part).map(|(_, density)| *density);
        let settings_of = |part| {
            let usual = PartSettings::of(part);
            PartSettings { on: on(part), density: density(part).unwrap_or(usual.density), ..usual }
        };
        Settings {
            temperature: self.temperature,
            style: self.style.unwrap_or(default.style),
            density: self.density,
            follow: match self.follow {
                FollowFlag::Jam => Follow::Jam,
                FollowFlag::Arrange => Follow::Arrange,
            },
            count_in: self.count_in,
            count_in_band: match self.count_in_band {
                CountInFlag::Rules => CountInBand::Rules,
                CountInFlag::Rests => CountInBand::Rests,
            },
            seed: self.seed,
            parts: PerPart::from_fn(settings_of),
            ..default
        }
    }

    pub fn track(&self) -> TrackChoice {
        self.track.clone().unwrap_or_default()
    }

    /// # Errors
    /// When the runtime's path cannot be made absolute.
    pub fn generator(&self) -> std::io::Result<GeneratorChoice> {
        choice(self.generator.as_ref(), self.runtime.as_ref(), self.device)
    }
}

fn choice(
    name: Option<&String>,
    library: Option<&PathBuf>,
    device: Option<DeviceChoice>,
) -> std::io::Result<GeneratorChoice> {
    let mut runtime = RuntimeChoice::from_environment();
    if let Some(path) = library {
        runtime.library = Some(std::path::absolute(path)?);
    }
    runtime.device = device.unwrap_or(runtime.device);
    Ok(GeneratorChoice { name: name.cloned(), runtime })
}

/// Reads a number and names the range if it lies outside.
fn within(range: RangeInclusive<f32>) -> impl Fn(&str) -> Result<f32, String> + Clone + Send + Sync {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("write a number from {} to {}", range.start(), range.end()))
    }
}

fn device(text: &str) -> Result<DeviceChoice, String> {
    match DeviceChoice::from_id(text) {
        DeviceChoice::Auto if !text.eq_ignore_ascii_case(DeviceChoice::Auto.id()) => {
            let ids = Device::ALL.map(Device::id).join(", ");
            Err(format!("write {}, {ids}", DeviceChoice::Auto.id()))
        }
        choice => Ok(choice),
    }
}

fn part_density(text: &str) -> Result<(Part, f32), String> {
    let (id, density) = text.split_once('=').ok_or("write a part, `=` and a number, as in bass=0.2")?;
    let part = part(id).map_err(|ids| format!("{id:?} is no part: they are {ids}"))?;
    Ok((part, within(Settings::DENSITY)(density)?))
}

fn style(text: &str) -> Result<f32, String> {
    style_from_text(text).ok_or_else(|| {
        format!("write a name or a number from {} to {}: {}", Style::BY_EAR, Style::LAST_POSITION, style_names())
    })
}

fn style_help() -> String {
    let default = style_text(Settings::default().style);
    format!("A name, its beginning, or a number that may lie between two: {} [default: {default}]", style_names())
}

fn style_names() -> String {
    let names: Vec<String> = style_stops().map(|(name, position)| format!("{position} {name}")).collect();
    names.join(", ")
}

fn parts(id: &str) -> Result<PerPart<bool>, String> {
    if id.trim().eq_ignore_ascii_case("all") {
        return Ok(PerPart::from_fn(Part::is_of_band));
    }
    let wanted = part(id).map_err(|ids| format!("write `all`, or some of {ids} with commas between"))?;
    Ok(PerPart::from_fn(|part| part == wanted))
}

/// The error is what it could be.
fn part(id: &str) -> Result<Part, String> {
    let found = Part::from_id(&id.trim().to_lowercase()).filter(|part| part.is_of_band());
    found.ok_or_else(|| Part::BAND.map(Part::id).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn settings_of(flags: &[&str]) -> Settings {
        let words = ["obbligato-cli", "accompany", "in.mid", "-o", "out.mid"].iter().chain(flags);
        let Command::Accompany(flags) = Arguments::parse_from(words).command else { panic!("accompany was asked for") };
        flags.settings()
    }

    #[test]
    fn the_flags_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn knobs_of_the_melody_have_their_names_in_the_plugin_too() {
        let words = |command: &'static str, flags: &[&'static str]| {
            let words = ["obbligato-cli", command, "in.mid", "-o", "out.mid"];
            Arguments::parse_from(words.iter().chain(flags)).command
        };
        let Command::Enhance(enhance) = words("enhance", &["--passes", "3", "--risk", "0.25"]) else {
            panic!("enhance was asked for")
        };
        assert_eq!((enhance.wish().iterations, enhance.wish().temperature), (3, 0.25));
        let Command::Extend(extend) = words("extend", &["--risk", "0.75"]) else { panic!("extend was asked for") };
        assert_eq!(extend.wish().temperature, 0.75);
    }

    #[test]
    fn without_flags_the_settings_are_the_usual_ones_arranged() {
        assert_eq!(settings_of(&[]), Settings { follow: Follow::Arrange, ..Settings::default() });
    }

    #[test]
    fn flags_fill_the_settings() {
        let flags = ["--style", "hymn", "--density", "0", "--parts", "drums,bass", "--follow", "jam", "--seed", "7"];
        let counting = settings_of(&["--count-in", "0", "--count-in-band", "rests"]);
        assert_eq!((counting.count_in, counting.count_in_band), (0, CountInBand::Rests));
        let settings = settings_of(&flags);
        assert_eq!((settings.style, settings.density, settings.seed), (1.0, 0.0, 7));
        assert_eq!(settings.follow, Follow::Jam);
        assert_eq!(Part::BAND.map(|part| settings.part_is_on(part)), [true, false, false, false, true]);
        let densities = settings_of(&["--part-density", "bass=0.2,drums=1", "--part-density", "bass=0"]);
        assert_eq!(Part::BAND.map(|part| densities.parts[part].density), [0.0, 0.5, 0.5, 0.5, 1.0]);
        for wrong in ["bass", "bass=2", "tuba=0.5", "=0.5", "bass=x"] {
            assert!(part_density(wrong).is_err(), "{wrong}");
        }
        let told = part_density("tuba=0.5").expect_err("no such part");
        assert_eq!(told, "\"tuba\" is no part: they are bass, chords, pad, counter, drums");
    }
}
