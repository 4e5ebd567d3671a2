//! The process as init scripts see it: background, pid file, `-stop`, exit status, words on the terminal.
//! The configuration opens one free port, the Event Socket's.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A home of its own for one switch; stopped and removed in the end.
struct Home(PathBuf);

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Home {
    fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ferroswitch-process-{}-{number}", std::process::id());
        let home = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(home.0.join("conf")).expect("temporary directory");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let document = format!(
            r#"<document type="freeswitch/xml">
  <section name="configuration">
    <configuration name="event_socket.conf">
      <settings><param name="listen-port" value="{port}"/></settings>
    </configuration>
  </section>
</document>
"#
        );
        fs::write(home.0.join("conf/freeswitch.xml"), document).expect("configuration");
        home
    }

    fn run(&self, flags: &[&str]) -> Output {
        self.command(flags).stdin(Stdio::null()).output().expect("the binary runs")
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferroswitch"));
        command.arg("-base").arg(&self.0).args(flags).env_remove("FREESWITCH_OPTS");
        command
    }

    fn pid(&self) -> Option<String> {
        fs::read_to_string(self.0.join("run/freeswitch.pid")).ok()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.pid().is_some() {
            self.run(&["-stop"]);
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn goes_to_the_background_and_is_stopped_by_its_pid_file() {
    let home = Home::new();
    let started = home.run(&["-nc", "-nonat"]);
    assert!(started.status.success(), "{}", said(&started));
    let pid = home.pid().expect("pid file");
    assert!(said(&started).contains(&format!("{pid} Backgrounding.")), "{}", said(&started));

    let second = home.run(&["-nc"]);
    assert!(!second.status.success());
    assert!(said(&second).contains(&format!("pid {pid}")), "{}", said(&second));

    let stopped = home.run(&["-stop"]);
    assert!(stopped.status.success(), "{}", said(&stopped));
    assert!(said(&stopped).contains(&format!("Killing: {pid}")), "{}", said(&stopped));
    assert_eq!(home.pid(), None, "the pid file goes with the switch");

    let again = home.run(&["-stop"]);
    assert_eq!(again.status.code(), Some(255));
    assert!(said(&again).contains("no switch is running"), "{}", said(&again));
}

#[test]
fn a_switch_that_cannot_start_says_so_even_from_the_background() {
    let home = Home::new();
    fs::remove_file(home.0.join("conf/freeswitch.xml")).expect("removed");
    for flags in [&["-nf"][..], &["-nc"][..]] {
        let failed = home.run(flags);
        assert_eq!(failed.status.code(), Some(255), "{flags:?}");
        let text = said(&failed);
        assert!(text.contains("Cannot Initialize ["), "{text}");
        assert!(text.contains(&*home.0.join("conf").to_string_lossy()), "{text}");
        assert_eq!(home.pid(), None);
    }
}

#[test]
fn a_broken_configuration_is_shown_with_its_place_even_from_the_background() {
    let home = Home::new();
    let root = home.0.join("conf/freeswitch.xml");
    fs::write(&root, "<document>\n<section>\n</document>\n").expect("configuration");
    for flags in [&["-nf"][..], &["-nc"][..]] {
        let failed = home.run(flags);
        assert_eq!(failed.status.code(), Some(255), "{flags:?}");
        let text = said(&failed);
        assert!(text.contains("Cannot Initialize [[error near line 3]"), "{text}");
        assert!(text.contains(&format!("{}:3:", root.display())), "{text}");
    }
}

#[test]
fn unknown_users_are_refused_at_once() {
    let home = Home::new();
    let failed = home.run(&["-nf", "-u", "nobody knows me"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(said(&failed).contains("nobody knows me: no such user"), "{}", said(&failed));
}

#[test]
fn version_and_help_need_no_configuration() {
    let home = Home::new();
    let version = home.run(&["-version"]);
    assert!(version.status.success());
    assert!(
        said(&version).starts_with("FreeSWITCH version: 1.10.12-release"),
        "{}",
        said(&version)
    );
    let help = home.run(&["-help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--conf"));
}

#[test]
fn the_environment_adds_options() {
    let home = Home::new();
    let mut command = home.command(&[]);
    let output = command.env("FREESWITCH_OPTS", "-frobnicate").output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("frobnicate"), "{}", said(&output));
}
