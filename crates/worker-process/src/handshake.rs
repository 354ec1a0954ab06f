//! The first two frames: who the worker is, and what it is to do.

use std::time::Duration;

use crate::channel::wire::{Reader, Writer};
use crate::role::{PROTOCOL, executable_id};
use crate::sync::wait::WaitPolicy;

/// The version of this crate; a worker has to have the same as its parent.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The first frame, from the worker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    protocol: u64,
    version: String,
    executable: [u64; 3],
    nonce: u128,
    identity: Vec<u8>,
}

impl Hello {
    /// What this process says of itself.
    pub(crate) fn of_this_process(nonce: u128, identity: &[u8]) -> Self {
        let (version, identity) = (VERSION.to_owned(), identity.to_vec());
        Self { protocol: PROTOCOL, version, executable: executable_id(), nonce, identity }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        // The protocol comes first in every version of it.
        out.u64(self.protocol).bytes(self.version.as_bytes());
        let [dev, ino, len] = self.executable;
        out.u64(dev).u64(ino).u64(len).u128(self.nonce).bytes(&self.identity);
        out.bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let hello = Self {
            protocol: from.u64()?,
            version: from.text()?,
            executable: [from.u64()?, from.u64()?, from.u64()?],
            nonce: from.u128()?,
            identity: from.bytes()?.to_vec(),
        };
        from.0.is_empty().then_some(hello)
    }

    /// The first thing that differs: its name, what was found, what was expected.
    pub(crate) fn difference(
        &self,
        expected: &Self,
        same_executable: bool,
    ) -> Option<(&'static str, String, String)> {
        let text = |value: &[u8]| value.escape_ascii().to_string();
        if self.protocol != expected.protocol {
            let (found, expected) = (self.protocol.to_string(), expected.protocol.to_string());
            return Some(("protocol", found, expected));
        }
        if self.version != expected.version {
            return Some(("version", self.version.clone(), expected.version.clone()));
        }
        if self.nonce != expected.nonce {
            let (found, expected) = (format!("{:x}", self.nonce), format!("{:x}", expected.nonce));
            return Some(("nonce", found, expected));
        }
        if same_executable && self.executable != expected.executable {
            let id = |[dev, ino, len]: [u64; 3]| format!("device {dev} inode {ino}, {len} bytes");
            return Some(("executable", id(self.executable), id(expected.executable)));
        }
        if self.identity != expected.identity {
            return Some(("identity", text(&self.identity), text(&expected.identity)));
        }
        None
    }
}

/// The answer, from the parent. With it go the rings' memory and the two bells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) index: u64,
    pub(crate) n_workers: u64,
    pub(crate) generation: u64,
    pub(crate) policy: WaitPolicy,
    pub(crate) wake_cost: Duration,
    pub(crate) crowded: bool,
    pub(crate) ring_words: u64,
    pub(crate) max_frame: u64,
    /// The core to run on.
    pub(crate) core: Option<u64>,
    pub(crate) greeting: Vec<u8>,
}

impl Welcome {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let policy = match self.policy {
            WaitPolicy::Spin => 0,
            WaitPolicy::Adaptive => 1,
            WaitPolicy::Block => 2,
            WaitPolicy::Yield => 3,
        };
        let cost = u64::try_from(self.wake_cost.as_nanos()).unwrap_or(u64::MAX);
        let mut out = Writer::default();
        out.u64(self.index).u64(self.n_workers).u64(self.generation);
        out.u64(policy).u64(cost).u64(self.crowded.into());
        out.u64(self.ring_words).u64(self.max_frame);
        out.u64(self.core.map_or(0, |core| core + 1)).bytes(&self.greeting);
        out.bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let welcome = Self {
            index: from.u64()?,
            n_workers: from.u64()?,
            generation: from.u64()?,
            policy: match from.u64()? {
                0 => WaitPolicy::Spin,
                1 => WaitPolicy::Adaptive,
                2 => WaitPolicy::Block,
                3 => WaitPolicy::Yield,
                _ => return None,
            },
            wake_cost: Duration::from_nanos(from.u64()?),
            crowded: from.u64()? != 0,
            ring_words: from.u64()?,
            max_frame: from.u64()?,
            core: from.u64()?.checked_sub(1),
            greeting: from.bytes()?.to_vec(),
        };
        from.0.is_empty().then_some(welcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_survive_the_way_and_short_ones_are_refused() {
        let hello = Hello::of_this_process(1 << 100, b"tasks 7");
        let bytes = hello.encode();
        assert_eq!(Hello::decode(&bytes), Some(hello));
        (0..bytes.len()).for_each(|len| assert_eq!(Hello::decode(&bytes[..len]), None));

        let welcome = Welcome {
            index: 3,
            n_workers: 4,
            generation: 2,
            policy: WaitPolicy::Block,
            wake_cost: Duration::from_nanos(12_345),
            crowded: true,
            ring_words: 1 << 13,
            max_frame: 1 << 24,
            core: Some(0),
            greeting: b"hello".to_vec(),
        };
        let bytes = welcome.encode();
        assert_eq!(Welcome::decode(&bytes), Some(welcome));
        (0..bytes.len()).for_each(|len| assert_eq!(Welcome::decode(&bytes[..len]), None));
    }

    #[test]
    fn each_difference_has_its_name() {
        let ours = Hello::of_this_process(1, b"a");
        let differs = |change: fn(&mut Hello)| {
            let mut theirs = Hello::of_this_process(1, b"a");
            change(&mut theirs);
            theirs.difference(&ours, true).map(|(what, ..)| what)
        };
        assert_eq!(differs(|_| ()), None);
        assert_eq!(differs(|hello| hello.protocol += 1), Some("protocol"));
        assert_eq!(differs(|hello| hello.version.push('x')), Some("version"));
        assert_eq!(differs(|hello| hello.nonce += 1), Some("nonce"));
        assert_eq!(differs(|hello| hello.executable[1] += 1), Some("executable"));
        assert_eq!(differs(|hello| hello.identity.push(0)), Some("identity"));
    }
}
