//! ICMP errors of datagrams sent earlier (`IP_RECVERR`), so that a call to a port nobody listens at fails at once
//! and not after 32 seconds. Linux only; elsewhere there is nothing to take.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

#[cfg(target_os = "linux")]
pub(super) fn listen(socket: &socket2::Socket, v4: bool) {
    use nix::sys::socket::{setsockopt, sockopt};
    // Best effort: without it failures only show later.
    let _ = if v4 {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)
    } else {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)
    };
}

/// Takes a larger buffer than the system gives to everybody, where privileges allow it.
#[cfg(target_os = "linux")]
pub(super) fn enlarge(socket: &socket2::Socket, bytes: usize) {
    use nix::sys::socket::{setsockopt, sockopt};
    // Best effort: a smaller buffer only loses datagrams earlier.
    let _ = setsockopt(socket, sockopt::RcvBufForce, &bytes);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn enlarge(_socket: &socket2::Socket, _bytes: usize) {}

/// The next error: whom the datagram was for, and what happened. `WouldBlock` when there is none.
#[cfg(target_os = "linux")]
pub(super) fn take(socket: &impl AsRawFd) -> io::Result<Option<(SocketAddr, String)>> {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
    let mut payload = [0u8; 64];
    let mut iov = [io::IoSliceMut::new(&mut payload)];
    let mut control = nix::cmsg_space!(nix::libc::sock_extended_err, nix::libc::sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut iov, Some(&mut control), flags)?;
    let errno = message.cmsgs()?.find_map(|c| match c {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
            Some(error.ee_errno)
        }
        _ => None,
    });
    let peer = message.address.as_ref().and_then(address_of);
    let errno = errno.and_then(|e| i32::try_from(e).ok());
    Ok(peer.zip(errno).map(|(peer, errno)| (peer, io::Error::from_raw_os_error(errno).to_string())))
}

#[cfg(target_os = "linux")]
fn address_of(storage: &nix::sys::socket::SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    storage.as_sockaddr_in6().map(|v6| SocketAddr::new(v6.ip().into(), v6.port()))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn listen(_socket: &socket2::Socket, _v4: bool) {}

#[cfg(not(target_os = "linux"))]
pub(super) fn take(_socket: &impl AsRawFd) -> io::Result<Option<(SocketAddr, String)>> {
    Err(io::ErrorKind::WouldBlock.into())
}
