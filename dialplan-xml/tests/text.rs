//! Words and lists.

use dialplan_xml::text::{is_true, leading_integer, split};

#[test]
fn words_that_mean_yes() {
    for word in
        ["yes", "On", "TRUE", "t", "enabled", "active", "allow", "1", "+7", "-1", "1.5", "10"]
    {
        assert!(is_true(word), "{word}");
    }
    for word in ["", "no", "0", "0.9", "yes ", "y", "1a", "false", "-0", "."] {
        assert!(!is_true(word), "{word}");
    }
}

#[test]
fn integers_are_read_as_c_reads_them() {
    for (text, value) in [
        ("12", 12),
        (" -3x", -3),
        ("+4", 4),
        ("x", 0),
        ("", 0),
        ("--1", 0),
        ("9999999999999999999999", i64::MAX),
    ] {
        assert_eq!(leading_integer(text), value, "{text}");
    }
}

#[test]
fn lists_split_as_the_reference_splits_them() {
    let cases: &[(&str, char, usize, &[&str])] = &[
        ("a,b,c", ',', 9, &["a", "b", "c"]),
        ("a,,c,", ',', 9, &["a", "", "c"]),
        (" a , b ", ',', 9, &["a", "b"]),
        ("'a,b',c", ',', 9, &["a,b", "c"]),
        ("a\\,b,c", ',', 9, &["a,b", "c"]),
        ("it's,b", ',', 9, &["it's", "b"]),
        ("^^:a:b", ',', 9, &["a", "b"]),
        ("^^:", ',', 9, &["^^:"]),
        ("n=a=b", '=', 2, &["n", "a=b"]),
        ("a\\sb\\n\\x", ',', 9, &["a b\n\\x"]),
        ("' a ',b", ',', 9, &[" a ", "b"]),
        ("a  b   c", ' ', 9, &["a", "b", "c"]),
        ("a 'b c' d", ' ', 9, &["a", "b c", "d"]),
        ("one two three four", ' ', 2, &["one", "two three four"]),
        ("", ',', 9, &[]),
    ];
    for (text, delimiter, max, fields) in cases {
        assert_eq!(split(text, *delimiter, *max), *fields, "{text}");
    }
}
