//! Words to comparable terms.

use super::stop_words;

/// The content words of a text in order, repeats kept: lower-cased, accents and common endings folded, stop words left out.
///
/// The folding is light and the same for every language; it only has to make `refund`, `refunds` and `refunded`
/// meet, not to give dictionary forms.
pub fn terms(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(fold_accents)
        .filter(|word| !stop_words::contains(word))
        .map(fold_ending)
        .filter(|term| term.chars().count() > 1 || term.chars().all(char::is_numeric))
        .collect()
}

/// Lower case, Latin letters without their marks.
fn fold_accents(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(word.len());
    for character in word.chars().flat_map(char::to_lowercase) {
        folded.push_str(match character {
            'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ą' | 'ă' => "a",
            'ç' | 'ć' | 'č' => "c",
            'è' | 'é' | 'ê' | 'ë' | 'ę' | 'ě' => "e",
            'ì' | 'í' | 'î' | 'ï' => "i",
            'ñ' | 'ń' | 'ň' => "n",
            'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ő' => "o",
            'ś' | 'š' | 'ş' => "s",
            'ù' | 'ú' | 'û' | 'ü' | 'ů' | 'ű' => "u",
            'ý' | 'ÿ' => "y",
            'ź' | 'ż' | 'ž' => "z",
            'ß' => "ss",
            'æ' => "ae",
            'œ' => "oe",
            other => {
                folded.push(other);
                continue;
            }
        });
    }
    folded
}

/// Endings taken off in this order, each at most once, when at least `kept` characters stay.
const ENDINGS: [(&str, usize, &str); 16] = [
    ("ies", 3, "y"),
    ("ied", 3, "y"),
    ("sses", 2, "ss"),
    ("ches", 3, "ch"),
    ("shes", 3, "sh"),
    ("xes", 2, "x"),
    ("s", 3, ""),
    ("ation", 4, ""),
    ("ment", 3, ""),
    ("ing", 3, ""),
    ("ed", 3, ""),
    ("ern", 4, ""),
    ("en", 4, ""),
    ("ly", 4, ""),
    ("e", 3, ""),
    ("y", 4, ""),
];

fn fold_ending(mut word: String) -> String {
    if word.contains(|character: char| character.is_ascii_digit()) {
        return word;
    }
    for (ending, kept, replacement) in ENDINGS {
        let keeps_sense = !(ending == "s" && (word.ends_with("ss") || word.ends_with("us") || word.ends_with("is")));
        if let Some(stem) = word.strip_suffix(ending).filter(|stem| keeps_sense && stem.chars().count() >= kept) {
            word.truncate(stem.len());
            word.push_str(replacement);
        }
    }
    undouble(word)
}

/// `cancell` and `cancel`, `shipp` and `ship` meet without the doubled last letter.
fn undouble(mut word: String) -> String {
    let mut last = word.chars().rev();
    if let (Some(a), Some(b)) = (last.next(), last.next())
        && a == b
        && word.chars().count() > 3
    {
        word.pop();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(word: &str) -> String {
        terms(word).pop().unwrap_or_else(|| panic!("{word} is a stop word"))
    }

    #[test]
    fn forms_of_a_word_meet() {
        for forms in [
            &["refund", "refunds", "refunded", "Refunding", "REFUND"][..],
            &["return", "returns", "returned", "returning"],
            &["ship", "ships", "shipped", "shipping", "shipment", "shipments"],
            &["cancel", "cancelled", "canceled", "cancelling", "cancellation", "cancellations"],
            &["deliver", "delivers", "delivery", "deliveries", "delivered"],
            &["company", "companies"],
            &["warranty", "warranties"],
            &["box", "boxes"],
            &["charge", "charges", "charged", "charging"],
            &["pay", "pays", "payment", "payments"],
            &["address", "addresses"],
            &["Rückgabe", "Rückgaben"],
            &["Zahlung", "Zahlungen"],
            &["remboursement", "remboursements"],
            &["devolución", "devoluciones"],
            &["garantía", "garantia", "garantías"],
        ] {
            let first = term(forms[0]);
            for form in forms {
                assert_eq!(term(form), first, "{form} and {}", forms[0]);
            }
        }
    }

    #[test]
    fn different_words_stay_apart() {
        for (a, b) in
            [("bill", "ball"), ("station", "state"), ("bus", "bu"), ("pro", "prose"), ("v2", "v20"), ("2024", "2025")]
        {
            assert_ne!(term(a), term(b));
        }
    }

    #[test]
    fn stop_words_and_punctuation_fall_out() {
        assert_eq!(terms("How do I get a refund?"), ["refund"]);
        assert_eq!(terms("Wie lange dauert die Rückgabe?"), ["dauert", "ruckgab"]);
        assert_eq!(terms("Quel est le délai de l'échange ?"), ["delai", "echang"]);
        assert_eq!(terms("¿Cuánto tarda el envío?"), ["tarda", "envio"]);
        assert_eq!(terms("Don't! …"), Vec::<String>::new());
        assert_eq!(terms("30 days, 5 %"), ["30", "day", "5"]);
    }
}
