//! What the metadata of a file claims, held against what is there before hdf5-pure believes it.
//!
//! hdf5-pure makes room for messages, members and records by the numbers that a file gives, and goes
//! as deep as types are nested. So every object header is gone through here first, by the same
//! grammar, without keeping anything: [`Guard::check_header`] fails when a header claims more than it
//! holds, and leaves all other faults to the decoder, which finds them itself. It takes one small read
//! for most headers, and 3 µs of the 22 in which the data and index of a Digital RF file are opened.
//!
//! Source: HDF5 File Format Specification 3.0, sections II.A (superblock), III.A.2 (B-trees of version
//! 2), IV.A.1 (object headers), IV.A.2 (messages: datatype, attribute, continuation).

use super::backend::RandomAccess;

/// So many messages or members may be claimed without being there: room for them is small.
const FREE_COUNT: usize = 64;
/// So deep may types be nested; HDF5's own files rarely go beyond three.
const MAX_DEPTH: usize = 32;
/// The same of B-trees, which have hundreds of entries in each node.
const MAX_TREE_DEPTH: u16 = 32;

/// The numbers of chunks that arrays are made for have so many bits at most; HDF5 says 32.
const MAX_BITS: u8 = 48;

const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// What is wrong, in words.
type Problem = String;

/// What has to be known of a file to go through its headers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Guard {
    /// Bytes of an address.
    offset_size: usize,
    /// Bytes of a length.
    length_size: usize,
    /// What addresses begin at.
    base: u64,
}

impl Guard {
    /// Reads the superblock; of a file that has none, nothing is ever checked, nor read.
    pub(super) fn new(access: &RandomAccess) -> Self {
        let mut at = 0;
        while at + 8 <= access.len() {
            let mut bytes = [0; 36];
            let len = bytes.len().min(usize::try_from(access.len() - at).unwrap_or(usize::MAX));
            if access.read_exact_at(&mut bytes[..len], at).is_err() {
                break;
            }
            if bytes.starts_with(&SIGNATURE) {
                let (sizes, base) = match bytes[8] {
                    0 => (13, 24),
                    1 => (13, 28),
                    _ => (9, 12),
                };
                let offset_size = usize::from(bytes[sizes]).min(8);
                let base = number(&bytes[base..base + offset_size]);
                return Self {
                    offset_size,
                    length_size: usize::from(bytes[sizes + 1]).min(8),
                    base,
                };
            }
            at = if at == 0 { 512 } else { at.saturating_mul(2) };
        }
        Self::default()
    }

    /// Goes through the object header at a place, if there is one, and gives how much it read.
    pub(super) fn check_header(&self, access: &RandomAccess, start: u64) -> Result<usize, Problem> {
        // Most headers are as short as this, so that one read is enough.
        let mut near = [0; 1024];
        let there = usize::try_from(access.len().saturating_sub(start)).unwrap_or(usize::MAX);
        let near = &mut near[..there.min(1024)];
        if access.read_exact_at(near, start).is_err() {
            return Ok(0);
        }
        let Some(mut header) = Header::new(near) else { return Ok(0) };
        let mut chunks = vec![(start.saturating_add(header.start), header.len)];
        let (mut bytes, mut total) = (Vec::new(), 0_u64);
        let mut types = Types::default();
        while let Some((at, len)) = chunks.pop() {
            total = total.saturating_add(len);
            let end = at.checked_add(len).filter(|&end| end <= access.len());
            let (Some(_), Ok(len)) = (end, usize::try_from(len)) else {
                let (had, end) = (access.len(), at.saturating_add(len));
                return Err(format!("the file is cut short: it has {had} of {end} bytes"));
            };
            if total > access.len() {
                return Err(format!("the header at {start} has no end"));
            }
            let in_near = at.checked_sub(start).and_then(|at| usize::try_from(at).ok());
            let chunk = match in_near.and_then(|at| near.get(at..at.checked_add(len)?)) {
                Some(chunk) => chunk,
                None => {
                    bytes.resize(len, 0);
                    if access.read_exact_at(&mut bytes, at).is_err() {
                        return Ok(0);
                    }
                    &bytes
                }
            };
            header.messages(chunk, |kind, shared, body| {
                match kind {
                    0x03 if !shared => types.check(body)?,
                    0x0C if !shared => types.check_attribute(body, self.offset_size)?,
                    0x10 if body.len() >= self.offset_size + self.length_size => {
                        let (address, rest) = body.split_at(self.offset_size);
                        let len = number(&rest[..self.length_size]);
                        chunks.push((number(address).saturating_add(self.base), len));
                    }
                    _ => {}
                }
                Ok(())
            })?;
        }
        if header.claimed > header.found.max(FREE_COUNT) {
            let (claimed, found) = (header.claimed, header.found);
            return Err(format!("a header claims {claimed} messages and has {found}"));
        }
        types.check_texts(access)?;
        Ok(usize::try_from(total).unwrap_or(usize::MAX))
    }

    /// Looks at other metadata, as it is read: an attribute that is kept outside of its header, or
    /// the beginning of a B-tree of version 2.
    pub(super) fn check_metadata(
        &self,
        access: &RandomAccess,
        bytes: &[u8],
    ) -> Result<(), Problem> {
        match bytes {
            [b'B', b'T', b'H', b'D', _, _, _, _, _, _, size @ ..] if size.len() >= 4 => {
                let (record, depth) = (number(&size[..2]), number(&size[2..4]));
                if record < 5 || depth > u64::from(MAX_TREE_DEPTH) {
                    return Err(format!("a tree has {depth} levels and records of {record} bytes"));
                }
                Ok(())
            }
            [b'E', b'A', b'H', b'D', _, _, _, bits, _, least, supers, page, ..] => {
                // The index block has an address for each data block of so many super blocks, the
                // number of which doubles with each two; room for them is made before it is read.
                let n_supers =
                    bits.saturating_sub((*least).max(1).trailing_zeros() as u8).saturating_add(1);
                let n = (*supers).min(n_supers);
                let blocks = (0..n.min(2 * MAX_BITS)).fold(0_u64, |sum, u| sum + (1 << (u / 2)));
                let bytes = blocks.saturating_mul(self.offset_size as u64);
                if *bits.max(page) > MAX_BITS || (n > 8 && bytes > access.len() / 4) {
                    return Err(format!("an array of 2^{bits} chunks claims {blocks} blocks"));
                }
                Ok(())
            }
            [b'F', b'A', b'H', b'D', _, _, _, bits, ..] if *bits > MAX_BITS => {
                Err(format!("an array claims pages of 2^{bits} chunks"))
            }
            [b'S', b'M', b'T', b'B', ..] => {
                Err("tables of shared messages are not read".to_owned())
            }
            [1..=3, 0..=3, ..] => {
                let mut types = Types::default();
                types.check_attribute(bytes, self.offset_size)?;
                types.check_texts(access)
            }
            _ => Ok(()),
        }
    }
}

/// An object header, as its beginning describes it.
#[derive(Debug)]
struct Header {
    version: u8,
    /// Where its first messages are, after its beginning, and how long they are.
    start: u64,
    len: u64,
    /// Bytes before each message.
    prefix: usize,
    /// Messages that there should be; not said in version 2.
    claimed: usize,
    /// Messages that there are.
    found: usize,
    is_first: bool,
}

impl Header {
    fn new(bytes: &[u8]) -> Option<Self> {
        let mut header =
            Self { version: 2, start: 0, len: 0, prefix: 4, claimed: 0, found: 0, is_first: true };
        match bytes {
            [b'O', b'H', b'D', b'R', 2, flags, ..] => {
                let times = if flags & 0x20 != 0 { 16 } else { 0 };
                let phases = if flags & 0x10 != 0 { 4 } else { 0 };
                let (at, width) = (6 + times + phases, 1 << (flags & 3));
                header.len = number(bytes.get(at..at + width)?);
                header.start = (at + width) as u64;
                header.prefix = if flags & 4 != 0 { 6 } else { 4 };
            }
            [1, _, n0, n1, _, _, _, _, size @ ..] if size.len() >= 8 => {
                header.version = 1;
                (header.start, header.len) = (16, number(&size[..4]));
                // As many of the least length would there have to be.
                let claimed = usize::from(u16::from_le_bytes([*n0, *n1]));
                header.claimed = claimed.min(usize::try_from(header.len / 8).unwrap_or(claimed));
                header.prefix = 8;
            }
            _ => return None,
        }
        Some(header)
    }

    /// Calls `look(type, is shared, body)` for each message of a chunk, as far as they are whole.
    fn messages(
        &mut self,
        bytes: &[u8],
        mut look: impl FnMut(u16, bool, &[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut rest = match (self.version, self.is_first) {
            (2, false) => bytes.get(4..bytes.len().saturating_sub(4)).unwrap_or_default(),
            _ => bytes,
        };
        self.is_first = false;
        while let Some((prefix, after)) = rest.split_at_checked(self.prefix) {
            let (kind, len, flags) = match self.version {
                1 => (
                    u16::from_le_bytes([prefix[0], prefix[1]]),
                    u16::from_le_bytes([prefix[2], prefix[3]]),
                    prefix[4],
                ),
                _ => (u16::from(prefix[0]), u16::from_le_bytes([prefix[1], prefix[2]]), prefix[3]),
            };
            let Some((body, after)) = after.split_at_checked(usize::from(len)) else { break };
            self.found += 1;
            look(kind, flags & 2 != 0, body)?;
            rest = after;
        }
        Ok(())
    }
}

/// What the types of an object come to.
#[derive(Debug, Default)]
struct Types {
    /// Members of compounds and enumerations, as claimed.
    members: usize,
    /// Bytes of texts of any length, as claimed by the attributes that refer to them.
    texts: u64,
}

impl Types {
    /// Checks a datatype. One that ends too early is left to the decoder when it claims little.
    fn check(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        match self.walk(bytes, 0)? {
            None if self.members > FREE_COUNT => {
                Err(format!("a type claims {} members and ends too early", self.members))
            }
            _ => Ok(()),
        }
    }

    /// Checks the datatype of an attribute, and what its values refer to.
    fn check_attribute(&mut self, bytes: &[u8], offset_size: usize) -> Result<(), Problem> {
        let Some((&[version, flags, ..], fields)) = bytes.split_first_chunk::<8>() else {
            return Ok(());
        };
        let [name, datatype, dataspace] = [2, 4, 6].map(|at| number(&bytes[at..at + 2]) as usize);
        let padded = |len: usize| if version == 1 { len.next_multiple_of(8) } else { len };
        let encoding = usize::from(version == 3);
        let Some(fields) = fields.get(encoding + padded(name)..) else { return Ok(()) };
        let Some(described) = fields.get(..datatype) else { return Ok(()) };
        if version > 1 && flags & 1 != 0 {
            return Ok(()); // the type is kept in a header of its own
        }
        self.check(described)?;
        let values = fields.get(padded(datatype) + padded(dataspace)..).unwrap_or_default();
        if described.first().is_some_and(|class| class & 15 == 9) {
            // Each is a length, the address of a heap and a number in it.
            for value in values.chunks_exact(8 + offset_size) {
                self.texts = self.texts.saturating_add(number(&value[..4]));
            }
        }
        Ok(())
    }

    /// Checks that the texts that attributes refer to can all be in the file.
    fn check_texts(&self, access: &RandomAccess) -> Result<(), Problem> {
        if self.texts > access.len() {
            let (texts, len) = (self.texts, access.len());
            return Err(format!("attributes claim {texts} bytes of text in a file of {len}"));
        }
        Ok(())
    }

    /// Goes through a datatype and gives its length; none when it ends too early or is not known.
    fn walk(&mut self, bytes: &[u8], depth: usize) -> Result<Option<usize>, Problem> {
        if depth > MAX_DEPTH {
            return Err(format!("types are nested more than {MAX_DEPTH} deep"));
        }
        let Some((&[class, count_low, count_high, _, size @ ..], _)) =
            bytes.split_first_chunk::<8>()
        else {
            return Ok(None);
        };
        let (class, version) = (class & 15, class >> 4);
        let count = usize::from(u16::from_le_bytes([count_low, count_high]));
        let mut at = 8;
        match class {
            0 | 4 => at += 4,
            1 => at += 12,
            2 => at += 2,
            3 | 7 => {}
            5 => at += usize::from(count_low).next_multiple_of(8),
            6 | 11 => {
                self.members += count;
                let wide = class == 6 && version < 3;
                // The place of the member in the compound, after an old description of arrays.
                let place = match (version, number(&size)) {
                    (1, _) if wide => 32,
                    (_, 0..=0xff) if !wide => 1,
                    (_, 0x100..=0xffff) if !wide => 2,
                    _ => 4,
                };
                for _ in 0..count {
                    let Some(name) = self.name(bytes, at)? else { return Ok(None) };
                    at += if wide { name.next_multiple_of(8) } else { name } + place;
                    let member = bytes.get(at..).unwrap_or_default();
                    let Some(len) = self.walk(member, depth + 1)? else { return Ok(None) };
                    at += len;
                }
            }
            8 => {
                self.members += count;
                let base = bytes.get(at..).unwrap_or_default();
                let Some(len) = self.walk(base, depth + 1)? else { return Ok(None) };
                at += len;
                for _ in 0..count {
                    let Some(name) = self.name(bytes, at)? else { return Ok(None) };
                    at += if version < 3 { name.next_multiple_of(8) } else { name };
                }
                at = at.saturating_add(count.saturating_mul(number(&base[4..8]) as usize));
            }
            9 | 10 => {
                if class == 10 {
                    let Some(&n) = bytes.get(at) else { return Ok(None) };
                    at +=
                        if version == 2 { 4 + 8 * usize::from(n) } else { 1 + 4 * usize::from(n) };
                }
                let base = bytes.get(at..).unwrap_or_default();
                let Some(len) = self.walk(base, depth + 1)? else { return Ok(None) };
                at += len;
            }
            _ => return Ok(None),
        }
        Ok((at <= bytes.len()).then_some(at))
    }

    /// The length of a name with the zero at its end. Names differ, so only damage leaves out many.
    fn name(&self, bytes: &[u8], at: usize) -> Result<Option<usize>, Problem> {
        let len = bytes.get(at..).and_then(|name| name.iter().position(|&byte| byte == 0));
        if len == Some(0) && self.members > FREE_COUNT {
            return Err("a type has members without a name".to_owned());
        }
        Ok(len.map(|len| len + 1))
    }
}

/// A number of up to eight bytes, the least significant first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INT: [u8; 12] = [0x10, 8, 0, 0, 2, 0, 0, 0, 0, 0, 16, 0];

    /// A type of a class and version, with its bit field and its properties.
    fn datatype(class: u8, bits: u16, properties: &[u8]) -> Vec<u8> {
        let [low, high] = bits.to_le_bytes();
        [&[class, low, high, 0, 4, 0, 0, 0], properties].concat()
    }

    /// Names that differ, in bytes.
    fn names(n: u16) -> impl Iterator<Item = Vec<u8>> {
        (0..n).map(|k| format!("m{k}\0").into_bytes())
    }

    fn compound(claimed: u16, n: u16) -> Vec<u8> {
        let members: Vec<u8> = names(n).flat_map(|name| [&name[..], &[0], &INT].concat()).collect();
        datatype(0x36, claimed, &members)
    }

    fn enumeration(claimed: u16, n: u16) -> Vec<u8> {
        let names: Vec<u8> = names(n).flatten().collect();
        datatype(0x38, claimed, &[&INT[..], &names, &vec![0; 2 * usize::from(n)]].concat())
    }

    fn check(bytes: &[u8]) -> Result<(), Problem> {
        Types::default().check(bytes)
    }

    #[test]
    fn members_that_are_there_may_be_as_many_as_they_like_and_no_others() {
        for kind in [compound, enumeration] {
            for n in [1, 2, 64, 65, 2000] {
                check(&kind(n, n)).unwrap();
                // Room for a few is small, and the decoder says what is wrong.
                assert_eq!(check(&kind(n + 1, n)).is_ok(), n < 64, "{n}");
            }
            for claimed in [65, 0x8002, u16::MAX] {
                check(&kind(claimed, 2)).unwrap_err();
            }
        }
        check(&datatype(0x38, 3000, &[&INT[..], &[0; 9000]].concat())).unwrap_err();
    }

    #[test]
    fn the_layouts_of_all_versions_are_understood() {
        let padded = b"r\0\0\0\0\0\0\0\0\0\0\0";
        let dims = [0; 28];
        for (version, member) in
            [(1, [&padded[..], &dims, &INT].concat()), (2, [&padded[..], &INT].concat())]
        {
            let bytes = datatype(version << 4 | 6, 100, &member.repeat(100));
            assert_eq!(Types::default().walk(&bytes, 0), Ok(Some(bytes.len())), "{version}");
        }
        for bytes in [
            INT.to_vec(),
            datatype(0x11, 0, &[0; 12]),
            datatype(0x13, 0, &[]),
            datatype(0x15, 8, b"a tag\0\0\0"),
            datatype(0x19, 1, &datatype(0x13, 0, &[])),
            datatype(0x2A, 0, &[&[1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0][..], &INT].concat()),
            datatype(0x3A, 0, &[&[1, 5, 0, 0, 0][..], &compound(2, 2)].concat()),
        ] {
            assert_eq!(Types::default().walk(&bytes, 0), Ok(Some(bytes.len())), "{bytes:02x?}");
            assert_eq!(Types::default().walk(&bytes[..bytes.len() - 1], 0), Ok(None));
        }
    }

    #[test]
    fn arrays_of_chunks_have_no_more_blocks_than_there_is_room_for() {
        let (file, _) = header(0, 4000, &[0; 4000]);
        let access = RandomAccess::open(file.path()).unwrap();
        let guard = Guard::new(&access);
        // Bits, elements inside, least elements of a block, super blocks inside, bits of a page.
        for (array, is_sound) in [
            ([32, 4, 16, 4, 10], true),
            ([32, 4, 16, 36, 10], false),
            ([255, 4, 16, 255, 10], false),
            ([255, 4, 16, 4, 10], false),
            ([32, 4, 0, 4, 10], true),
            ([32, 4, 16, 4, 64], false),
        ] {
            let bytes = [b"EAHD\0\0\x08", &array[..], &[0; 60]].concat();
            assert_eq!(guard.check_metadata(&access, &bytes).is_ok(), is_sound, "{array:?}");
        }
    }

    #[test]
    fn types_are_not_followed_without_end() {
        let nested = |n: usize| (0..n).fold(INT.to_vec(), |inner, _| datatype(0x19, 0, &inner));
        check(&nested(MAX_DEPTH)).unwrap();
        check(&nested(MAX_DEPTH + 1)).unwrap_err();
        check(&nested(8000)).unwrap_err();
    }

    #[test]
    fn attributes_refer_to_no_more_text_than_there_is() {
        let text = datatype(0x19, 1, &datatype(0x13, 0, &[]));
        let mut attribute = vec![1, 0, 2, 0, text.len() as u8, 0, 8, 0];
        attribute.extend(b"a\0\0\0\0\0\0\0");
        attribute.extend(&text);
        attribute.extend([0; 8]);
        for len in [100_u32, 200] {
            attribute.extend(len.to_le_bytes());
            attribute.extend([0; 12]);
        }
        let mut types = Types::default();
        types.check_attribute(&attribute, 8).unwrap();
        assert_eq!(types.texts, 300);
    }

    /// A file with a superblock and one header of version 1.
    fn header(count: u16, len: u32, messages: &[u8]) -> (tempfile::NamedTempFile, u64) {
        let mut bytes = vec![0; 96];
        bytes[..8].copy_from_slice(&SIGNATURE);
        (bytes[13], bytes[14]) = (8, 8);
        bytes.extend([1, 0]);
        bytes.extend(count.to_le_bytes());
        bytes.extend([1, 0, 0, 0]);
        bytes.extend(len.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(messages);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        (file, 96)
    }

    #[test]
    fn a_header_holds_what_it_claims() {
        let message = |kind: u16, body: &[u8]| {
            let len = body.len() as u16;
            [&kind.to_le_bytes()[..], &len.to_le_bytes(), &[0; 4], body].concat()
        };
        let two = [message(3, &compound(2, 2)), message(1, &[0; 8])].concat();
        let n = two.len() as u32;
        let loops = message(0x10, &[112_u64.to_le_bytes(), 24_u64.to_le_bytes()].concat());
        let many = message(0, &[]).repeat(500);
        for (count, len, messages, problem) in [
            (2, n, &two, None),
            (9, n, &two, None),
            (2, n + 1, &two, Some("cut short")),
            (u16::MAX, u32::MAX, &two, Some("cut short")),
            (1, n, &message(3, &compound(300, 2)), Some("cut short")),
            (1, 48, &message(3, &compound(300, 2)), Some("300 members")),
            (1, 24, &loops, Some("no end")),
            (500, 4000, &many, None),
            (
                500,
                4000,
                &[many[..3992].to_vec(), vec![1, 0, 9, 0, 0, 0, 0, 0]].concat(),
                Some("500 messages"),
            ),
        ] {
            let (file, at) = header(count, len, messages);
            let access = RandomAccess::open(file.path()).unwrap();
            let result = Guard::new(&access).check_header(&access, at).map(drop);
            match problem {
                None => result.unwrap(),
                Some(problem) => {
                    let said = result.unwrap_err();
                    assert!(said.contains(problem), "{said}, not {problem}");
                }
            }
        }
    }
}
