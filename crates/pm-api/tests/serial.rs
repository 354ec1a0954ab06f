//! The serial manager keeps the promises.

mod promises;

use pm_api::SerialManager;

promises::promises!(|_| Box::new(SerialManager::new()));
