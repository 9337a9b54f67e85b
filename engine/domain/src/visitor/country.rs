//! Which country a visitor writes from, as far as a number or a user id tells.

/// ISO 3166 code by the longest known calling code of a number (digits only).
pub fn country_of_number(wa_id: &str) -> Option<&'static str> {
    if let Some(national) = wa_id.strip_prefix('1') {
        return Some(in_north_america(national));
    }
    (1..=LONGEST).rev().find_map(|length| {
        let code = wa_id.get(..length)?;
        let at = CALLING_CODES.binary_search_by_key(&code, |&(code, _)| code).ok()?;
        CALLING_CODES.get(at).map(|&(_, country)| country)
    })
}

/// The country a business-scoped user id begins with: `US.1349…`, `US.ENT.1181…`.
pub fn country_of_user_id(user_id: &str) -> Option<&str> {
    let (country, _) = user_id.split_once('.')?;
    let is_country = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_country.then_some(country)
}

/// Whose area code a number under +1 has; every other one is of the United States.
fn in_north_america(national: &str) -> &'static str {
    let area = national.get(..3).unwrap_or_default();
    AREA_CODES
        .iter()
        .find_map(|&(country, areas)| {
            areas.split_ascii_whitespace().any(|code| code == area).then_some(country)
        })
        .unwrap_or("US")
}

/// Area codes of the North American Numbering Plan outside the fifty states.
const AREA_CODES: &[(&str, &str)] = &[
    (
        "CA",
        "204 226 236 249 250 257 263 289 306 343 354 365 367 368 382 387 403 416 418 428 431 437 \
         438 450 460 468 474 506 514 519 537 548 568 579 581 584 587 600 604 613 622 633 639 644 \
         647 655 672 677 683 688 705 709 742 753 778 780 782 807 819 825 851 867 873 879 902 905 942",
    ),
    ("AG", "268"),
    ("AI", "264"),
    ("AS", "684"),
    ("BB", "246"),
    ("BM", "441"),
    ("BS", "242"),
    ("DM", "767"),
    ("DO", "809 829 849"),
    ("GD", "473"),
    ("GU", "671"),
    ("JM", "658 876"),
    ("KN", "869"),
    ("KY", "345"),
    ("LC", "758"),
    ("MP", "670"),
    ("MS", "664"),
    ("PR", "787 939"),
    ("SX", "721"),
    ("TC", "649"),
    ("TT", "868"),
    ("VC", "784"),
    ("VG", "284"),
    ("VI", "340"),
];

/// Digits of the longest entry below.
const LONGEST: usize = 6;

/// Calling codes by ITU-T E.164, in order of their digits; where countries share one, the shorter
/// entry names the larger country.
#[rustfmt::skip]
const CALLING_CODES: &[(&str, &str)] = &[
    ("20", "EG"), ("211", "SS"), ("212", "MA"), ("213", "DZ"), ("216", "TN"), ("218", "LY"),
    ("220", "GM"), ("221", "SN"), ("222", "MR"), ("223", "ML"), ("224", "GN"), ("225", "CI"),
    ("226", "BF"), ("227", "NE"), ("228", "TG"), ("229", "BJ"), ("230", "MU"), ("231", "LR"),
    ("232", "SL"), ("233", "GH"), ("234", "NG"), ("235", "TD"), ("236", "CF"), ("237", "CM"),
    ("238", "CV"), ("239", "ST"), ("240", "GQ"), ("241", "GA"), ("242", "CG"), ("243", "CD"),
    ("244", "AO"), ("245", "GW"), ("246", "IO"), ("247", "SH"), ("248", "SC"), ("249", "SD"),
    ("250", "RW"), ("251", "ET"), ("252", "SO"), ("253", "DJ"), ("254", "KE"), ("255", "TZ"),
    ("256", "UG"), ("257", "BI"), ("258", "MZ"), ("260", "ZM"), ("261", "MG"), ("262", "RE"),
    ("262269", "YT"), ("262639", "YT"), ("263", "ZW"), ("264", "NA"), ("265", "MW"), ("266", "LS"),
    ("267", "BW"), ("268", "SZ"), ("269", "KM"), ("27", "ZA"), ("290", "SH"), ("291", "ER"),
    ("297", "AW"), ("298", "FO"), ("299", "GL"),
    ("30", "GR"), ("31", "NL"), ("32", "BE"), ("33", "FR"), ("34", "ES"), ("350", "GI"),
    ("351", "PT"), ("352", "LU"), ("353", "IE"), ("354", "IS"), ("355", "AL"), ("356", "MT"),
    ("357", "CY"), ("358", "FI"), ("35818", "AX"), ("359", "BG"), ("36", "HU"), ("370", "LT"),
    ("371", "LV"), ("372", "EE"), ("373", "MD"), ("374", "AM"), ("375", "BY"), ("376", "AD"),
    ("377", "MC"), ("378", "SM"), ("380", "UA"), ("381", "RS"), ("382", "ME"), ("383", "XK"),
    ("385", "HR"), ("386", "SI"), ("387", "BA"), ("389", "MK"), ("39", "IT"), ("390669", "VA"),
    ("40", "RO"), ("41", "CH"), ("420", "CZ"), ("421", "SK"), ("423", "LI"), ("43", "AT"),
    ("44", "GB"), ("441481", "GG"), ("441534", "JE"), ("441624", "IM"), ("45", "DK"), ("46", "SE"),
    ("47", "NO"), ("4779", "SJ"), ("48", "PL"), ("49", "DE"),
    ("500", "FK"), ("501", "BZ"), ("502", "GT"), ("503", "SV"), ("504", "HN"), ("505", "NI"),
    ("506", "CR"), ("507", "PA"), ("508", "PM"), ("509", "HT"), ("51", "PE"), ("52", "MX"),
    ("53", "CU"), ("54", "AR"), ("55", "BR"), ("56", "CL"), ("57", "CO"), ("58", "VE"),
    ("590", "GP"), ("591", "BO"), ("592", "GY"), ("593", "EC"), ("594", "GF"), ("595", "PY"),
    ("596", "MQ"), ("597", "SR"), ("598", "UY"), ("599", "BQ"), ("5999", "CW"),
    ("60", "MY"), ("61", "AU"), ("62", "ID"), ("63", "PH"), ("64", "NZ"), ("65", "SG"),
    ("66", "TH"), ("670", "TL"), ("672", "NF"), ("673", "BN"), ("674", "NR"), ("675", "PG"),
    ("676", "TO"), ("677", "SB"), ("678", "VU"), ("679", "FJ"), ("680", "PW"), ("681", "WF"),
    ("682", "CK"), ("683", "NU"), ("685", "WS"), ("686", "KI"), ("687", "NC"), ("688", "TV"),
    ("689", "PF"), ("690", "TK"), ("691", "FM"), ("692", "MH"),
    ("7", "RU"), ("76", "KZ"), ("77", "KZ"),
    ("81", "JP"), ("82", "KR"), ("84", "VN"), ("850", "KP"), ("852", "HK"), ("853", "MO"),
    ("855", "KH"), ("856", "LA"), ("86", "CN"), ("880", "BD"), ("886", "TW"),
    ("90", "TR"), ("91", "IN"), ("92", "PK"), ("93", "AF"), ("94", "LK"), ("95", "MM"),
    ("960", "MV"), ("961", "LB"), ("962", "JO"), ("963", "SY"), ("964", "IQ"), ("965", "KW"),
    ("966", "SA"), ("967", "YE"), ("968", "OM"), ("970", "PS"), ("971", "AE"), ("972", "IL"),
    ("973", "BH"), ("974", "QA"), ("975", "BT"), ("976", "MN"), ("977", "NP"), ("98", "IR"),
    ("992", "TJ"), ("993", "TM"), ("994", "AZ"), ("995", "GE"), ("996", "KG"), ("998", "UZ"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_within_its_longest() {
        assert!(CALLING_CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(CALLING_CODES.iter().map(|(code, _)| code.len()).max(), Some(LONGEST));
        let mut areas: Vec<_> =
            AREA_CODES.iter().flat_map(|(_, areas)| areas.split_ascii_whitespace()).collect();
        let all = areas.len();
        areas.sort_unstable();
        areas.dedup();
        assert_eq!(areas.len(), all, "an area code stands under two countries");
    }

    #[test]
    fn numbers_tell_their_country_by_the_longest_code() {
        for (wa_id, country) in [
            ("16505551234", Some("US")),
            ("14165551234", Some("CA")),
            ("18765551234", Some("JM")),
            ("17875551234", Some("PR")),
            ("18095551234", Some("DO")),
            ("1", Some("US")),
            ("77011234567", Some("KZ")),
            ("76121234567", Some("KZ")),
            ("79161234567", Some("RU")),
            ("85291234567", Some("HK")),
            ("8613812345678", Some("CN")),
            ("250788123200", Some("RW")),
            ("4930609859535", Some("DE")),
            ("447911123456", Some("GB")),
            ("441534123456", Some("JE")),
            ("5999123456", Some("CW")),
            ("5997123456", Some("BQ")),
            ("262639123456", Some("YT")),
            ("262692123456", Some("RE")),
            ("21012345", None),
            ("", None),
        ] {
            assert_eq!(country_of_number(wa_id), country, "{wa_id}");
        }
    }

    #[test]
    fn user_ids_tell_their_country_by_their_prefix() {
        assert_eq!(country_of_user_id("US.13491208655302741918"), Some("US"));
        assert_eq!(country_of_user_id("DE.ENT.1181"), Some("DE"));
        assert_eq!(country_of_user_id("13491208655302741918"), None);
        assert_eq!(country_of_user_id("1x.3"), None);
    }
}
