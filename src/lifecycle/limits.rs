//! The limit on open files, raised as far as the system allows.
//!
//! Shells start programs with a soft limit of 1024 for the sake of old ones that use `select`. A proxy spends two
//! descriptors on an exchange and would be out of them at 500 clients, long before the hard limit.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that this process may hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// The soft limit that we were started with.
    pub before: u64,
    /// The soft limit now.
    pub after: u64,
}

/// Raises the soft limit to the hard one. An error leaves the limit as it was.
pub fn raise_open_files() -> io::Result<OpenFiles> {
    let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if before < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(OpenFiles { before, after: hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(512), hard).unwrap();
        assert_eq!(raise_open_files().unwrap(), OpenFiles { before: hard.min(512), after: hard });
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        assert_eq!(raise_open_files().unwrap(), OpenFiles { before: hard, after: hard });
    }
}
