//! What the sources are read for beyond the compiler's checks: where SIP addresses are made, and words.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The sources below a folder; those of tests, benches and fuzz targets aside.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !["tests", "benches", "examples", "target", "node_modules"]
                .iter()
                .any(|n| name == *n)
            {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of a file up to its tests, by number.
fn lines(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).expect("a source");
    let own = text.lines().take_while(|line| *line != "#[cfg(test)]");
    own.map(str::to_owned).enumerate().map(|(n, line)| (n + 1, line)).collect()
}

/// Files that write `sip:` before something: the builder, and the names of hangup causes.
const BUILDERS: [&str; 2] = ["media-node/sip/src/uri/", "media-node/modules/sofia/src/cause.rs"];

#[test]
fn sip_addresses_are_made_by_the_builder() {
    let files = sources(&root().join("media-node"));
    assert!(files.len() > 400, "the sources are elsewhere");
    let mut wrong = Vec::new();
    for file in files {
        let shown = file.to_string_lossy().into_owned();
        if BUILDERS.iter().any(|builder| shown.contains(builder)) {
            continue;
        }
        for (number, line) in lines(&file) {
            let code = line.trim_start();
            let made =
                ["sip:{", "sips:{", "sip:**{", "sip:%", "{scheme}:{", "(\"sip:\")", "(\"<sip:\")"];
            let takes_off =
                ["strip_prefix(", "starts_with(", "trim_start_matches(", "ignore_ascii_case("];
            if !code.starts_with("//")
                && made.iter().any(|made| code.contains(made))
                && !takes_off.iter().any(|taken| code.contains(taken))
            {
                wrong.push(format!("{shown}:{number}: {code}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "sip::uri::SipUri escapes and brackets what these do not:\n{wrong:#?}"
    );
}

/// Files and folders whose words were gone through. More join them; none leaves.
const PLAIN: [&str; 26] = [
    "dialplan-xml/src/check/dial.rs",
    "dialplan-xml/src/codes.rs",
    "media-node/base/src/stun.rs",
    "media-node/base/src/stun_message.rs",
    "media-node/base/src/trace.rs",
    "media-node/database/src",
    "media-node/event-channels/src",
    "media-node/fax/src",
    "media-node/media/src/leg.rs",
    "media-node/media/src/overload.rs",
    "media-node/media/src/worker/mix.rs",
    "media-node/modules/conference/src/cdr.rs",
    "media-node/modules/conference/src/chat.rs",
    "media-node/modules/conference/src/pages.rs",
    "media-node/modules/http_api/src/gateway/extensions.rs",
    "media-node/modules/http_api/src/gateway/things.rs",
    "media-node/modules/sofia/src/account_guard.rs",
    "media-node/modules/sofia/src/notify.rs",
    "media-node/modules/sofia/src/registrar.rs",
    "media-node/modules/sofia/src/shared_lines.rs",
    "media-node/modules/spandsp/src",
    "media-node/modules/voicemail/src/vmivr/talk.rs",
    "media-node/provisioning/src/lib.rs",
    "media-node/provisioning/src/xml.rs",
    "media-node/sip/src/uri",
    "media-node/src/stored.rs",
];

/// Words of a tale, where an engineer writes which user, caller, subscriber or client it is.
const TALES: [&str; 10] = [
    "nobody",
    "somebody",
    "everybody",
    "anybody",
    "whoever",
    "whomever",
    "obey",
    "obeys",
    "obeyed",
    "for ever",
];

#[test]
fn words_are_those_of_telephony() {
    let mut found = Vec::new();
    for name in PLAIN {
        let path = root().join(name);
        let files = if path.is_dir() { sources(&path) } else { vec![path] };
        assert!(!files.is_empty(), "{name} is not there");
        for file in files {
            for (number, line) in lines(&file) {
                let words = line.to_lowercase().replace(|c: char| !c.is_ascii_alphabetic(), " ");
                let words = format!(" {} ", words.split_whitespace().collect::<Vec<_>>().join(" "));
                if TALES.iter().any(|tale| words.contains(&format!(" {tale} "))) {
                    found.push(format!("{}:{number}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "say which user, caller or client it is:\n{found:#?}");
}
