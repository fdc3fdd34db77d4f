//! Words that say nothing about a text's subject, in English, German, French, Spanish and Croatian.
//!
//! Without accents, as [`super::terms`] folds them. Words that carry a meaning of their own in one of the other
//! languages are left out (French `car`, `plus` and `ton`, German `hat`).

use std::{collections::HashSet, sync::LazyLock};

const ENGLISH: &str = "a about after again all also am an and any are aren as at be because been before being but by can cannot \
    could couldn did didn do does doesn doing don each far few for from get gets getting had has hasn have haven having he hello her \
    here hers hey hi him his how i if in into is isn it its just know let like ll long many may me might more most much must my need \
    needs no nor not of off often ok on once one only or other our ours out over own please re s same say shall she should so some \
    soon still such t take takes tell than thank thanks that the their theirs them then there these they this those through to too \
    under until up us use ve very want wants was wasn we well were what when where whether which while who whom whose why will with \
    within without won would wouldn yes yet you your yours";

const GERMAN: &str = "aber alle allem allen aller alles als also am an ander andere auch auf aus bei beim bin bis bist bitte da dabei \
    damit danach dann das dass dein deine dem den denn der des dessen dich die dies diese diesem diesen dieser dieses dir doch dort du \
    durch ein eine einem einen einer eines er es etwas euch euer eure fur gibt haben habe habt hallo hier hin hinter ich ihm ihn ihnen \
    ihr ihre ihrem ihren ihrer im in ist ja jede jedem jeden jeder jedes jetzt kann kannst kein keine keinem keinen keiner konnen konnt \
    lange mein meine meinem meinen meiner mich mir mit muss mussen nach nicht nichts noch nun nur ob oder ohne sehr sein seine seinem \
    seinen seiner sich sie sind so soll sollen sollte sondern sonst um und uns unser unsere unter viel viele vom von vor wann warum was \
    weil welche welchem welchen welcher welches wenn wer werde werden wie wieder wieviel will wir wird wo wollen wurde zu zum zur uber";

const FRENCH: &str = "a ai au aucun aussi aux avec avez avoir avons bonjour c ce cela ces cet cette combien comme comment d dans de des \
    du elle elles en est et etes etre eu il ils j je l la le les leur leurs lui m ma mais me meme mes moi mon n ne nos notre nous on ont \
    ou par pas peut peuvent peux pour pourquoi pouvez puis qu quand que quel quelle quelles quels qui quoi s sa sans se ses si sont suis \
    sur t te tes toi tu un une vos votre vous y faut fait faire";

const SPANISH: &str = "al algo algun alguna como con cual cuales cuando cuanto cuanta cuantos cuantas cuesta de del desde donde e el ella \
    ellas ellos en entre era es esa ese eso esta estan estas este esto estos hasta hay hola la las le les lo los mas me mi mis muy ni \
    nos nosotros o otra otro para pero por porque puede puedo pueden que quien se ser si sin sobre son su sus tambien te tengo tiene \
    tienen todo tu tus un una uno unos usted ustedes y ya yo";

const CROATIAN: &str = "ali ako bez bi bih bila bili bilo biti da gdje ga ih ili ima imam iz jer jesam jesu kada kako kao koja koje koji \
    koliko kod li me mi moj moja moje mogu moze na nam nas ne nego neka nema nije nisu o od oko ona oni ovo po pri sa samo se si sto sta \
    su sve svi te u uz vam vas vec vi za zasto";

static ALL: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    [ENGLISH, GERMAN, FRENCH, SPANISH, CROATIAN].iter().flat_map(|list| list.split_whitespace()).collect()
});

/// Whether a lower-cased word without accents is a stop word.
pub fn contains(word: &str) -> bool {
    ALL.contains(word)
}
