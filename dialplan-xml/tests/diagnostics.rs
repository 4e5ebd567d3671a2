//! Every diagnostic has a fixture with its exact text: `tests/diagnostics/CODE.txt` holds the files
//! of a small configuration and, under `--- expected`, what is said about it under that code. A code
//! that says several things has more of them: `CODE@WHAT.txt`.
//!
//! `UPDATE_FIXTURES=1 cargo test` writes down what is said now; read the difference before keeping it.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::Dir;
use dialplan_xml::acl::LocalNet;
use dialplan_xml::catalogue::{Catalogue, Kind};
use dialplan_xml::check::{CheckOptions, check};
use dialplan_xml::declare::{Value, reads};
use dialplan_xml::simulate::Setting;
use dialplan_xml::{
    CODES, Diagnostic, Globals, LoadOptions, PreprocessorCommand, Sources, fixtures,
};

/// File names and texts of a fixture; `expected` is the last.
fn parts(text: &str) -> Vec<(String, String)> {
    let mut parts: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("--- ") {
            Some(name) => parts.push((name.to_owned(), String::new())),
            None => {
                if let Some((_, body)) = parts.last_mut() {
                    body.push_str(line);
                    body.push('\n');
                }
            }
        }
    }
    parts
}

fn options(code: &str) -> LoadOptions {
    let mut options = LoadOptions::default();
    if code == "exec-failed" {
        options.allowed.insert(PreprocessorCommand::Exec);
        options.exec_deadline = std::time::Duration::from_millis(50);
    }
    if code == "document-too-large" {
        options.max_bytes = 900;
    }
    options
}

/// What is said under a code about the files of a fixture.
fn said(name: &str, files: &[(String, String)]) -> String {
    let dir = Dir::new(&format!("diagnostic-{name}"));
    let code = name.split('@').next().unwrap();
    for (name, text) in files {
        // One byte that is not UTF-8 can be written as \xNN.
        let bytes: Vec<u8> = match text.split_once("\\xe9") {
            Some((before, after)) => [before.as_bytes(), b"\xe9", after.as_bytes()].concat(),
            None => text.clone().into_bytes(),
        };
        dir.write(name, bytes);
    }
    let globals: Globals = [("local_ip_v4", "192.0.2.1")].into_iter().collect();
    let loaded = dialplan_xml::load(dir.path(), globals, &options(code));
    let (found, sources) = match files.iter().find(|(name, _)| name == "calls.fixture") {
        Some((name, text)) => {
            let tree = loaded.tree.as_ref().unwrap();
            let setting = Setting::read(tree, loaded.globals, &LocalNet::default());
            let outcome = fixtures::run(&setting, text, name);
            let mut sources = Sources::default();
            sources.insert(name.as_str().into(), text.as_str().into());
            (outcome.failures().cloned().collect(), sources)
        }
        None => {
            let mut catalogue = Catalogue::new();
            if code.ends_with("-without-effect") {
                catalogue.honour(Kind::Dialplan, ["XML"]);
                catalogue.complete();
            }
            if code.ends_with("-not-loaded") {
                catalogue.honour_owned(Kind::Endpoint, [("loopback", "mod_loopback")]);
            }
            if code == "no-effect" {
                catalogue.honour(Kind::Application, ["set", "media_reset"]);
                catalogue.declare_idle(Kind::Application, [("media_reset", "nothing is kept")]);
                let clock = reads("timer_name", Value::Text, "the clock of a call");
                catalogue.declare_variables(&[clock.no_effect("there is one clock")]);
            }
            let own_address = &|ip: std::net::IpAddr| ip.to_string() != "192.0.2.99";
            let options = CheckOptions {
                catalogue: &catalogue,
                file_exists: &|_| false,
                own_address,
                no_mp3: Some("there is no encoder"),
            };
            let checked = check(loaded, &options);
            (checked.diagnostics, checked.sources)
        }
    };
    let of_code = found.iter().filter(|d: &&Diagnostic| d.code == code);
    let text: Vec<_> = of_code.take(8).map(|d| d.render(&sources)).collect();
    text.join("\n").replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn every_diagnostic_says_what_its_fixture_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let mut files = parts(&text);
        let expected = files.iter().position(|(n, _)| n == "expected").map(|at| files.remove(at).1);
        let now = said(&name, &files);
        if now.is_empty() {
            wrong.push(format!("{name}: nothing is said"));
            continue;
        }
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            let inputs = text.split("--- expected\n").next().unwrap().trim_end();
            fs::write(&path, format!("{inputs}\n--- expected\n{now}")).unwrap();
        } else if expected.as_deref() != Some(&*now) {
            wrong.push(format!(
                "{name}: said now:\n{now}\nexpected:\n{}",
                expected.unwrap_or_default()
            ));
        }
        seen.insert(name.split('@').next().unwrap().to_owned());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let known: BTreeSet<_> = CODES.iter().map(|(code, _)| (*code).to_owned()).collect();
    let without: Vec<_> = known.difference(&seen).collect();
    assert!(without.is_empty(), "no fixture for {without:?}");
    let unlisted: Vec<_> = seen.difference(&known).collect();
    assert!(unlisted.is_empty(), "not in CODES: {unlisted:?}");
}
