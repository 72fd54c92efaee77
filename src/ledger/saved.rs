//! The ledger as text in the plugin's saved state (`docs/state.md`): versioned, compact, and read with suspicion.
//!
//! What is written stands in structures of its own, one set a version: these never change, however the ledger does.

mod bars;
mod v1;
mod v2;
mod v3;

use super::Ledger;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};
use serde::de::DeserializeOwned;

/// The version that is written. Each one below it is still read.
const VERSION: u32 = 3;
/// Bytes of a song when it is unpacked: days of a busy band, which takes some 650 a bar. More would be no song, but a way to
/// take a host's memory.
const LARGEST: usize = 256 << 20;
/// 0..=10; more takes much longer for a percent or two.
const COMPRESSION: u8 = 6;

/// Why a saved song cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    #[error(
        "the band's bars in this project were saved by a later Obbligato (format {0}; this one reads up to {VERSION}): update it to hear them; they stay in the project until something new is played"
    )]
    Later(u32),
    #[error(
        "the band's bars in this project are damaged ({0}), so they are written anew; they stay in the project until something new is played"
    )]
    Damaged(&'static str),
}

/// The ledger as text; empty for an empty one.
pub fn to_text(ledger: &Ledger) -> String {
    if ledger.is_empty() {
        return String::new();
    }
    let bytes = postcard::to_allocvec(&v3::Song::of(ledger)).expect("plain data is written into memory");
    format!("{VERSION}:{}", BASE64_STANDARD.encode(compress_to_vec_zlib(&bytes, COMPRESSION)))
}

/// Reads what this or an earlier version wrote.
///
/// # Errors
/// When it is of a later version, or not what was written. The words are for the user.
pub fn from_text(text: &str) -> Result<Ledger, SavedError> {
    if text.is_empty() {
        return Ok(Ledger::default());
    }
    let (version, packed) = text.split_once(':').ok_or(SavedError::Damaged("it has no version"))?;
    match version.parse() {
        Ok(1) => read::<v1::Song>(packed)?.ledger().ok_or(NO_SONG),
        Ok(2) => read::<v2::Song>(packed)?.ledger().ok_or(NO_SONG),
        Ok(3) => read::<v3::Song>(packed)?.ledger().ok_or(NO_SONG),
        Ok(later) if later > VERSION => Err(SavedError::Later(later)),
        Ok(_) | Err(_) => Err(SavedError::Damaged("its version is not a number from 1 on")),
    }
}

const NO_SONG: SavedError = SavedError::Damaged("there are things in it that no song has");

fn read<Song: DeserializeOwned>(packed: &str) -> Result<Song, SavedError> {
    postcard::from_bytes(&unpacked(packed, LARGEST)?).map_err(|_| SavedError::Damaged("it breaks off"))
}

fn unpacked(text: &str, largest: usize) -> Result<Vec<u8>, SavedError> {
    let packed = BASE64_STANDARD.decode(text).map_err(|_| SavedError::Damaged("it is not whole"))?;
    decompress_to_vec_zlib_with_limit(&packed, largest).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => SavedError::Damaged("it is larger than any song"),
        _ => SavedError::Damaged("its check sum is wrong"),
    })
}

#[cfg(test)]
mod tests;
