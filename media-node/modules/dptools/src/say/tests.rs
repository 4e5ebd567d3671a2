//! Values and the files that say them, by language.

use super::*;

fn at(text: &str) -> Zoned {
    text.parse::<jiff::civil::DateTime>().unwrap().to_zoned(jiff::tz::TimeZone::UTC).unwrap()
}

/// A Friday in November, at five past six in the evening.
fn now() -> Zoned {
    at("2026-11-20T18:05:00")
}

fn said_in(name: &str, (kind, method, gender): (&str, &str, &str), text: &str) -> String {
    chosen(name, (kind, method, gender), text, Choices::default())
}

/// The files, without the folders that go without saying.
fn chosen(name: &str, how: (&str, &str, &str), text: &str, choices: Choices) -> String {
    let language = LANGUAGES.iter().find(|one| one.name == name).unwrap();
    let (kind, method, gender) = how;
    let saying = Saying { module: name, kind, method, gender, text };
    let files = script(language, &saying, choices, &now()).unwrap();
    files.join(" ").replace("digits/", "").replace("time/", "")
}

/// Each row: kind, method, gender, text, files.
fn table(name: &str, rows: &[[&str; 5]]) {
    for [kind, method, gender, text, files] in rows {
        assert_eq!(
            said_in(name, (kind, method, gender), text),
            *files,
            "{kind} {method} {gender} {text}"
        );
    }
}

#[test]
fn english() {
    table(
        "en",
        &[
            ["number", "pronounced", "", "12", "12"],
            ["NUMBER", "PRONOUNCED", "", "1,123", "1 thousand 1 hundred 20 3"],
            ["NUMBER", "PRONOUNCED", "", "0", "0"],
            ["NUMBER", "PRONOUNCED", "", "2000000001", "2 billion 1"],
            ["NUMBER", "ITERATED", "", "102", "1 0 2"],
            ["NUMBER", "COUNTED", "", "21", "20 h-1"],
            ["NUMBER", "PRONOUNCED_YEAR", "", "1999", "19 90 9"],
            ["NUMBER", "PRONOUNCED_YEAR", "", "1905", "19 0 5"],
            [
                "CURRENCY",
                "PRONOUNCED",
                "",
                "-1.50",
                "currency/negative 1 currency/dollar currency/and 50 currency/cents",
            ],
            ["CURRENCY", "PRONOUNCED", "", "$2", "2 currency/dollars"],
            ["TIME_MEASUREMENT", "PRONOUNCED", "", "1:02:01", "1 hour 2 minutes 1 second"],
            ["CURRENT_TIME", "PRONOUNCED", "", "", "6 oh 5 p-m"],
            [
                "CURRENT_DATE",
                "PRONOUNCED",
                "",
                "2026-01-02 00:00:00",
                "day-5 mon-0 h-2 2 thousand 20 6",
            ],
            [
                "SHORT_DATE_TIME",
                "PRONOUNCED",
                "",
                "2026-11-19 12:00:00",
                "yesterday at 12 oclock p-m",
            ],
            ["NAME_SPELLED", "PRONOUNCED", "", "a1", "ascii/97 1"],
            ["NAME_PHONETIC", "PRONOUNCED", "", "B", "phonetic-ascii/98"],
            ["TELEPHONE_NUMBER", "PRONOUNCED", "", "+1", "ascii/43 1"],
            ["IP_ADDRESS", "ITERATED", "", "10.0.0.1", "1 0 dot 0 dot 0 dot 1"],
        ],
    );
}

#[test]
fn german() {
    table(
        "de",
        &[
            ["NUMBER", "PRONOUNCED", "MASCULINE", "0", "0"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "1", "1"],
            ["ITEMS", "PRONOUNCED", "FEMININE", "1", "1_f"],
            ["ITEMS", "PRONOUNCED", "FEMININE", "2", "2"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "17", "17"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "20", "20"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "21", "1_n currency/and 20"],
            ["NUMBER", "PRONOUNCED", "FEMININE", "21", "1_n currency/and 20"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "171", "1_n hundred 1_n currency/and 70"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "101", "1_n hundred 1"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "1,001", "1_n thousand 1"],
            [
                "NUMBER",
                "PRONOUNCED",
                "MASCULINE",
                "4591",
                "4 thousand 5 hundred 1_n currency/and 90",
            ],
            [
                "NUMBER",
                "PRONOUNCED",
                "MASCULINE",
                "84371",
                "4 currency/and 80 thousand 3 hundred 1_n currency/and 70",
            ],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "2000000", "2 million"],
            ["NUMBER", "ITERATED", "MASCULINE", "0105", "0 1 0 5"],
            ["NUMBER", "COUNTED", "MASCULINE", "3", "h-3_m"],
            ["NUMBER", "COUNTED", "FEMININE", "3", "h-3"],
            ["NUMBER", "COUNTED", "", "3", "h-3"],
            ["NUMBER", "COUNTED", "NEUTER", "12", "h-12_n"],
            ["NUMBER", "COUNTED", "MASCULINE", "31", "1_n currency/and h-30_m"],
            ["NUMBER", "PRONOUNCED_YEAR", "NEUTER", "1989", "19 hundred 9 currency/and 80"],
            ["NUMBER", "PRONOUNCED_YEAR", "NEUTER", "2026", "2 thousand 6 currency/and 20"],
            ["CURRENCY", "PRONOUNCED", "MASCULINE", "1", "1_n currency/dollar 0 currency/cents"],
            [
                "CURRENCY",
                "PRONOUNCED",
                "MASCULINE",
                "-12.01",
                "currency/negative 12 currency/dollars currency/and 1_n currency/cent",
            ],
            [
                "CURRENCY",
                "PRONOUNCED",
                "MASCULINE",
                "0.5",
                "0 currency/dollars currency/and 50 currency/cents",
            ],
            [
                "TIME_MEASUREMENT",
                "PRONOUNCED",
                "MASCULINE",
                "3661",
                "1_n hour 1_f minute currency/and 1_f second",
            ],
            [
                "TIME_MEASUREMENT",
                "PRONOUNCED",
                "MASCULINE",
                "2:00",
                "0 hours 2 minutes currency/and 0 seconds",
            ],
            [
                "CURRENT_DATE",
                "PRONOUNCED",
                "MASCULINE",
                "2026-01-02 00:00:00",
                "day-5 mon-0 h-2_m 2 thousand 6 currency/and 20",
            ],
            ["CURRENT_TIME", "PRONOUNCED", "FEMININE", "2026-01-02 01:09:00", "1 oclock 0 9"],
            [
                "CURRENT_TIME",
                "PRONOUNCED",
                "MASCULINE",
                "2026-01-02 21:30:00",
                "1_n currency/and 20 oclock 30",
            ],
            ["SHORT_DATE_TIME", "PRONOUNCED", "MASCULINE", "", "today at 18 oclock 0 5"],
            [
                "SHORT_DATE_TIME",
                "PRONOUNCED",
                "MASCULINE",
                "2026-11-19 12:00:00",
                "yesterday at 12 oclock 0 0",
            ],
            [
                "SHORT_DATE_TIME",
                "PRONOUNCED",
                "MASCULINE",
                "2026-11-16 12:10:00",
                "day-1 at 12 oclock 10",
            ],
            [
                "SHORT_DATE_TIME",
                "PRONOUNCED",
                "MASCULINE",
                "2026-10-01 12:10:00",
                "day-4 mon-9 h-1_m at 12 oclock 10",
            ],
            [
                "SHORT_DATE_TIME",
                "PRONOUNCED",
                "MASCULINE",
                "2026-11-21 12:10:00",
                "day-6 mon-10 1_n currency/and h-20_m 2 thousand 6 currency/and 20 at 12 oclock 10",
            ],
            ["IP_ADDRESS", "PRONOUNCED", "MASCULINE", "10.0.0.1", "10 dot 0 dot 0 dot 1"],
            ["NAME_SPELLED", "PRONOUNCED", "MASCULINE", "b2", "ascii/98 2"],
            ["TELEPHONE_NUMBER", "PRONOUNCED", "MASCULINE", "+49 1", "4 9 1"],
        ],
    );
}

#[test]
fn french() {
    table(
        "fr",
        &[
            ["NUMBER", "PRONOUNCED", "MASCULINE", "0", "0"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "1", "1"],
            ["NUMBER", "PRONOUNCED", "FEMININE", "1", "1_f"],
            ["NUMBER", "PRONOUNCED", "FEMININE", "21", "21_f"],
            ["NUMBER", "PRONOUNCED", "FEMININE", "11", "11"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "10", "10"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "19", "19"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "20", "20"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "31", "31"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "41", "40 1"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "70", "70"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "71", "60 11"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "80", "80"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "95", "80 15"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "100", "hundred"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "110", "hundred 10"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "272", "2 hundred 60 12"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "1999", "1 thousand 9 hundred 80 19"],
            ["NUMBER", "PRONOUNCED", "MASCULINE", "3000021", "3 million 21"],
            ["NUMBER", "COUNTED", "MASCULINE", "1", "h-1"],
            ["NUMBER", "COUNTED", "MASCULINE", "75", "60 h-15"],
            ["NUMBER", "COUNTED", "MASCULINE", "30", "h-30"],
            ["NUMBER", "ITERATED", "FEMININE", "101", "1_f 0 1_f"],
            ["NUMBER", "ITERATED", "MASCULINE", "101", "1 0 1"],
            [
                "CURRENCY",
                "PRONOUNCED",
                "MASCULINE",
                "1.01",
                "1 currency/dollar currency/and 1 currency/cent",
            ],
            [
                "CURRENCY",
                "PRONOUNCED",
                "MASCULINE",
                "-20",
                "currency/negative 20 currency/dollars currency/and 0 currency/cents",
            ],
            [
                "TIME_MEASUREMENT",
                "PRONOUNCED",
                "MASCULINE",
                "1:21:00",
                "1_f hour 21_f minute 0 second",
            ],
            [
                "CURRENT_DATE",
                "PRONOUNCED",
                "MASCULINE",
                "2026-01-01 00:00:00",
                "h-1 mon-0 2 thousand 20 6",
            ],
            [
                "CURRENT_DATE",
                "PRONOUNCED",
                "MASCULINE",
                "2026-01-21 00:00:00",
                "21_f mon-0 2 thousand 20 6",
            ],
            ["CURRENT_TIME", "PRONOUNCED", "MASCULINE", "2026-01-02 13:00:00", "13 hour"],
            [
                "CURRENT_DATE_TIME",
                "PRONOUNCED",
                "MASCULINE",
                "2026-01-02 13:01:00",
                "2 mon-0 2 thousand 20 6 at 13 hour 1_f",
            ],
            ["SHORT_DATE_TIME", "PRONOUNCED", "MASCULINE", "", "today at 18 hour 5"],
            [
                "SHORT_DATE_TIME",
                "PRONOUNCED",
                "MASCULINE",
                "2026-10-01 12:10:00",
                "day-4 h-1 mon-9 at 12 hour 10",
            ],
            ["TELEPHONE_NUMBER", "PRONOUNCED", "MASCULINE", "1-2", "1 2"],
        ],
    );
}

#[test]
fn spanish() {
    table(
        "es",
        &[
            ["NUMBER", "PRONOUNCED", "", "0", "0"],
            ["NUMBER", "PRONOUNCED", "", "15", "15"],
            ["NUMBER", "PRONOUNCED", "", "20", "20"],
            ["NUMBER", "PRONOUNCED", "", "22", "veinti 2"],
            ["NUMBER", "PRONOUNCED", "", "31", "30 currency/and 1"],
            ["NUMBER", "PRONOUNCED", "", "100", "100"],
            ["NUMBER", "PRONOUNCED", "", "101", "hundred 1"],
            ["NUMBER", "PRONOUNCED", "", "300", "3 hundreds"],
            ["NUMBER", "PRONOUNCED", "", "517", "500 17"],
            ["NUMBER", "PRONOUNCED", "", "1742", "1 thousand 700 40 currency/and 2"],
            ["NUMBER", "PRONOUNCED", "", "1000000", "un million"],
            ["NUMBER", "PRONOUNCED", "", "2000001", "2 millions 1"],
            ["NUMBER", "COUNTED", "", "3", "h-3"],
            ["NUMBER", "COUNTED", "", "23", "h-20 h-3"],
            ["NUMBER", "COUNTED", "", "42", "40 currency/and h-2"],
            ["NUMBER", "ITERATED", "", "90", "9 0"],
            [
                "CURRENCY",
                "PRONOUNCED",
                "",
                "1.25",
                "1 currency/dollar currency/and veinti 5 currency/cents",
            ],
            ["TIME_MEASUREMENT", "PRONOUNCED", "", "3720", "1 hour 2 minutes 0 seconds"],
            [
                "CURRENT_DATE",
                "PRONOUNCED",
                "",
                "2026-01-02 00:00:00",
                "day-5 2 of mon-0 of 2 thousand veinti 6",
            ],
            ["CURRENT_TIME", "PRONOUNCED", "", "2026-01-02 00:00:00", "12 oclock a-m"],
            ["CURRENT_TIME", "PRONOUNCED", "", "2026-01-02 12:05:00", "12 currency/and 5 p-m"],
            ["CURRENT_TIME", "PRONOUNCED", "", "2026-01-02 13:30:00", "1 currency/and 30 p-m"],
            [
                "SHORT_DATE_TIME",
                "PRONOUNCED",
                "",
                "2026-01-02 13:00:00",
                "day-5 2 of mon-0 of 2 thousand veinti 6 1 oclock p-m",
            ],
        ],
    );
}

#[test]
fn dutch() {
    table(
        "nl",
        &[
            ["NUMBER", "PRONOUNCED", "", "0", "0"],
            ["NUMBER", "PRONOUNCED", "", "8", "8"],
            ["NUMBER", "PRONOUNCED", "", "13", "13"],
            ["NUMBER", "PRONOUNCED", "", "40", "40"],
            ["NUMBER", "PRONOUNCED", "", "43", "3-en 40"],
            ["NUMBER", "PRONOUNCED", "", "143", "1 honderd 3-en 40"],
            ["NUMBER", "PRONOUNCED", "", "2043", "2 duizend 3-en 40"],
            ["NUMBER", "PRONOUNCED", "", "5000000", "5 miljoen"],
            ["NUMBER", "COUNTED", "", "3", "h-3"],
            ["NUMBER", "COUNTED", "", "13", "13"],
            [
                "CURRENCY",
                "PRONOUNCED",
                "",
                "-3",
                "currency/min 3 currency/euro currency/en 0 currency/cent",
            ],
            ["TIME_MEASUREMENT", "PRONOUNCED", "", "1:01:30", "1 uur 1 minuut"],
            ["TIME_MEASUREMENT", "PRONOUNCED", "", "120", "0 uur 2 minuten"],
            ["CURRENT_DATE", "PRONOUNCED", "", "2026-01-02 00:00:00", "day-5 h-2 mon-0"],
            [
                "CURRENT_DATE_TIME",
                "PRONOUNCED",
                "",
                "2026-01-12 21:05:00",
                "day-1 12 mon-0 om 1-en 20 uur 5",
            ],
        ],
    );
}

#[test]
fn russian() {
    table(
        "ru",
        &[
            ["NUMBER", "PRONOUNCED", "", "0", "0"],
            ["NUMBER", "PRONOUNCED", "", "1", "1"],
            ["MESSAGES", "PRONOUNCED", "", "1", "1n"],
            ["NUMBER", "PRONOUNCED", "", "13", "13"],
            ["NUMBER", "PRONOUNCED", "", "20", "20"],
            ["NUMBER", "PRONOUNCED", "", "47", "40 7"],
            ["NUMBER", "PRONOUNCED", "", "600", "600"],
            ["NUMBER", "PRONOUNCED", "", "647", "600 40 7"],
            ["NUMBER", "PRONOUNCED", "", "1000", "1f thousand"],
            ["NUMBER", "PRONOUNCED", "", "2001", "2f thousands-i 1"],
            ["NUMBER", "PRONOUNCED", "", "12006", "12 thousands 6"],
            ["NUMBER", "PRONOUNCED", "", "41000", "40 1f thousand"],
            ["NUMBER", "PRONOUNCED", "", "1000000", "1 million"],
            ["NUMBER", "PRONOUNCED", "", "3200000", "3 million-a 200 thousands"],
            ["NUMBER", "ITERATED", "", "105", "1 0 5"],
            ["CURRENCY", "PRONOUNCED", "", "1.02", "1 currency/ruble 2f currency/kopeck-i"],
            [
                "CURRENCY",
                "PRONOUNCED",
                "",
                "-11",
                "currency/minus 11 currency/rubles 0 currency/kopecks",
            ],
            ["CURRENCY", "PRONOUNCED", "", "22.21", "20 2 currency/ruble-a 20 1f currency/kopeck"],
            ["TIME_MEASUREMENT", "PRONOUNCED", "", "1:02:05", "1 hour 2f minutes-i 5 seconds"],
            ["TIME_MEASUREMENT", "PRONOUNCED", "", "21:11:00", "20 1 hour 11 minutes"],
            [
                "CURRENT_DATE",
                "PRONOUNCED",
                "",
                "2026-01-02 00:00:00",
                "h-2x mon-0 2f thousands-i 20 h-6x h-year",
            ],
            [
                "CURRENT_DATE",
                "PRONOUNCED",
                "",
                "2000-01-13 00:00:00",
                "h-13x mon-0 h-2xx h-thousandx h-year",
            ],
            [
                "CURRENT_TIME",
                "PRONOUNCED",
                "",
                "2026-01-02 03:04:05",
                "3 hours-a 4 minutes-i 5 seconds",
            ],
            [
                "SHORT_DATE_TIME",
                "PRONOUNCED",
                "",
                "2026-11-19 12:00:30",
                "yesterday 12 hours 0 minutes",
            ],
            [
                "SHORT_DATE_TIME",
                "PRONOUNCED",
                "",
                "2026-11-16 12:00:30",
                "day-1 at 12 hours 0 minutes",
            ],
            ["IP_ADDRESS", "PRONOUNCED", "", "10.0.0.1", "10 dot 0 dot 0 dot 1"],
        ],
    );
}

#[test]
fn russian_forms_are_chosen_by_variables() {
    let number = ("NUMBER", "PRONOUNCED", "");
    for (gender, cases, text, files) in [
        ("female", "", "2", "2f"),
        ("женский", "genitivus", "1", "h-1xx"),
        ("female", "родительный", "2000", "h-2xx thousands"),
        ("male_h", "", "7", "h-7m"),
        ("female_h", "", "21", "20 h-1f"),
        ("male_h", "genitivus", "300", "h-300x"),
        ("it", "", "1000000", "million"),
        ("plural", "prepositive", "3", "3"),
    ] {
        let [gender, cases] = [gender, cases].map(str::to_owned);
        let choices = Choices { gender, cases, currency: String::new() };
        assert_eq!(chosen("ru", number, text, choices), files, "{text}");
    }
    let choices = Choices { currency: "dollar".into(), ..Choices::default() };
    let files = chosen("ru", ("CURRENCY", "PRONOUNCED", ""), "2.01", choices);
    assert_eq!(files, "2 currency/dollara 1 currency/cent");
}

#[test]
fn what_is_no_number_is_refused() {
    for language in LANGUAGES {
        let refused = |kind: &str, method: &str, text: &str| {
            let saying = Saying { module: language.name, kind, method, gender: "", text };
            script(language, &saying, Choices::default(), &now()).is_err()
        };
        assert!(refused("NUMBER", "PRONOUNCED", "x"));
        assert!(refused("NUMBER", "PRONOUNCED", "1234567890123"));
        assert!(refused("SONG", "PRONOUNCED", "1"));
        assert!(refused("NUMBER", "SUNG", "1"));
        assert!(refused("IP_ADDRESS", "PRONOUNCED", "1.2.3"));
        assert!(refused("TIME_MEASUREMENT", "PRONOUNCED", "1:1:1:1"));
    }
}

#[test]
fn a_script_is_one_playable_string() {
    assert_eq!(playable(&["digits/12".into()], "wav"), "file_string://digits/12.wav");
}
