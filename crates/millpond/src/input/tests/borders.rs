//! Where items begin and end.

use super::*;
use crate::input::split::is_space;

const BOM: &str = "\u{FEFF}";

#[test]
fn an_input_without_items_is_empty() {
    for input in ["", " ", "\n", " \r\n\t\n ", BOM, "\u{FEFF}\n ", "[]", " [ \n ] \n", "[][]\n[ ]"] {
        check(input, &[]);
    }
}

#[test]
fn each_line_is_an_item_without_the_space_around_it() {
    check("{}\n{\"a\":1}\n", &["1@0 {}", "2@3 {\"a\":1}"]);
    check("{}\n{\"a\":1}", &["1@0 {}", "2@3 {\"a\":1}"]);
    check("{}\r\n{}\r\n", &["1@0 {}", "2@4 {}"]);
    check("{}\r\n{}\r", &["1@0 {}", "2@4 {}"]);
    check("\n\n {} \n\r\n\t\n  {}  \t\r\n \n", &["3@3 {}", "6@13 {}"]);
    check("x\ry\n\"a", &["1@0 x\ry", "2@4 \"a"]);
}

#[test]
fn a_line_that_begins_with_a_bracket_among_lines_is_a_line() {
    check("{}\n[1,2]\n[\n{}\n", &["1@0 {}", "2@3 [1,2]", "3@9 [", "4@11 {}"]);
}

#[test]
fn one_byte_order_mark_at_the_beginning_is_no_part_of_an_item() {
    check("\u{FEFF}{}\n{}", &["1@3 {}", "2@6 {}"]);
    check("\u{FEFF} [{}]", &["1@5 {}"]);
    check("{}\n\u{FEFF}{}", &["1@0 {}", "2@3 \u{FEFF}{}"]);
    check("\u{FEFF}\u{FEFF}{}", &["1@3 \u{FEFF}{}"]);
    for part in [&b"\xEF"[..], b"\xEF\xBB", b"\xEF[1]\n", b"\xEF\xBB\n", b"\xEF\xBB\xBE"] {
        let found = items(part, 1, 9, LIMITS[0]);
        assert_eq!(found, [format!("1@0 {}", String::from_utf8_lossy(part).trim_end())]);
    }
}

#[test]
fn each_element_of_an_array_is_an_item() {
    check("[{},{}]", &["1@1 {}", "1@4 {}"]);
    check(
        "[{\"a\":{\"b\":[{}]}},[[1],[]],\"x\",1.5e3,null]\n",
        &["1@1 {\"a\":{\"b\":[{}]}}", "1@18 [[1],[]]", "1@27 \"x\"", "1@31 1.5e3", "1@37 null"],
    );
    check("\n[\n  {\r\n    \"a\": 1\n  },\n\n  {}\n]\n", &["3@5 {\r\n    \"a\": 1\n  }", "7@27 {}"]);
    check("[ 1 , 2\n,3 ]", &["1@2 1", "1@6 2", "2@9 3"]);
}

#[test]
fn brackets_and_quotes_inside_strings_do_not_count() {
    check(
        r#"[{"a":"}]{[,"},{"b\"}":"\\"},"],\"[",["]"]]"#,
        &[r#"1@1 {"a":"}]{[,"}"#, r#"1@15 {"b\"}":"\\"}"#, r#"1@29 "],\"[""#, r#"1@37 ["]"]"#],
    );
    // Backslashes on both sides of the border between two blocks of 64 bytes.
    for length in 50..70 {
        let filler = "x".repeat(length);
        let element = format!(r#"{{"{filler}\\\"}}":"\\"}}"#);
        check(&format!("[{element},1]"), &[&format!("1@1 {element}"), &format!("1@{} 1", element.len() + 2)]);
    }
}

#[test]
fn after_an_array_its_kind_is_found_anew() {
    check("[1]\n[2,3]\n{}\n[4]\n", &["1@1 1", "2@5 2", "2@7 3", "3@10 {}", "4@13 [4]"]);
    check("[1][2] \n\n[\n3]", &["1@1 1", "1@4 2", "4@11 3"]);
    check("[]{}\n[1]", &["1@2 {} ! expected a new line or another array after `]`, found `{`", "2@6 1"]);
}

#[test]
fn a_broken_array_costs_only_what_is_broken() {
    check("[1 2]", &["1@1 1", "1@3 2 ! expected `,` or `]` after an element, found `2`"]);
    check("[{}\n{},{}]", &["1@1 {}", "2@4 {} ! expected `,` or `]` after an element, found `{`", "2@7 {}"]);
    check("[{}},1]", &["1@1 {}", "1@3 } ! expected `,` or `]` after an element, found `}`", "1@5 1"]);
    check("[1,]\n{}", &["1@1 1", "1@3 ] ! expected an element after `,`, found `]`", "2@5 {}"]);
    check("[,1]", &["1@1 , ! expected an element or `]` after `[`, found `,`", "1@2 1"]);
    check("[1,,2]", &["1@1 1", "1@3 , ! expected an element after `,`, found `,`", "1@4 2"]);
    check(
        "[1]], 2 \r\n[3]",
        &["1@1 1", "1@3 ], 2 ! expected a new line or another array after `]`, found `]`", "2@11 3"],
    );
}

#[test]
fn an_array_that_never_closes_ends_in_one_flawed_piece() {
    let unclosed =
        |piece: &str| format!("{piece} ! the input ends inside the array that opens on line 2, expected `]`");
    for (rest, piece) in [
        ("[", "2@2 "),
        ("[\n", "3@3 "),
        ("[{", "2@2 {"),
        ("[{\"a\":\"]} \n", "2@2 {\"a\":\"]}"),
        ("[\"a\\\"]", "2@2 \"a\\\"]"),
        ("[12", "2@2 12"),
        ("[1\n", ""),
        ("[1,", ""),
        ("[{} ,\n\n", ""),
        ("[{} {", ""),
    ] {
        let found = items(format!("\n{rest}").as_bytes(), 1, 1, LIMITS[0]);
        let last = found.last().expect("the flawed piece");
        let flawed = found.iter().filter(|item| item.contains('!')).count();
        assert_eq!(flawed, 1, "{found:?}");
        assert!(last.ends_with(&unclosed("")) && (piece.is_empty() || *last == unclosed(piece)), "{found:?}");
    }
    check("[{}", &["1@1 {}", "1@3  ! the input ends inside the array that opens on line 1, expected `]`"]);
}

#[test]
fn every_byte_of_a_random_input_is_in_an_item_or_a_separator_however_it_arrives() {
    let pieces = ["[", "]", "{", "}", ",", "\"", "\\", "\n", "\r\n", " ", "1", "a", "[{}", "},{", "]\n", BOM];
    let mut chance = Chance(0x5EED_0001);
    for _ in 0..3_000 {
        let input = chance.text(&pieces, 30);
        let whole = items(input.as_bytes(), 1 << 10, 1 << 10, LIMITS[0]);
        let (step, items_max) = (1 + chance.below(7), 1 + chance.below(5));
        assert_eq!(items(input.as_bytes(), step, items_max, LIMITS[1]), whole, "{input:?} by {step} and {items_max}");
        let mut end = 0;
        each_item(input.as_bytes(), 1 << 10, 1 << 10, LIMITS[0], |item| {
            let start = item.offset as usize;
            assert_separator(&input.as_bytes()[end..start], &input);
            end = start + item.bytes.len();
            assert_eq!(&input.as_bytes()[start..end], item.bytes, "{input:?}");
            assert_eq!(item.line as usize, 1 + input[..start].matches('\n').count(), "{input:?}");
        });
        assert_separator(&input.as_bytes()[end..], &input);
    }
}

fn assert_separator(between: &[u8], input: &str) {
    let between = between.strip_prefix(BOM.as_bytes()).unwrap_or(between);
    let separates = |byte: &u8| is_space(*byte) || b"[],".contains(byte);
    assert!(between.iter().all(separates), "{:?} of {input:?}", String::from_utf8_lossy(between));
}
