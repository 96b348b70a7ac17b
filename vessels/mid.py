"""What an MMSI says by itself: the flag by its country digits, and whether it is a vessel's at all.

Source: ITU, "Table of Maritime Identification Digits" (MID), and ITU-R M.585, assignment of identities.
Countries are ISO 3166-1 alpha-2.
"""

from __future__ import annotations

from functools import lru_cache

# Administrations inside another's country code, as the ITU's table lists them: the Azores (204) and Madeira (255) are
# Portugal's, Alaska (303) the United States', Crozet, Saint Paul and Amsterdam, Kerguelen (607, 618, 635) France's.
_BY_COUNTRY = """
AL 201|AD 202|AT 203|PT 204 255 263|BE 205|BY 206|BG 207|VA 208|CY 209 210 212|DE 211 218|GE 213|MD 214
MT 215 229 248 249 256|AM 216|DK 219 220|ES 224 225|FR 226 227 228|FI 230|FO 231|GB 232 233 234 235|GI 236
GR 237 239 240 241|HR 238|MA 242|HU 243|NL 244 245 246|IT 247|IE 250|IS 251|LI 252|LU 253|MC 254
NO 257 258 259|PL 261|ME 262|RO 264|SE 265 266|SK 267|SM 268|CH 269|CZ 270|TR 271|UA 272|RU 273|MK 274|LV 275
EE 276|LT 277|SI 278|RS 279|AI 301|US 303 338 366 367 368 369|AG 304 305|CW 306|AW 307|BS 308 309 311|BM 310
BZ 312|BB 314|CA 316|KY 319|CR 321|CU 323|DM 325|DO 327|GP 329|GD 330|GL 331|GT 332|HN 334|HT 336|JM 339
KN 341|LC 343|MX 345|MQ 347|MS 348|NI 350|PA 351 352 353 354 355 356 357 370 371 372 373 374|PR 358|SV 359
PM 361|TT 362|TC 364|VC 375 376 377|VG 378|VI 379|AF 401|SA 403|BD 405|BH 408|BT 410|CN 412 413 414|TW 416
LK 417|IN 419|IR 422|AZ 423|IQ 425|IL 428|JP 431 432|TM 434|KZ 436|UZ 437|JO 438|KR 440 441|PS 443|KP 445
KW 447|LB 450|KG 451|MO 453|MV 455|MN 457|NP 459|OM 461|PK 463|QA 466|SY 468|AE 470 471|TJ 472|YE 473 475
HK 477|BA 478|AQ 501|AU 503|MM 506|BN 508|FM 510|PW 511|NZ 512|KH 514 515|CX 516|CK 518|FJ 520|CC 523|ID 525
KI 529|LA 531|MY 533|MP 536|MH 538|NC 540|NU 542|NR 544|PF 546|PH 548|TL 550|PG 553|PN 555|SB 557|AS 559|WS 561
SG 563 564 565 566|TH 567|TO 570|TV 572|VN 574|VU 576 577|WF 578|ZA 601|AO 603|DZ 605|TF 607 618 635|SH 608 665|BI 609
BJ 610|BW 611|CF 612|CM 613|CG 615|KM 616 620|CV 617|CI 619|DJ 621|EG 622|ET 624|ER 625|GA 626|GH 627|GM 629
GW 630|GQ 631|GN 632|BF 633|KE 634|LR 636 637|SS 638|LY 642|LS 644|MU 645|MG 647|ML 649|MZ 650|MR 654
MW 655|NE 656|NG 657|NA 659|RE 660|RW 661|SD 662|SN 663|SC 664|SO 666|SL 667|ST 668|SZ 669|TD 670|TG 671
TN 672|TZ 674 677|UG 675|CD 676|ZM 678|ZW 679|AR 701|BR 710|BO 720|CL 725|CO 730|EC 735|FK 740|GF 745|GY 750
PY 755|PE 760|SR 765|UY 770|VE 775
"""

COUNTRY_OF_MID: dict[int, str] = {
    int(mid): entry.split()[0]
    for entry in _BY_COUNTRY.replace("\n", "|").split("|")
    if entry
    for mid in entry.split()[1:]
}

_NAMES = """
AD Andorra|AE United Arab Emirates|AF Afghanistan|AG Antigua and Barbuda|AI Anguilla|AL Albania|AM Armenia|AO Angola
AQ Adélie Land|AR Argentina|AS American Samoa|AT Austria|AU Australia|AW Aruba|AZ Azerbaijan
BA Bosnia and Herzegovina|BB Barbados|BD Bangladesh|BE Belgium|BF Burkina Faso|BG Bulgaria|BH Bahrain|BI Burundi
BJ Benin|BM Bermuda|BN Brunei|BO Bolivia|BR Brazil|BS Bahamas|BT Bhutan|BW Botswana|BY Belarus|BZ Belize|CA Canada
CC Cocos (Keeling) Islands|CD DR Congo|CF Central African Republic|CG Congo|CH Switzerland|CI Côte d’Ivoire
CK Cook Islands|CL Chile|CM Cameroon|CN China|CO Colombia|CR Costa Rica|CU Cuba|CV Cabo Verde|CW Curaçao
CX Christmas Island|CY Cyprus|CZ Czechia|DE Germany|DJ Djibouti|DK Denmark|DM Dominica|DO Dominican Republic
DZ Algeria|EC Ecuador|EE Estonia|EG Egypt|ER Eritrea|ES Spain|ET Ethiopia|FI Finland|FJ Fiji|FK Falkland Islands
FM Micronesia|FO Faroe Islands|FR France|GA Gabon|GB United Kingdom|GD Grenada|GE Georgia|GF French Guiana|GH Ghana
GI Gibraltar|GL Greenland|GM Gambia|GN Guinea|GP Guadeloupe|GQ Equatorial Guinea|GR Greece|GT Guatemala
GW Guinea-Bissau|GY Guyana|HK Hong Kong|HN Honduras|HR Croatia|HT Haiti|HU Hungary|ID Indonesia|IE Ireland|IL Israel
IN India|IQ Iraq|IR Iran|IS Iceland|IT Italy|JM Jamaica|JO Jordan|JP Japan|KE Kenya|KG Kyrgyzstan|KH Cambodia
KI Kiribati|KM Comoros|KN Saint Kitts and Nevis|KP North Korea|KR South Korea|KW Kuwait|KY Cayman Islands
KZ Kazakhstan|LA Laos|LB Lebanon|LC Saint Lucia|LI Liechtenstein|LK Sri Lanka|LR Liberia|LS Lesotho|LT Lithuania
LU Luxembourg|LV Latvia|LY Libya|MA Morocco|MC Monaco|MD Moldova|ME Montenegro|MG Madagascar|MH Marshall Islands
MK North Macedonia|ML Mali|MM Myanmar|MN Mongolia|MO Macao|MP Northern Mariana Islands|MQ Martinique|MR Mauritania
MS Montserrat|MT Malta|MU Mauritius|MV Maldives|MW Malawi|MX Mexico|MY Malaysia|MZ Mozambique|NA Namibia
NC New Caledonia|NE Niger|NG Nigeria|NI Nicaragua|NL Netherlands|NO Norway|NP Nepal|NR Nauru|NU Niue|NZ New Zealand
OM Oman|PA Panama|PE Peru|PF French Polynesia|PG Papua New Guinea|PH Philippines|PK Pakistan|PL Poland
PM Saint Pierre and Miquelon|PN Pitcairn|PR Puerto Rico|PS Palestine|PT Portugal|PW Palau|PY Paraguay|QA Qatar
RE Réunion|RO Romania|RS Serbia|RU Russia|RW Rwanda|SA Saudi Arabia|SB Solomon Islands|SC Seychelles|SD Sudan
SE Sweden|SG Singapore|SH Saint Helena and Ascension|SI Slovenia|SK Slovakia|SL Sierra Leone|SM San Marino|SN Senegal
SO Somalia|SR Suriname|SS South Sudan|ST São Tomé and Príncipe|SV El Salvador|SY Syria|SZ Eswatini
TC Turks and Caicos Islands|TD Chad|TF French Southern Territories|TG Togo|TH Thailand|TJ Tajikistan|TL Timor-Leste
TM Turkmenistan|TN Tunisia|TO Tonga|TR Türkiye|TT Trinidad and Tobago|TV Tuvalu|TW Taiwan|TZ Tanzania|UA Ukraine
UG Uganda|US United States|UY Uruguay|UZ Uzbekistan|VA Vatican City|VC Saint Vincent and the Grenadines|VE Venezuela
VG British Virgin Islands|VI US Virgin Islands|VN Vietnam|VU Vanuatu|WF Wallis and Futuna|WS Samoa|YE Yemen
ZA South Africa|ZM Zambia|ZW Zimbabwe
"""
NAME_OF_COUNTRY: dict[str, str] = {entry[:2]: entry[3:] for entry in _NAMES.replace("\n", "|").split("|") if entry}

# ITU-R M.585: prefixes of nine digits that are not a ship's. EVENTS.md names the same.
_NOT_A_VESSEL = (
    ("00", "coast_station"),  # 0 0 MID: coast stations and groups of them
    ("111", "sar_aircraft"),
    ("970", "sart"),
    ("972", "man_overboard"),
    ("974", "epirb"),
    ("979", "locating_device"),
    ("99", "aid_to_navigation"),
)


@lru_cache(maxsize=65_536)
def station_kind(mmsi: int) -> str | None:
    """What a nine-digit MMSI is other than a vessel (`coast_station`, …); None for a vessel."""
    digits = f"{mmsi:09d}"
    return next((kind for prefix, kind in _NOT_A_VESSEL if digits.startswith(prefix)), None)


def mid_of(mmsi: int) -> int | None:
    """The country digits: in front, after 98 (auxiliary craft), after 0 (groups) or 8 (hand-held), or after 00."""
    digits = f"{mmsi:09d}"
    if mmsi < 1_000_000 or len(digits) != 9:
        return None  # a file's own ship number, or no MMSI
    for prefix in ("111", "98", "99", "00", "0", "8"):
        if digits.startswith(prefix):
            digits = digits[len(prefix) :]
            break
    return int(digits[:3])


@lru_cache(maxsize=65_536)
def flag_of(mmsi: int) -> str | None:
    """The ISO country code of an MMSI's country digits; None where they are unknown."""
    mid = mid_of(mmsi)
    return None if mid is None else COUNTRY_OF_MID.get(mid)


def country_name(flag: str) -> str | None:
    """The English short name of a country code, None for a code that no MID has."""
    return NAME_OF_COUNTRY.get(flag)
