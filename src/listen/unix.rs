//! Unix sockets to listen on: a file that stands for the socket, made at the start and gone at the end.
//!
//! The file outlives a process that was killed, so one that is there already says little. Whether anybody listens is found out by
//! connecting: if so the address is taken, if not the file is what a dead process left, and makes room. A file that is no socket is
//! never touched.
//!
//! There is no SO_REUSEPORT here: the workers share one socket, and whoever is free takes the next connection.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::BACKLOG;

/// The file of a socket that is listened on. Dropping it removes the file, unless another has taken its place meanwhile.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// A number alone would not do: that of a file which is gone is soon given to another.
type Identity = (u64, u64, i64, i64);

impl SocketFile {
    /// Who may connect from now on.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(&self.path, Permissions::from_mode(mode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Else somebody was quicker, or it is not ours to remove any more.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

/// `count` descriptors of one socket, nonblocking and listening. `mode`: who may connect; `None`: as the process makes files.
pub fn bind(path: &Path, mode: Option<u32>, count: usize) -> io::Result<(Vec<UnixListener>, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        make_room(path)?;
        socket.bind(&address)?;
    }
    if let Some(mode) = mode {
        // Nobody can connect before it listens, so there is no moment at which the wrong ones could.
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    let file = SocketFile { path: path.to_owned(), identity: identity(path)? };
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    let listener = UnixListener::from(OwnedFd::from(socket));
    let shared: io::Result<Vec<UnixListener>> = (1..count).map(|_| listener.try_clone()).collect();
    let mut shared = shared?;
    shared.push(listener);
    Ok((shared, file))
}

/// Removes what a dead process left; else the address is taken.
fn make_room(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of this name that is no socket"));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One whose queue is full must not hold us up: that it has one is answer enough.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn path() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        (dir, path)
    }

    #[test]
    fn a_live_socket_is_taken_and_a_dead_one_makes_room() {
        let (_dir, path) = path();
        let (sockets, file) = bind(&path, None, 3).unwrap();
        assert_eq!(sockets.len(), 3);
        assert_eq!(bind(&path, None, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop((sockets, file));
        // As a process leaves it that is killed.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists() && UnixStream::connect(&path).is_err());
        let (_sockets, _file) = bind(&path, None, 1).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn the_file_goes_with_its_owner_and_not_with_a_former_one() {
        let (_dir, path) = path();
        let (sockets, file) = bind(&path, None, 1).unwrap();
        drop((sockets, file));
        assert!(!path.exists());
        let (old, old_file) = bind(&path, None, 1).unwrap();
        drop(old);
        // The clock of files is coarse.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (_new, _new_file) = bind(&path, None, 1).unwrap();
        drop(old_file);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let (_dir, path) = path();
        fs::write(&path, "precious").unwrap();
        assert_eq!(bind(&path, None, 1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn the_mode_says_who_may_connect() {
        let (_dir, path) = path();
        let _bound = bind(&path, Some(0o660), 1).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
    }
}
