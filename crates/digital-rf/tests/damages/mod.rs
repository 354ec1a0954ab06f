//! Ways to damage a file.

use std::{
    fmt, fs,
    io::{self, Seek as _, SeekFrom, Write as _},
    path::Path,
};

/// Lengths that each file is cut to, evenly.
const CUTS: usize = 64;
/// Bytes of its headers of which a bit is turned, at most, evenly.
const HEADER_FLIPS: usize = 512;
/// Of each of the other kinds, so many.
const EACH: usize = 48;

/// What HDF5's structures begin with.
const SIGNATURES: [&[u8; 4]; 16] = [
    b"TREE", b"HEAP", b"SNOD", b"OHDR", b"OCHK", b"FRHP", b"FHDB", b"FHIB", b"FAHD", b"FADB",
    b"EAHD", b"EAIB", b"EADB", b"GCOL", b"BTHD", b"BTLF",
];

/// Sizes, counts and addresses that no file has.
const HUGE: [u64; 6] = [u64::MAX, u64::MAX - 1, i64::MAX as u64, 1 << 40, u32::MAX as u64, 0xffff];

/// A generator of numbers that are the same each time (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// One way to damage a file.
#[derive(Debug, Clone)]
pub(crate) enum Damage {
    /// Its first bytes are left.
    Cut(usize),
    /// Bytes at these places are others.
    Patch(Vec<(usize, Vec<u8>)>),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(len) => write!(f, "cut to {len}"),
            Self::Patch(patches) => {
                patches.iter().try_for_each(|(at, bytes)| write!(f, "{bytes:02x?} at {at}; "))
            }
        }
    }
}

impl Damage {
    /// Does it to a whole file, and gives how long the file is then.
    pub(crate) fn inflict(&self, path: &Path, whole: &[u8]) -> io::Result<usize> {
        match self {
            Self::Cut(len) => {
                let file = fs::File::options().write(true).open(path)?;
                file.set_len(*len as u64).map(|()| *len)
            }
            Self::Patch(patches) => {
                let patches = patches.iter().map(|(at, bytes)| (*at, &bytes[..]));
                write_at(path, patches).map(|()| whole.len())
            }
        }
    }

    /// Makes the file whole again.
    pub(crate) fn heal(&self, path: &Path, whole: &[u8]) -> io::Result<()> {
        match self {
            Self::Cut(len) => write_at(path, [(*len, &whole[*len..])]),
            Self::Patch(patches) => {
                let patches =
                    patches.iter().map(|(at, bytes)| (*at, &whole[*at..*at + bytes.len()]));
                write_at(path, patches)
            }
        }
    }
}

fn write_at<'a>(
    path: &Path,
    patches: impl IntoIterator<Item = (usize, &'a [u8])>,
) -> io::Result<()> {
    let mut file = fs::File::options().write(true).open(path)?;
    patches.into_iter().try_for_each(|(at, bytes)| {
        file.seek(SeekFrom::Start(at as u64))?;
        file.write_all(bytes)
    })
}

/// Where structures begin.
pub(crate) fn structures(bytes: &[u8]) -> Vec<usize> {
    let is_one = |at: &usize| SIGNATURES.iter().any(|&s| bytes[*at..].starts_with(s));
    (0..bytes.len()).filter(is_one).collect()
}

/// The places of bytes that steer a reader: the beginning, where the first headers are, and what
/// follows upon a signature.
fn header_bytes(whole: &[u8]) -> Vec<usize> {
    let mut is_header = vec![false; whole.len()];
    is_header.iter_mut().take(4096).for_each(|is| *is = true);
    for at in structures(whole) {
        is_header[at..].iter_mut().take(512).for_each(|is| *is = true);
    }
    (0..whole.len()).filter(|&at| is_header[at]).collect()
}

/// The structures of a whole file that end in a checksum, and how long they are before it.
fn summed(whole: &[u8]) -> Vec<(usize, usize)> {
    let len_of = |&at: &usize| {
        let ends_in_sum = |&len: &usize| {
            let stored = whole.get(at + len..at + len + 4)?;
            (*stored == lookup3(&whole[at..at + len]).to_le_bytes()).then_some(())
        };
        (8..1024).find(|len| ends_in_sum(len).is_some()).map(|len| (at, len))
    };
    structures(whole).iter().filter_map(len_of).collect()
}

/// The same damage by one who knows about checksums; none where nothing has one.
fn with_sums(damage: &Damage, whole: &[u8], summed: &[(usize, usize)]) -> Option<Damage> {
    let Damage::Patch(patches) = damage else { return None };
    let mut damaged = whole.to_vec();
    for (at, bytes) in patches {
        damaged[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    let touched = |&&(at, len): &&(usize, usize)| {
        patches.iter().any(|(p, bytes)| *p < at + len && p + bytes.len() > at)
    };
    let sums: Vec<_> = summed
        .iter()
        .filter(touched)
        .map(|&(at, len)| (at + len, lookup3(&damaged[at..at + len]).to_le_bytes().to_vec()))
        .collect();
    (!sums.is_empty()).then(|| Damage::Patch(patches.iter().cloned().chain(sums).collect()))
}

/// The checksum of HDF5's metadata: Jenkins' lookup3 (public domain, 2006), `hashlittle` from 0.
fn lookup3(bytes: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32);
    let [mut a, mut b, mut c] = [start; 3];
    let mut blocks = bytes.chunks(12).peekable();
    while let Some(block) = blocks.next() {
        let mut words = [0_u32; 3];
        for (k, &byte) in block.iter().enumerate() {
            words[k / 4] |= u32::from(byte) << (8 * (k % 4));
        }
        a = a.wrapping_add(words[0]);
        b = b.wrapping_add(words[1]);
        c = c.wrapping_add(words[2]);
        if blocks.peek().is_none() {
            for bits in [[14, 11, 25], [16, 4, 14]] {
                c = (c ^ b).wrapping_sub(b.rotate_left(bits[0]));
                a = (a ^ c).wrapping_sub(c.rotate_left(bits[1]));
                b = (b ^ a).wrapping_sub(a.rotate_left(bits[2]));
            }
            return (c ^ b).wrapping_sub(b.rotate_left(24));
        }
        for bits in [[4, 6, 8], [16, 19, 4]] {
            a = a.wrapping_sub(c) ^ c.rotate_left(bits[0]);
            c = c.wrapping_add(b);
            b = b.wrapping_sub(a) ^ a.rotate_left(bits[1]);
            a = a.wrapping_add(c);
            c = c.wrapping_sub(b) ^ b.rotate_left(bits[2]);
            b = b.wrapping_add(a);
        }
    }
    c
}

/// Every way in which a file is damaged.
pub(crate) fn damages(whole: &[u8], numbers: &mut Numbers) -> Vec<Damage> {
    let (n, starts, header) = (whole.len(), structures(whole), header_bytes(whole));
    let fitting = |mut bytes: Vec<u8>, at: usize| {
        bytes.truncate(n - at);
        (at, bytes)
    };
    let mut all = Vec::new();
    all.extend((0..CUTS).map(|k| Damage::Cut(k * n / CUTS)));
    all.extend([1, 7, 8, 48, 96, n - 1].map(Damage::Cut));
    all.extend(starts.iter().flat_map(|&at| [at, at + 4]).take(CUTS).map(Damage::Cut));
    // One bit in each byte of the headers, or as many of them as there is time for, and some in
    // the rest.
    let step = header.len().div_ceil(HEADER_FLIPS);
    let first = numbers.below(step);
    let flip = |at: usize, bit: usize| Damage::Patch(vec![(at, vec![whole[at] ^ 1 << bit])]);
    all.extend(header.iter().skip(first).step_by(step).map(|&at| flip(at, numbers.below(8))));
    all.extend((0..EACH).map(|_| flip(numbers.below(n), numbers.below(8))));
    // Runs of ones and of zeros.
    for _ in 0..EACH {
        let (at, len) = (numbers.one_of(&header), 1 << numbers.below(7));
        all.push(Damage::Patch(vec![fitting(vec![numbers.one_of(&[0, 0xff]); len], at)]));
    }
    // Numbers of every width, where a number may be.
    let huge = |numbers: &mut Numbers| {
        let width = numbers.one_of(&[2, 4, 8]);
        let at = numbers.one_of(&header) / 2 * 2;
        let near = [n as u64, n as u64 - 1, n as u64 / 2, at as u64];
        let value =
            if numbers.below(2) == 0 { numbers.one_of(&HUGE) } else { numbers.one_of(&near) };
        fitting(value.to_le_bytes()[..width].to_vec(), at)
    };
    all.extend((0..2 * EACH).map(|_| Damage::Patch(vec![huge(numbers)])));
    all.extend((0..EACH).map(|_| Damage::Patch(vec![huge(numbers), huge(numbers)])));
    // Messages, entries and whole structures that change places: they begin at multiples of eight.
    for _ in 0..EACH {
        let len = 8 << numbers.below(6);
        let place = |numbers: &mut Numbers| {
            let at = if numbers.below(2) == 0 || starts.is_empty() {
                numbers.one_of(&header) / 8 * 8
            } else {
                numbers.one_of(&starts)
            };
            at.min(n.saturating_sub(len))
        };
        let (a, b) = (place(numbers), place(numbers));
        let bytes = |at: usize| fitting(whole[at..].iter().copied().take(len).collect(), at).1;
        all.push(Damage::Patch(vec![(a, bytes(b)), (b, bytes(a))]));
    }
    // A checksum keeps a reader from most of them; so once more with one that fits.
    let summed = summed(whole);
    let known: Vec<_> = all.iter().filter_map(|damage| with_sums(damage, whole, &summed)).collect();
    all.extend(known);
    all
}
