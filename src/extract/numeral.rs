//! Numbers of lists as office programs write them: Roman, by letters, Chinese.

/// A number in one of Word's formats; rare ones come as plain numbers.
pub(super) fn number(count: i64, format: &str) -> String {
    let positive = usize::try_from(count).unwrap_or_default();
    match format {
        "lowerLetter" => letters(positive, b'a'),
        "upperLetter" => letters(positive, b'A'),
        "lowerRoman" => roman(positive).to_lowercase(),
        "upperRoman" => roman(positive),
        "decimalZero" => format!("{count:02}"),
        "russianLower" => russian(positive),
        "russianUpper" => russian(positive).to_uppercase(),
        "chineseCounting"
        | "chineseCountingThousand"
        | "japaneseCounting"
        | "taiwaneseCounting"
        | "taiwaneseCountingThousand" => chinese(positive),
        _ => count.to_string(),
    }
}

/// a, b, … z, aa, bb, … as Word does it.
fn letters(count: usize, first: u8) -> String {
    if count == 0 || count > 26 * 20 {
        return count.to_string();
    }
    let offset = u8::try_from((count - 1) % 26).unwrap_or_default();
    char::from(first + offset)
        .to_string()
        .repeat((count - 1) / 26 + 1)
}

/// а, б, … without the letters that never number anything.
fn russian(count: usize) -> String {
    const LETTERS: &str = "абвгдежзиклмнопрстуфхцчшщэюя";
    let letter = count
        .checked_sub(1)
        .and_then(|place| LETTERS.chars().nth(place));
    letter.map_or_else(|| count.to_string(), String::from)
}

/// 一, 二, … 十一, … 一百零五.
fn chinese(count: usize) -> String {
    const DIGITS: [char; 10] = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'];
    if count == 0 || count > 999 {
        return count.to_string();
    }
    let (hundreds, tens, ones) = (count / 100, count / 10 % 10, count % 10);
    let mut text = String::new();
    if hundreds > 0 {
        text.push(DIGITS[hundreds]);
        text.push('百');
    }
    if tens > 0 {
        if tens > 1 || hundreds > 0 {
            text.push(DIGITS[tens]);
        }
        text.push('十');
    } else if hundreds > 0 && ones > 0 {
        text.push(DIGITS[0]);
    }
    if ones > 0 {
        text.push(DIGITS[ones]);
    }
    text
}

fn roman(count: usize) -> String {
    const PARTS: [(usize, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    if count == 0 || count > 10_000 {
        return count.to_string();
    }
    let (mut left, mut text) = (count, String::new());
    for (value, part) in PARTS {
        while left >= value {
            text.push_str(part);
            left -= value;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_words_formats() {
        let numbers = [
            number(4, "lowerRoman"),
            number(1999, "upperRoman"),
            number(28, "lowerLetter"),
            number(3, "decimalZero"),
            number(-2, "upperLetter"),
            number(7, "chineseCounting"),
            number(10, "japaneseCounting"),
            number(105, "chineseCountingThousand"),
            number(110, "chineseCounting"),
            number(28, "russianLower"),
            number(29, "russianUpper"),
            number(7, "decimalFullWidth"),
        ];
        assert_eq!(
            numbers,
            [
                "iv",
                "MCMXCIX",
                "bb",
                "03",
                "0",
                "七",
                "十",
                "一百零五",
                "一百一十",
                "я",
                "29",
                "7"
            ]
        );
    }
}
