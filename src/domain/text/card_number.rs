//! Whether a text holds a payment card's number: one that an issuer could have given out, written as cards are.
//!
//! The first digits and the length must be an issuer's, the last digit right, and the digits together or in a card's
//! own grouping, with the same kind of separator throughout. So dates, periods, sort codes, account and phone numbers
//! are none; nor is what stands inside an IBAN. Someone who wants to hide a number can: this is for those who did not
//! think.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// An issuer's range: the first six digits from and to, and the lengths of its numbers.
type Range = (u32, u32, &'static [usize]);

const SIXTEEN: &[usize] = &[16];
const SIXTEEN_UP: &[usize] = &[16, 17, 18, 19];
const DINERS: &[usize] = &[14, 15, 16, 17, 18, 19];
const MAESTRO: &[usize] = &[12, 13, 14, 15, 16, 17, 18, 19];

/// ISO/IEC 7812 issuer ranges, as the schemes publish them. Cards that only airlines give out (UATP) are left out.
const RANGES: &[Range] = &[
    // Visa; Mastercard; American Express.
    (400_000, 499_999, &[13, 16, 18, 19]),
    (222_100, 272_099, SIXTEEN),
    (510_000, 559_999, SIXTEEN),
    (340_000, 349_999, &[15]),
    (370_000, 379_999, &[15]),
    // Diners Club.
    (300_000, 305_999, DINERS),
    (309_500, 309_599, DINERS),
    (360_000, 369_999, DINERS),
    (380_000, 399_999, DINERS),
    // Discover; UnionPay; JCB; InterPayment and InstaPayment.
    (601_100, 601_199, SIXTEEN_UP),
    (644_000, 659_999, SIXTEEN_UP),
    (620_000, 629_999, SIXTEEN_UP),
    (810_000, 817_199, SIXTEEN_UP),
    (352_800, 358_999, SIXTEEN_UP),
    (636_000, 639_999, SIXTEEN_UP),
    // Maestro, the ranges in use.
    (501_800, 501_899, MAESTRO),
    (502_000, 502_099, MAESTRO),
    (503_800, 503_899, MAESTRO),
    (589_300, 589_399, MAESTRO),
    (630_400, 630_499, MAESTRO),
    (675_900, 675_999, MAESTRO),
    (676_100, 676_399, MAESTRO),
    (676_700, 676_799, MAESTRO),
    // National schemes: Dankort, RuPay, Mir, Troy, Verve, Humo, Uzcard.
    (501_900, 501_999, SIXTEEN),
    (508_500, 508_999, SIXTEEN),
    (606_985, 608_500, SIXTEEN),
    (817_200, 820_199, SIXTEEN),
    (220_000, 220_499, SIXTEEN_UP),
    (979_200, 979_299, SIXTEEN),
    (506_099, 506_198, SIXTEEN_UP),
    (986_000, 986_099, SIXTEEN),
    (860_000, 860_099, SIXTEEN),
];
/// How cards group their digits, where they do.
const GROUPINGS: [&[usize]; 3] = [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];
/// The shortest number of any issuer.
const SHORTEST: usize = 12;
/// Digits of other scripts, by their zero: an input method may write them. Arabic, Persian, Devanagari, Bengali,
/// Gurmukhi, full-width.
const ZEROS: [char; 6] = ['\u{660}', '\u{6F0}', '\u{966}', '\u{9E6}', '\u{A66}', '\u{FF10}'];
/// Lengths of an IBAN (ISO 13616).
const IBAN: std::ops::RangeInclusive<usize> = 15..=34;

/// Whether the text holds one.
pub fn holds_card_number(text: &str) -> bool {
    // Most texts have too few digits in them.
    if text.chars().filter_map(digit).count() < SHORTEST {
        return false;
    }
    let groups = groups(text);
    (0..groups.len()).any(|first| {
        let from_here = &groups[first..];
        is_card_number(&from_here[0].digits)
            || GROUPINGS.iter().any(|grouping| {
                from_here.get(..grouping.len()).is_some_and(|groups| is_grouped_number(groups, grouping))
            })
    })
}

/// Digits in a row.
struct Group {
    digits: Vec<u32>,
    /// What stands between the group before and this one, where that is a single separator.
    joint: Option<Joint>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    Blank,
    Hyphen,
}

/// The groups of digits in a text, IBANs left out.
fn groups(text: &str) -> Vec<Group> {
    // What can't be seen separates nothing.
    let chars: Vec<char> = text.chars().filter(|c| c.general_category() != GeneralCategory::Format).collect();
    let mut groups: Vec<Group> = Vec::new();
    let (mut within, mut joint) = (false, None);
    let mut at = 0;
    while at < chars.len() {
        let begins_word = at == 0 || !chars[at - 1].is_alphanumeric();
        if let Some(length) = begins_word.then(|| iban_length(&chars[at..])).flatten() {
            (within, joint) = (false, None);
            at += length;
            continue;
        }
        match (digit(chars[at]), separator(chars[at]), groups.last_mut()) {
            (Some(digit), _, Some(group)) if within => group.digits.push(digit),
            (Some(digit), ..) => {
                groups.push(Group { digits: vec![digit], joint });
                within = true;
            }
            (None, separator, _) => {
                joint = separator.filter(|_| within);
                within = false;
            }
        }
        at += 1;
    }
    groups
}

fn digit(c: char) -> Option<u32> {
    c.to_digit(10).or_else(|| {
        let of = |zero: char| u32::from(c).checked_sub(u32::from(zero)).filter(|digit| *digit <= 9);
        if c.is_ascii() { None } else { ZEROS.into_iter().find_map(of) }
    })
}

fn separator(c: char) -> Option<Joint> {
    match c {
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FF0D}' => Some(Joint::Hyphen),
        '\t' => Some(Joint::Blank),
        _ => (c.general_category() == GeneralCategory::SpaceSeparator).then_some(Joint::Blank),
    }
}

fn is_grouped_number(groups: &[Group], grouping: &[usize]) -> bool {
    let lengths = groups.iter().map(|group| group.digits.len());
    let joint = groups[1].joint;
    lengths.eq(grouping.iter().copied())
        && joint.is_some()
        && groups[1..].iter().all(|group| group.joint == joint)
        && is_card_number(&groups.iter().flat_map(|group| group.digits.iter().copied()).collect::<Vec<_>>())
}

/// Whether an issuer could have given it out.
fn is_card_number(digits: &[u32]) -> bool {
    if digits.len() < SHORTEST {
        return false;
    }
    let first_six = digits[..6].iter().fold(0, |number, digit| number * 10 + digit);
    let luhn = |(i, &digit): (usize, &u32)| match (i % 2, digit * 2) {
        (0, _) => digit,
        (_, doubled) if doubled > 9 => doubled - 9,
        (_, doubled) => doubled,
    };
    RANGES
        .iter()
        .any(|(from, to, lengths)| (*from..=*to).contains(&first_six) && lengths.contains(&digits.len()))
        && digits.iter().rev().enumerate().map(luhn).sum::<u32>() % 10 == 0
}

/// How many characters the IBAN takes that the text begins with, single blanks between its groups included.
fn iban_length(chars: &[char]) -> Option<usize> {
    let head = chars.get(..4)?;
    if !(head[..2].iter().all(char::is_ascii_alphabetic) && head[2..].iter().all(char::is_ascii_digit)) {
        return None;
    }
    let mut symbols: Vec<u32> = Vec::new();
    for (at, c) in chars.iter().enumerate() {
        match c.to_digit(36).filter(|_| c.is_ascii()) {
            Some(symbol) if symbols.len() < *IBAN.end() => symbols.push(symbol),
            None if *c == ' ' && at > 0 && chars[at - 1] != ' ' => continue,
            Some(_) | None => return None,
        }
        let ends = chars.get(at + 1).is_none_or(|next| !next.is_alphanumeric());
        if ends && IBAN.contains(&symbols.len()) && passes_mod_97(&symbols) {
            return Some(at + 1);
        }
    }
    None
}

/// ISO 7064: the first four moved to the end, letters as two digits, the whole is 1 modulo 97.
fn passes_mod_97(symbols: &[u32]) -> bool {
    let rotated = symbols[4..].iter().chain(&symbols[..4]);
    rotated.fold(0, |rest, symbol| (rest * if *symbol > 9 { 100 } else { 10 } + symbol) % 97) == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A number of this range and length, from a random one.
    fn number_of((from, to, lengths): &Range, random: u64, length: usize) -> String {
        let first_six = u64::from(*from) + random % u64::from(to - from + 1);
        let length = lengths[length % lengths.len()];
        let mut digits = format!("{first_six}{:020}", random.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        digits.truncate(length - 1);
        let with = |check: u32| format!("{digits}{check}");
        let luhn_is_right = |number: &String| {
            let digits: Vec<u32> = number.chars().filter_map(|c| c.to_digit(10)).collect();
            is_card_number(&digits)
        };
        (0..10).map(with).find(luhn_is_right).expect("one of ten is right")
    }

    fn grouped(number: &str, grouping: &[usize], separator: &str) -> String {
        let mut rest = number;
        let groups = grouping.iter().map(|length| {
            let (group, after) = rest.split_at(*length);
            rest = after;
            group
        });
        groups.collect::<Vec<_>>().join(separator)
    }

    proptest! {
        #[test]
        fn numbers_of_every_issuer_are_found_in_every_grouping(random: u64, length in 0..8_usize) {
            for range in RANGES {
                let number = number_of(range, random, length);
                let mut spellings = vec![number.clone()];
                for grouping in GROUPINGS.iter().filter(|g| g.iter().sum::<usize>() == number.len()) {
                    spellings.extend([" ", "-", "\u{A0}", "\u{2011}"].map(|sep| grouped(&number, grouping, sep)));
                }
                for spelling in spellings {
                    let text = format!("Flat 12 {spelling}, exp 12/29");
                    prop_assert!(holds_card_number(&text), "{}", text);
                }
            }
        }

        #[test]
        fn what_is_written_in_agencies_every_day_is_no_card(
            random: u64, year in 1990..2100_u32, month in 1..=12_u32, day in 1..=31_u32, days in 0..400_u32,
        ) {
            let (account, sort) = (random % 100_000_000, random / 7 % 1_000_000);
            let (a, b, c) = (sort / 10_000, sort / 100 % 100, sort % 100);
            let (until_month, until_day) = (days % 12 + 1, days % 28 + 1);
            let texts = [
                format!("Rent {year}-{month:02}-{day:02} - {year}-{until_month:02}-{until_day:02}"),
                format!("Rent {year}-{month:02}-{day:02}-{year}-{until_month:02}-{until_day:02}"),
                format!("Rent {year}{month:02}{day:02}-{year}{until_month:02}{until_day:02}"),
                format!("Rent {year}{month:02}{day:02}{year}{until_month:02}{until_day:02}"),
                format!("{day:02}/{month:02}/{year} to {until_day:02}/{until_month:02}/{year}"),
                format!("{day:02} {month:02} {year} - {until_day:02} {until_month:02} {year}"),
                format!("{year}-{month:02}-{day:02} 12:30:45, {year}{month:02}{day:02}123045"),
                format!("{year} {} {} {}", year + 1, year + 2, year + 3),
                format!("Refund to {a:02}-{b:02}-{c:02} {account:08}"),
                format!("Refund to {sort:06} {account:08} or {a:02} {b:02} {c:02} {account:08}"),
                format!("Call +44 7{:03} {:06} or 020 {:04} {:04}", sort % 1000, sort, account % 9999, sort % 9999),
                format!("INV-{year}-{:06}, PO {account:08}, MPAN 19{:011}", sort, account),
                format!("UPRN 1000{account:08} · {} · £{}.{:02}", uuid::Uuid::from_u128(random.into()), account, c),
            ];
            for text in texts {
                prop_assert!(!holds_card_number(&text), "{}", text);
            }
        }

        #[test]
        fn accounts_in_their_international_form_are_no_cards(random: u64, bban in 0..4_usize) {
            let (short, long) = (random % 100_000_000_000_000, random % 1_000_000_000_000_000_000);
            let bban = [
                format!("GB|LOYD{short:014}"), format!("DE|{long:018}"), format!("NL|ABNA{:010}", short % 10_000_000_000),
                format!("FR|{long:018}{:05}", short % 100_000),
            ][bban].clone();
            let (country, bban) = bban.split_once('|').expect("made so");
            let iban = (2..99).map(|check| format!("{country}{check:02}{bban}")).find(|iban| {
                passes_mod_97(&iban.chars().filter_map(|c| c.to_digit(36)).collect::<Vec<_>>())
            }).expect("one fits");
            let spaced = iban.as_bytes().chunks(4).map(|four| String::from_utf8_lossy(four).into_owned());
            let spaced = spaced.collect::<Vec<_>>().join(" ");
            for text in [format!("to {iban}, please"), format!("IBAN {spaced}"), iban.to_lowercase()] {
                prop_assert!(!holds_card_number(&text), "{}", text);
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,60}", digits in "[0-9 ٠-٩０-９-]{0,60}") {
            holds_card_number(&text);
            holds_card_number(&digits);
        }
    }

    #[test]
    fn cards_are_found_however_their_digits_are_written() {
        for card in [
            "4242424242424242",
            "4111 1111 1111 1111",
            "5555-5555-5555-4444",
            "3782 822463 10005",
            "3056 930902 5904",
            "INV4242424242424242",
            "1-4242-4242-4242-4242",
            "GB29 4242 4242 4242 4242",
            "４２４２　４２４２　４２４２　４２４２",
            "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
            "4242\u{200B}4242\u{200B}4242\u{200B}4242",
        ] {
            assert!(holds_card_number(card), "{card}");
        }
    }

    #[test]
    fn other_groupings_and_other_numbers_are_no_cards() {
        for other in [
            "4242424242424241",
            "42 42 42 42 42 42 42 42",
            "4242 4242-4242 4242",
            "4242 4242, 4242 4242",
            "4242  4242  4242  4242",
            "42424242 42424242",
            "42424242424242424242",
            "9999999999999995",
            "GB29 NWBK 6016 1331 9268 19",
            "0000 0000 0000 0000",
        ] {
            assert!(!holds_card_number(other), "{other}");
        }
    }
}
