use std::path::Path;

use super::*;

fn parse(line: &str) -> Result<Invocation, UsageError> {
    parse_env(line, None)
}

fn parse_env(line: &str, env: Option<&str>) -> Result<Invocation, UsageError> {
    Options::parse(line.split_ascii_whitespace().map(OsString::from), env)
}

fn run(line: &str) -> Options {
    match parse(line) {
        Ok(Invocation::Run(options)) => *options,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn clap_definition_is_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn the_manual_page_names_every_option_and_command_and_no_other() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ferroswitch.1.md");
    let page = std::fs::read_to_string(page).expect("the manual page");
    let bold: BTreeSet<&str> = page.split("**").skip(1).step_by(2).collect();
    let command = CommandLine::command();
    // clap's `-V` and `-h` are not how this program spells them.
    let options: BTreeSet<String> = command
        .get_arguments()
        .filter(|option| !matches!(option.get_id().as_str(), "version" | "help"))
        .filter_map(|option| {
            let short = option.get_short().map(|letter| format!("-{letter}"));
            short.or_else(|| option.get_long().map(|name| format!("-{name}")))
        })
        .collect();
    for option in &options {
        assert!(bold.contains(&**option), "the page does not name {option}");
    }
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = verb.get_name();
        let named = bold.iter().any(|text| text.split(' ').next() == Some(name));
        assert!(named || name == "help", "the page does not name {name}");
    }
    let defined = page.lines().filter(|line| line.starts_with("**-"));
    for option in defined.flat_map(|line| line.split("**").skip(1).step_by(2)) {
        let known = options.contains(option)
            || MEANINGLESS.iter().chain(OTHER).any(|name| option.get(1..) == Some(name));
        assert!(known, "{option} is on the page and is no option");
    }
}

/// Flags that are read before clap.
const OTHER: &[&str] = &["stop", "version", "help", "rp", "hp", "np", "lp"];

#[test]
fn words_of_the_environment_come_before_every_command() {
    for verb in CommandLine::command().get_subcommands().map(clap::Command::get_name) {
        let line = match verb {
            "reference" => "reference events",
            "records" => "records export",
            "dialplan" => "dialplan test x.xml",
            "explain" => "explain --destination 1000",
            "stream-test" => "stream-test ws://127.0.0.1/",
            verb => verb,
        };
        let parsed = parse_env(&format!("ferroswitch {line}"), Some("-nosql"));
        assert!(parsed.is_ok(), "{verb}: {parsed:?}");
    }
}

#[test]
fn commands_about_the_configuration_take_their_own_options() {
    let Ok(Invocation::Check(check, options)) = parse("ferroswitch -conf /c check --strict") else {
        panic!("check");
    };
    assert!(check.strict && !check.json && check.conf.is_none());
    assert_eq!(options.dirs.conf.as_deref(), Some(Path::new("/c")));
    let line = "ferroswitch explain -d 1000 -c public --set a=b=c --time 2026-03-04T12:00:00Z";
    let Ok(Invocation::Explain(explain, _)) = parse(line) else { panic!("{line}") };
    assert_eq!((&*explain.destination, explain.context.as_deref()), ("1000", Some("public")));
    assert_eq!(explain.variables, [("a".to_owned(), "b=c".to_owned())]);
    assert!(matches!(parse("ferroswitch dialplan test a b"), Ok(Invocation::Dialplan(..))));
    assert!(parse("ferroswitch explain").is_err());
    let line = "ferroswitch records export --from 2026-03-01 --to 2026-03-01T12:30";
    let Ok(Invocation::Records(RecordsCommand::Export(export), _)) = parse(line) else {
        panic!("{line}")
    };
    assert_eq!(export.to.zip(export.from).map(|(to, from)| to - from), Some(45_000_000_000));
    assert!(parse("ferroswitch records purge --older-than 90 -n").is_ok());
    for wrong in ["", "--older-than 0", "--before yesterday", "--older-than 9 --before 2026-03-01"]
    {
        assert!(parse(&format!("ferroswitch records purge {wrong}")).is_err(), "{wrong}");
    }
    let run = run("ferroswitch -allow-preprocess exec,exec-set");
    assert_eq!(run.allow_preprocess().len(), 2);
    assert!(parse("ferroswitch -allow-preprocess everything").is_err());
}

#[test]
fn every_flag_of_init_scripts_is_accepted() {
    let line = "ferroswitch -nc -nf -nonat -np -rp -lp -hp -u freeswitch -g daemon -conf /c -log /l \
                -db /d -run /r -mod /m -scripts /s -temp /t -sounds /snd -recordings /rec -storage /st \
                -cache /ca -certs /ce -base /b -htdocs /h -grammar /gr -waste -core -reincarnate \
                -syslog -vg -nosql -heavy-timer -nocal";
    let options = run(line);
    assert_eq!(options.user.as_deref(), Some("freeswitch"));
    assert!(!options.normal_priority && run("ferroswitch -rp -np").normal_priority);
    assert_eq!(options.group.as_deref(), Some("daemon"));
    assert!(options.no_sql && options.core_dumps && options.background && !options.detach());
    let path = |text: &str| Some(PathBuf::from(text));
    assert_eq!(
        options.dirs,
        DirOptions {
            base: path("/b"),
            conf: path("/c"),
            cfgname: None,
            log: path("/l"),
            db: path("/d"),
            run: path("/r"),
            sounds: path("/snd"),
            recordings: path("/rec"),
            storage: path("/st"),
            cache: path("/ca"),
            certs: path("/ce"),
            scripts: path("/s"),
            temp: path("/t"),
            modules: path("/m"),
            htdocs: path("/h"),
            grammar: path("/gr"),
        }
    );
    assert_eq!(
        options.ignored,
        ["-nonat", "-waste", "-reincarnate", "-syslog", "-vg", "-heavy-timer", "-nocal"]
    );
}

#[test]
fn one_dash_and_two_mean_the_same() {
    assert_eq!(run("f -conf /x -nc").dirs, run("f --conf /x --nc").dirs);
    assert_eq!(run("f --conf=/x").dirs.conf, Some("/x".into()));
}

#[test]
fn background_only_when_nothing_forbids_it() {
    assert!(!run("f").detach());
    assert!(!run("f -c").detach());
    assert!(run("f -nc").detach());
    assert!(run("f -ncwait").detach());
    assert!(!run("f -nc -nf").detach());
    assert!(!run("f -nc -c").detach());
}

#[test]
fn directory_flag_without_directory_exits_255() {
    for line in ["f -conf", "f -conf -log /l", "f -u -nc"] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit, EXIT_REFUSED, "{line}");
        assert!(error.message.contains(line.split(' ').nth(1).unwrap_or("?")));
    }
}

#[test]
fn unknown_flag_is_named_and_exits_1() {
    let error = parse("f --frobnicate").expect_err("unknown flag");
    assert_eq!((error.exit, error.to_stdout), (1, false));
    assert!(error.message.contains("--frobnicate"), "{}", error.message);
    for line in ["f -frobnicate", "f -unknown"] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit, 1);
        assert!(error.message.contains(&line[3..]), "{}", error.message);
    }
}

#[test]
fn help_teaches_on_standard_output() {
    for line in ["f -help", "f --help", "f -h", "f -?"] {
        let help = parse(line).expect_err(line);
        assert_eq!((help.exit, help.to_stdout), (0, true), "{line}");
        for word in ["--conf", "sounds", "fs_cli -x status", "-heavy-timer"] {
            assert!(help.message.contains(word), "{line} lacks {word}");
        }
    }
}

#[test]
fn stop_and_version_are_not_runs() {
    assert!(
        matches!(parse("f -stop -run /r"), Ok(Invocation::Stop(o)) if o.dirs.run == Some("/r".into()))
    );
    assert!(matches!(parse("f -version"), Ok(Invocation::Version)));
    assert!(matches!(parse("f --version"), Ok(Invocation::Version)));
    assert!(matches!(parse("f -V"), Ok(Invocation::Version)));
}

#[test]
fn environment_options_come_after_the_command_line() {
    match parse_env("f -conf /a", Some("  -nc -log /b ")) {
        Ok(Invocation::Run(o)) => {
            assert!(o.background);
            assert_eq!(o.dirs.log, Some("/b".into()));
        }
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(parse_env("f cli -x status", Some("-nc")), Ok(Invocation::Cli(a)) if a == ["-x", "status"])
    );
}

#[test]
fn subcommand_arguments_are_left_alone() {
    assert!(
        matches!(parse("f cli -H host -P 8021 -x status"), Ok(Invocation::Cli(a)) if a.len() == 6)
    );
    match parse("f -sounds sounds sounds --list") {
        Ok(Invocation::Sounds(args, options)) => {
            assert!(args.list);
            assert_eq!(options.dirs.sounds, Some("sounds".into()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn drain_is_bounded_unless_elegant() {
    assert_eq!(run("f").drain(), None);
    assert_eq!(run("f --drain 30").drain(), Some(Duration::from_secs(30)));
    assert_eq!(run("f -drain 30").drain(), Some(Duration::from_secs(30)));
    assert_eq!(run("f -elegant-term").drain(), Some(Duration::MAX));
}
