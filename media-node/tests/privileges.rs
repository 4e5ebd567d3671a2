//! `-u` and `-g`: the ports are bound and the keys read as root, and requests are answered without.
//! Needs root, the user `nobody` and the group `nogroup`; says so where it cannot run.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const STARTS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

struct Home(PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("its address").port()
}

/// Ports of the Event Socket, of SIP, and of SIP over TLS.
fn configure(home: &Path) -> [u16; 3] {
    let ports = [free_port(), free_port(), free_port()];
    let [events, sip, tls] = ports;
    let certs = home.join("certs");
    let certs = certs.display();
    let document = format!(
        r#"<document type="freeswitch/xml"><section name="configuration">
  <configuration name="event_socket.conf">
    <settings><param name="listen-ip" value="127.0.0.1"/><param name="listen-port" value="{events}"/></settings>
  </configuration>
  <configuration name="sofia.conf"><profiles><profile name="internal"><settings>
    <param name="sip-ip" value="127.0.0.1"/><param name="rtp-ip" value="127.0.0.1"/>
    <param name="sip-port" value="{sip}"/><param name="tls" value="true"/>
    <param name="tls-sip-port" value="{tls}"/><param name="tls-cert-dir" value="{certs}"/>
  </settings></profile></profiles></configuration>
</section></document>
"#
    );
    fs::create_dir_all(home.join("conf")).expect("a directory");
    fs::set_permissions(home, fs::Permissions::from_mode(0o755)).expect("readable");
    fs::write(home.join("conf/freeswitch.xml"), document).expect("configuration");
    ports
}

fn options(sip: u16, transport: &str, local: u16) -> String {
    format!(
        "OPTIONS sip:127.0.0.1:{sip} SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:{local};branch=z9hG4bK{local}{transport};rport\r\n\
         From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: {local}{transport}\r\nCSeq: 1 OPTIONS\r\n\
         Max-Forwards: 70\r\nContact: <sip:a@127.0.0.1:{local}>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A TLS 1.2 ClientHello that offers the null cipher alone.
fn useless_hello() -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend([0; 32]);
    hello.extend([0, 0, 2, 0, 0, 1, 0]);
    let length = hello.len() as u8;
    [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat()
}

/// The effective users of all threads right now.
fn users(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    let status = threads.filter_map(|t| fs::read_to_string(t.ok()?.path().join("status")).ok());
    status
        .map(|text| {
            let line = text.lines().find(|line| line.starts_with("Uid:")).expect("a Uid line");
            line.split_ascii_whitespace().nth(2).and_then(|uid| uid.parse().ok()).expect("a uid")
        })
        .collect()
}

fn connect(port: u16) -> TcpStream {
    let began = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                return stream;
            }
            Err(_) if began.elapsed() < PATIENCE => thread::sleep(Duration::from_micros(200)),
            Err(error) => panic!("port {port}: {error}"),
        }
    }
}

/// Connects as soon as the port is bound and says `first`; the users at the first byte of an answer.
fn first_answer_tcp(pid: u32, port: u16, first: impl Fn(u16) -> Vec<u8>) -> Vec<u32> {
    let mut stream = connect(port);
    let local = stream.local_addr().expect("an address").port();
    stream.write_all(&first(local)).expect("sent");
    let read = stream.read(&mut [0; 1]).unwrap_or_else(|error| panic!("port {port}: {error}"));
    let users = users(pid);
    assert_eq!(read, 1, "port {port} closed without an answer");
    users
}

fn first_answer_udp(pid: u32, sip: u16) -> Vec<u32> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let local = socket.local_addr().expect("an address").port();
    socket.set_read_timeout(Some(Duration::from_millis(2))).expect("a timeout");
    let to = SocketAddr::from(([127, 0, 0, 1], sip));
    let began = Instant::now();
    loop {
        // Refused until the port is bound.
        let _ = socket.send_to(options(sip, "UDP", local).as_bytes(), to);
        if socket.recv_from(&mut [0; 2000]).is_ok() {
            return users(pid);
        }
        assert!(began.elapsed() < PATIENCE, "no answer over UDP");
    }
}

fn left_to_root(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let of = fs::symlink_metadata(&path).expect("it is there");
        if of.uid() == 0 {
            found.push(path.clone());
        }
        if of.is_dir() {
            left_to_root(&path, found);
        }
    }
}

#[test]
fn nothing_answers_as_root_and_files_belong_to_the_new_user() {
    let is_root = fs::metadata("/proc/self").expect("proc").uid() == 0;
    let has = |file: &str, name: &str| {
        fs::read_to_string(file).is_ok_and(|text| text.lines().any(|l| l.starts_with(name)))
    };
    if !is_root || !has("/etc/passwd", "nobody:") || !has("/etc/group", "nogroup:") {
        eprintln!("SKIPPED: needs root, a user nobody and a group nogroup");
        return;
    }
    for start in 0..STARTS {
        let name = format!("ferroswitch-privileges-{}-{start}", std::process::id());
        let home = Home(std::env::temp_dir().join(name));
        let [events, sip, tls] = configure(&home.0);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferroswitch"));
        command.arg("-base").arg(&home.0).args(["-nf", "-nonat", "-u", "nobody", "-g", "nogroup"]);
        command.env_remove("FREESWITCH_OPTS").stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let running = Running(child);
        let pid = running.0.id();
        let answers = [
            thread::spawn(move || first_answer_tcp(pid, events, |_| Vec::new())),
            thread::spawn(move || {
                first_answer_tcp(pid, sip, |local| options(sip, "TCP", local).into_bytes())
            }),
            // A hello with no cipher the switch has is answered with an alert.
            thread::spawn(move || first_answer_tcp(pid, tls, |_| useless_hello())),
            thread::spawn(move || first_answer_udp(pid, sip)),
        ];
        for (what, answer) in ["Event Socket", "TCP", "TLS", "UDP"].iter().zip(answers) {
            let users =
                answer.join().unwrap_or_else(|_| panic!("start {start}: {what}: no answer"));
            assert!(!users.contains(&0), "start {start}: {what} answered as {users:?}");
        }
        let key = fs::metadata(home.0.join("certs/tls.pem")).expect("a certificate was made");
        assert_eq!((key.uid(), key.mode() & 0o077), (0, 0), "only root may read the key");
        let mut root = Vec::new();
        for dir in ["log", "run", "db"] {
            left_to_root(&home.0.join(dir), &mut root);
        }
        assert_eq!(root, Vec::<PathBuf>::new(), "start {start}: left to root");
        for file in ["log/freeswitch.log", "run/freeswitch.pid"] {
            assert!(home.0.join(file).exists(), "{file}");
        }
    }
}
