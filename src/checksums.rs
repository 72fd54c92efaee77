//! Files whose contents are known: a folder may hold a list of sums, as `sha256sum` writes it, and what is listed there
//! must be as it says. Pure but for reading files.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::Path;

/// The list of a folder.
pub const LIST: &str = "SHA256SUMS";

/// What the list of a file's folder says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is no list, or the file is not in it.
    Unlisted,
    Intact,
    /// Its contents are not those that were listed.
    Changed,
}

/// Compares a file with the list of its folder.
///
/// # Errors
/// When a file that is listed cannot be read.
pub fn check(path: &Path) -> io::Result<Verdict> {
    let list = path.parent().map(|folder| folder.join(LIST)).and_then(|list| std::fs::read_to_string(list).ok());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(expected) = list.as_deref().and_then(|list| listed(list, &name)) else { return Ok(Verdict::Unlisted) };
    let intact = of_file(path)?.eq_ignore_ascii_case(expected);
    Ok(if intact { Verdict::Intact } else { Verdict::Changed })
}

/// The sum of a file's contents, in hexadecimal digits.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(text(&hasher.finalize()))
}

/// The sum of what is in memory.
pub fn of_bytes(bytes: &[u8]) -> String {
    text(&Sha256::digest(bytes))
}

/// A line of a list.
pub fn line(sum: &str, name: &str) -> String {
    format!("{sum}  {name}\n")
}

fn text(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `sum  name`, or `sum *name`.
fn listed<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let entries = list.lines().filter_map(|line| line.split_once(' '));
    entries
        .map(|(sum, rest)| (sum, rest.trim_start_matches([' ', '*'])))
        .find(|(_, listed)| *listed == name)
        .map(|(sum, _)| sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST's example.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_file_is_compared_with_its_line() {
        let folder = std::env::temp_dir().join(format!("obbligato-sums-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("writable");
        let verdict = |name: &str| check(&folder.join(name)).expect("it can be read");
        write("model.onnx", "abc");
        assert_eq!(verdict("model.onnx"), Verdict::Unlisted, "there is no list");
        write(LIST, &[line(ABC, "model.onnx"), format!("{ABC} *other.onnx\n"), "nonsense\n".into()].concat());
        assert_eq!(verdict("model.onnx"), Verdict::Intact);
        write("other.onnx", "abd");
        assert_eq!(verdict("other.onnx"), Verdict::Changed);
        write("mine.onnx", "abd");
        assert_eq!(verdict("mine.onnx"), Verdict::Unlisted);
        assert!(check(&folder.join("nothing")).is_ok(), "what is not listed is not read");
        std::fs::remove_file(folder.join("model.onnx")).expect("it is ours");
        assert!(check(&folder.join("model.onnx")).is_err());
        std::fs::remove_dir_all(folder).expect("it was made above");
        assert_eq!(of_bytes(b"abc"), ABC);
    }
}
