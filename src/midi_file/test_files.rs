//! Makes files byte by byte, for tests of what no well-behaved writer would write.

/// Quarter notes have this many ticks in test files.
pub const DIVISION: u16 = 96;

/// A file of `format` whose tracks have these events.
pub fn file(format: u16, tracks: &[Vec<u8>]) -> Vec<u8> {
    file_with_division(format, DIVISION, tracks)
}

pub fn file_with_division(format: u16, division: u16, tracks: &[Vec<u8>]) -> Vec<u8> {
    let mut header = Vec::new();
    for number in [format, tracks.len() as u16, division] {
        header.extend(number.to_be_bytes());
    }
    let mut bytes = chunk(b"MThd", &header);
    tracks.iter().for_each(|track| bytes.extend(chunk(b"MTrk", track)));
    bytes
}

pub fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [id.as_slice(), &(body.len() as u32).to_be_bytes(), body].concat()
}

/// Events as (ticks since the event before, bytes), with the end-of-track event that has to follow.
pub fn track(events: &[(u32, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (delta, event) in events.iter().chain(&[(0, [0xff, 0x2f, 0].as_slice())]) {
        bytes.extend(variable_length(*delta));
        bytes.extend(*event);
    }
    bytes
}

/// A track of quarter notes one after the other, with a name.
pub fn melody_track(name: &str, channel: u8, keys: &[u8]) -> Vec<u8> {
    let name = meta(3, name.as_bytes());
    let mut events: Vec<(u32, Vec<u8>)> = vec![(0, name)];
    for key in keys {
        events.push((0, vec![0x90 | channel, *key, 80]));
        events.push((u32::from(DIVISION), vec![0x80 | channel, *key, 0]));
    }
    let events: Vec<(u32, &[u8])> = events.iter().map(|(delta, event)| (*delta, event.as_slice())).collect();
    track(&events)
}

pub fn meta(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[0xff, kind], variable_length(data.len() as u32).as_slice(), data].concat()
}

fn variable_length(number: u32) -> Vec<u8> {
    let groups = (0..4).rev().map(|group| (number >> (7 * group)) as u8 & 0x7f);
    let mut bytes: Vec<u8> = groups.skip_while(|group| *group == 0).collect();
    if bytes.is_empty() {
        bytes.push(0);
    }
    let last = bytes.len() - 1;
    bytes[..last].iter_mut().for_each(|byte| *byte |= 0x80);
    bytes
}
