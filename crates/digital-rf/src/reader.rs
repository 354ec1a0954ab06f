//! Products: finding their channels.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{Channel, ReadError};

/// The channels in one or several folders.
///
/// A channel is a folder with properties; one that is in several of the folders is one channel,
/// recorded in turns.
#[derive(Debug, Clone)]
pub struct Reader {
    tops: Vec<PathBuf>,
    channels: BTreeMap<String, Vec<PathBuf>>,
}

impl Reader {
    /// Finds the channels in a folder.
    ///
    /// # Errors
    ///
    /// [`ReadError::List`], [`ReadError::IsChannel`], [`ReadError::NoChannels`].
    pub fn open(top: impl AsRef<Path>) -> Result<Self, ReadError> {
        Self::open_all([top])
    }

    /// Finds the channels in several folders.
    ///
    /// # Errors
    ///
    /// [`ReadError::List`], [`ReadError::IsChannel`], [`ReadError::NoChannels`].
    pub fn open_all<P: AsRef<Path>>(tops: impl IntoIterator<Item = P>) -> Result<Self, ReadError> {
        let tops: Vec<PathBuf> = tops.into_iter().map(|top| top.as_ref().to_path_buf()).collect();
        let mut channels = BTreeMap::<String, Vec<PathBuf>>::new();
        for top in &tops {
            if has_properties(top) {
                return Err(ReadError::IsChannel { path: top.clone() });
            }
            let list_error = |source| ReadError::List { path: top.clone(), source };
            for entry in std::fs::read_dir(top).map_err(list_error)? {
                let entry = entry.map_err(list_error)?;
                // A name that is not Unicode can be no channel's: it could not be asked for.
                if let (true, Ok(name)) =
                    (has_properties(&entry.path()), entry.file_name().into_string())
                {
                    channels.entry(name).or_default().push(entry.path());
                }
            }
        }
        if channels.is_empty() {
            return Err(ReadError::NoChannels { paths: tops });
        }
        Ok(Self { tops, channels })
    }

    /// The names of the channels, in the order of the alphabet.
    pub fn channels(&self) -> impl ExactSizeIterator<Item = &str> {
        self.channels.keys().map(String::as_str)
    }

    /// Opens a channel.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchChannel`], [`ReadError::Properties`], [`ReadError::Disagree`],
    /// [`ReadError::List`].
    pub fn channel(&self, name: &str) -> Result<Channel, ReadError> {
        let dirs = self.channels.get(name).ok_or_else(|| ReadError::NoSuchChannel {
            name: name.to_owned(),
            paths: self.tops.clone(),
            available: self.channels().map(str::to_owned).collect(),
        })?;
        Channel::open(name, dirs)
    }
}

fn has_properties(dir: &Path) -> bool {
    crate::properties::PROPERTY_FILES.iter().any(|name| dir.join(name).is_file())
}
