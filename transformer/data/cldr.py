"""CLDR corpus: translations of the Unicode CLDR, through Babel, without a download.

Dates and times, durations, amounts of units and of money, names of territories, languages, months and weekdays, and
lists of them: a random value is formatted in both languages. A kind of phrase is one line of `KINDS`: its weight
among the draws, how its value is drawn, and how a `Speaker` formats it.

Source: Unicode Technical Standard #35, Locale Data Markup Language (https://www.unicode.org/reports/tr35/).
"""

from __future__ import annotations

import difflib
import random
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy, deepcopy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import product
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from minigrad.optional_imports import require
from transformer.data.parallel import Pair, split_pairs

T = TypeVar("T")

MAX_LENGTH = 70
"""Longest phrase, in characters, on either side."""


def phrases(source: str = "en", target: str = "de", *, count: int = 40_000, seed: int = 0) -> list[Pair]:
    """Draw `count` distinct phrases in the language `source`, each with its translation into `target`.

    `source` and `target` are CLDR locales such as `"de"`, `"pt_BR"` or `"zh-Hant"`. The result is shuffled, depends
    only on the arguments and on the data of the installed Babel, and has no source twice. It holds the dictionary
    entries of `ENTRIES` (each name or unit alone), up to half of `count`, and otherwise draws from `KINDS`.

    Raises ModuleNotFoundError if Babel is not installed, and ValueError for an unknown or untranslated language, for
    equal languages, or for more phrases than the two languages have.

    >>> len(phrases("en", "de", count=1_000))
    1000
    """
    return [pair for _, pair in _sample(source, target, count, seed)]


def corpus(
    source: str = "en", target: str = "de", *, count: int = 40_000, held_out: int = 1_000, seed: int = 0
) -> tuple[list[Pair], list[Pair]]:
    """Split the phrases of the same arguments into `(train, held_out)`; no held-out source occurs in training.

    Held-out phrases are always compositions: lists, dates, amounts and so on whose words occur in training. The
    dictionary entries of `ENTRIES` stay in training, since an unseen name cannot be translated. So the score on the
    held-out part tells how well known words are recombined and inflected, not how unknown ones are guessed.

    Raises what `phrases` raises, and ValueError if `held_out` is not available.

    >>> train, held_out = corpus("en", "de", count=1_000, held_out=100)
    >>> len(train), len(held_out)
    (900, 100)
    """
    drawn = _sample(source, target, count, seed)
    entries = {pair[0] for kind, pair in drawn if kind in ENTRIES}
    return split_pairs([pair for _, pair in drawn], held_out=held_out, seed=seed, always_train=entries)


def _sample(source: str, target: str, count: int, seed: int) -> list[tuple[str, Pair]]:
    """Distinct phrases, each with the name of its kind, shuffled."""
    if count < 1:
        raise ValueError(f"count: expected at least 1 phrase, got {count}")
    speakers = Speaker("source", source), Speaker("target", target)
    if speakers[0].locale == speakers[1].locale:
        raise ValueError(f"target: {target!r} is the source language; expected another one")
    rng = random.Random(seed)
    names = Names.common(*speakers)

    entries = [(name, pair) for name, entry in ENTRIES.items() for pair in _entries(entry, names, speakers)]
    rng.shuffle(entries)
    found = {pair[0]: (name, pair) for name, pair in entries[: (count + 1) // 2]}

    for name in rng.choices(list(KINDS), [kind.weight for kind in KINDS.values()], k=4 * count + 1_000):
        if len(found) == count:
            break
        if pair := _phrase(KINDS[name], rng, names, speakers):
            found.setdefault(pair[0], (name, pair))
    if len(found) < count:
        raise ValueError(f"count: found only {len(found):,} distinct phrases from {source} to {target}, not {count:,}")
    sample = list(found.values())
    rng.shuffle(sample)
    return sample


def _entries(entry: Entry, names: Names, speakers: tuple[Speaker, Speaker]) -> Iterator[Pair]:
    for value in entry.values(names):
        source, target = (_say(entry.say, speaker, value) for speaker in speakers)
        if source and target:
            yield source, target


def _phrase(kind: Kind, rng: random.Random, names: Names, speakers: tuple[Speaker, Speaker]) -> Pair | None:
    """Phrase pair for a random value, if the CLDR has words for it in both languages.

    Where several kinds give the value in the same words of the source language ("May 5, 2024" is a long and an
    abbreviated date), all take the translation of the first of them: a source has one translation only.
    """
    try:
        value = kind.draw(rng, names)
    except LookupError:  # too few names in common
        return None
    source = _say(kind.say, speakers[0], value)
    siblings = (other for other in KINDS.values() if other.draw is kind.draw)
    first = next(other for other in siblings if other is kind or _say(other.say, speakers[0], value) == source)
    target = _say(first.say, speakers[1], value)
    return (source, target) if source and target else None


def _say(say: Say, speaker: Speaker, value: Any) -> str | None:
    """Text of a value in ordinary characters, or None where the CLDR has no words for it or too many."""
    try:
        text = say(speaker, value)
    except LookupError:
        return None
    text = unicodedata.normalize("NFC", _SPACES.sub(" ", _DIRECTION_MARKS.sub("", text))).strip()
    return text if 0 < len(text) <= MAX_LENGTH and _JOINERS.sub("", text).isprintable() else None


_SPACES = re.compile(r"\s+")  # includes the no-break and thin spaces U+00A0, U+2009 and U+202F
_DIRECTION_MARKS = re.compile("[\u061c\u200e\u200f]")
_JOINERS = re.compile("[\u200c\u200d]")  # invisible, but part of the spelling in Persian and in Indic scripts


_SECONDS: dict[str, int] = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 7 * 86_400,
    "month": 30 * 86_400,  # the lengths that Babel counts months and years in
    "year": 365 * 86_400,
}

_COMPOUND_DURATIONS = (
    ("year", "month", 12),
    ("month", "day", 30),
    ("week", "day", 7),
    ("day", "hour", 24),
    ("hour", "minute", 60),
    ("minute", "second", 60),
)

_UNITS = """
    length-millimeter length-centimeter length-meter length-kilometer length-inch length-foot length-yard length-mile
    length-nautical-mile length-light-year area-square-meter area-square-kilometer area-hectare area-acre
    volume-milliliter volume-liter volume-cubic-meter volume-gallon volume-cup volume-tablespoon volume-teaspoon
    mass-gram mass-kilogram mass-tonne mass-ounce mass-pound speed-kilometer-per-hour speed-meter-per-second
    speed-mile-per-hour speed-knot temperature-celsius temperature-fahrenheit digital-byte digital-megabyte
    digital-gigabyte energy-calorie energy-joule energy-kilowatt-hour power-watt power-kilowatt power-horsepower
    electric-volt electric-ampere frequency-megahertz pressure-hectopascal angle-degree graphics-pixel
    duration-second duration-minute duration-hour duration-day duration-week duration-month duration-year
"""

_CURRENCIES = """
    AED ARS AUD BDT BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR ISK JPY KES KRW MAD MXN MYR NGN NOK
    NZD PEN PHP PKR PLN RON RUB SAR SEK SGD THB TRY UAH USD VND ZAR
"""


# Values: each function draws one, the same for every language.


def _day(rng: random.Random, names: Names) -> date:
    # The hundred years that a two-digit year can mean, so that "5/4/51" has one translation.
    return date(1951, 1, 1) + timedelta(days=rng.randrange(36_525))


def _clock(rng: random.Random, names: Names) -> time:
    return time(rng.randrange(24), rng.randrange(60), rng.randrange(60))


def _moment(rng: random.Random, names: Names) -> datetime:
    return datetime.combine(_day(rng, names), _clock(rng, names))


def _span(rng: random.Random, names: Names) -> tuple[date, date]:
    start = _day(rng, names)
    return start, start + timedelta(days=rng.choice((rng.randrange(1, 28), rng.randrange(28, 300))))


def _offset(rng: random.Random, names: Names) -> tuple[str, int]:
    return rng.choice(list(_SECONDS)), rng.choice((-1, 1)) * rng.choice((rng.randrange(1, 10), rng.randrange(10, 400)))


def _duration(rng: random.Random, names: Names) -> tuple[tuple[int, str], tuple[int, str]]:
    longer, shorter, limit = rng.choice(_COMPOUND_DURATIONS)
    return (rng.randrange(1, 60), f"duration-{longer}"), (rng.randrange(1, limit), f"duration-{shorter}")


def _measure(rng: random.Random, names: Names) -> tuple[int | Decimal, str]:
    number = rng.choice((_whole(rng), Decimal(rng.randrange(1, 1_000)) / 10))
    return number, rng.choice(names.units)


def _price(rng: random.Random, names: Names) -> tuple[int | Decimal, str]:
    return rng.choice((_whole(rng), Decimal(rng.randrange(100, 1_000_000)) / 100)), rng.choice(names.currencies)


def _whole(rng: random.Random) -> int:
    return rng.randrange(1, rng.choice((20, 100, 1_000, 10_000)))


def _magnitude(rng: random.Random, names: Names) -> int:
    # Two significant digits survive in languages that count in ten thousands or in lakhs.
    return int(rng.randrange(10, 100) * 10 ** rng.randrange(2, 14))


def _variety(rng: random.Random, names: Names) -> tuple[str, str]:
    return rng.choice(names.varieties)


def _varieties(rng: random.Random, names: Names) -> list[tuple[str, str]]:
    return _some(rng, names.varieties, (2,))


def _territories(rng: random.Random, names: Names) -> list[str]:
    return _some(rng, names.territories)


def _languages(rng: random.Random, names: Names) -> list[str]:
    return _some(rng, names.languages)


def _weekdays(rng: random.Random, names: Names) -> list[int]:
    return _some(rng, range(7))


def _months(rng: random.Random, names: Names) -> list[int]:
    return _some(rng, range(1, 13))


def _some(rng: random.Random, names: Sequence[T], counts: Sequence[int] = (2, 3)) -> list[T]:
    if len(names) < max(counts):
        raise LookupError
    return rng.sample(names, rng.choice(counts))


Draw = Callable[[random.Random, "Names"], Any]
Say = Callable[["Speaker", Any], str]


class Kind(NamedTuple):
    """A kind of phrase."""

    weight: float  # its share of the draws, relative to the other kinds
    draw: Draw  # a random value
    say: Say  # that value in one language


KINDS: dict[str, Kind] = {
    "long date": Kind(4, _day, lambda to, day: to.day(day, "long")),
    "full date": Kind(5, _day, lambda to, day: to.day(day, "full")),
    "numeric date": Kind(4, _day, lambda to, day: to.skeleton(day, "yMd")),
    "short date": Kind(4, _day, lambda to, day: to.day(day, "short")),
    "abbreviated date": Kind(4, _day, lambda to, day: to.skeleton(day, "yMMMd")),
    "abbreviated date with weekday": Kind(4, _day, lambda to, day: to.skeleton(day, "yMMMEd")),
    "month and day": Kind(1, _day, lambda to, day: to.skeleton(day, "MMMMd")),
    "month and year": Kind(2, _day, lambda to, day: to.skeleton(day, "yMMMM")),
    "quarter": Kind(1, _day, lambda to, day: to.skeleton(day, "yQQQQ")),
    "time": Kind(3, _clock, lambda to, clock: to.clock(clock, "short")),
    "time with seconds": Kind(4, _clock, lambda to, clock: to.clock(clock, "medium")),
    "long date and time": Kind(5, _moment, lambda to, moment: to.date_and_time(moment, "long")),
    "full date and time": Kind(5, _moment, lambda to, moment: to.date_and_time(moment, "full")),
    "days of a month": Kind(2, _span, lambda to, span: to.interval(span, "MMMd")),
    "days of a year": Kind(4, _span, lambda to, span: to.interval(span, "yMMMd")),
    "weekdays of a year": Kind(4, _span, lambda to, span: to.interval(span, "yMMMEd")),
    "months of a year": Kind(2, _span, lambda to, span: to.interval(span, "yMMMM")),
    "relative time": Kind(5, _offset, lambda to, offset: to.relative(offset, "long")),
    "short relative time": Kind(2, _offset, lambda to, offset: to.relative(offset, "short")),
    "duration": Kind(6, _duration, lambda to, parts: to.listing([to.measure(part) for part in parts])),
    "amount of a unit": Kind(12, _measure, lambda to, measure: to.measure(measure)),
    "amount of money": Kind(12, _price, lambda to, price: to.price(price)),
    "large number": Kind(1, _magnitude, lambda to, number: to.magnitude(number)),
    "language of a territory": Kind(2, _variety, lambda to, variety: to.variety(variety)),
    "languages of territories": Kind(4, _varieties, lambda to, some: to.listing([to.variety(one) for one in some])),
    "territories": Kind(14, _territories, lambda to, codes: to.listing([to.territories[code] for code in codes])),
    "either territory": Kind(5, _territories, lambda to, codes: to.listing([to.territories[c] for c in codes], "or")),
    "languages": Kind(10, _languages, lambda to, codes: to.listing([to.languages[code] for code in codes])),
    "either language": Kind(4, _languages, lambda to, codes: to.listing([to.languages[code] for code in codes], "or")),
    "weekdays": Kind(1, _weekdays, lambda to, days: to.listing([to.weekdays[day] for day in days])),
    "either weekday": Kind(1, _weekdays, lambda to, days: to.listing([to.weekdays[day] for day in days], "or")),
    "months": Kind(2, _months, lambda to, months: to.listing([to.months[month] for month in months])),
    "either month": Kind(1, _months, lambda to, months: to.listing([to.months[month] for month in months], "or")),
}
"""Kinds of held-out phrases. Among those that draw the same value, the order matters: see `_phrase`."""


class Entry(NamedTuple):
    """Dictionary entry: a kind of phrase whose words no other phrase contains."""

    values: Callable[[Names], Iterable[Any]]  # all of them
    say: Say


ENTRIES: dict[str, Entry] = {
    "territory": Entry(lambda names: names.territories, lambda to, code: to.territories[code]),
    "language": Entry(lambda names: names.languages, lambda to, code: to.languages[code]),
    "weekday": Entry(lambda _: range(7), lambda to, day: to.weekdays[day]),
    "month": Entry(lambda _: range(1, 13), lambda to, month: to.months[month]),
    # Singular and dual forms occur with these numbers only.
    "unit": Entry(lambda names: product((1, 2), names.units), lambda to, measure: to.measure(measure)),
    "currency": Entry(lambda names: product((1, 2), names.currencies), lambda to, price: to.price(price)),
    "period": Entry(lambda _: product(_SECONDS, (-2, -1, 1, 2)), lambda to, offset: to.relative(offset, "long")),
    "power of ten": Entry(lambda _: (10**3, 10**6, 10**9, 10**12), lambda to, number: to.magnitude(number)),
}
"""The dictionary: always in training."""


class Names(NamedTuple):
    """Codes of the CLDR that both languages have a name for."""

    territories: Sequence[str]
    languages: Sequence[str]
    varieties: Sequence[tuple[str, str]]  # a language and a territory where it is spoken
    units: Sequence[str]
    currencies: Sequence[str]

    @classmethod
    def common(cls, source: Speaker, target: Speaker) -> Names:
        """Common names: inhabited territories, languages of states or of a fifth of their people, common units."""

        def named_in_both(codes: Iterable[str], say: Say) -> list[str]:
            named: dict[str, Any] = {}
            for code in codes:
                name, translation = (_say(say, speaker, code) for speaker in (source, target))
                if name and translation and code not in (name, translation):
                    named.setdefault(name, code)  # one code for each name of the source language
            return list(named.values())

        spoken = source.spoken_languages()
        every_language = sorted({language for language, _ in spoken})
        every_territory = sorted({territory for _, territory in spoken})
        territories = named_in_both(every_territory, lambda speaker, code: speaker.territories[code])
        languages = named_in_both(every_language, lambda speaker, code: speaker.languages[code])
        return cls(
            territories,
            languages,
            [variety for variety in spoken if variety[0] in languages and variety[1] in territories],
            named_in_both(_UNITS.split(), lambda speaker, unit: speaker.measure((2, unit))),
            named_in_both(_CURRENCIES.split(), lambda speaker, code: speaker.currencies[code]),
        )


class Speaker:
    """Formatter of values in one language. Raises LookupError where the CLDR has no words for one."""

    def __init__(self, argument: str, name: str) -> None:
        self._babel = _import_babel()
        self.locale = _parse_locale(self._babel, argument, name)
        # Babel resolves inherited entries in place, in data that all locales share, so that one language's months
        # would appear in another (python-babel issue 1234). A private copy keeps each Speaker to its own language.
        data = deepcopy(self._babel.localedata.load(str(self.locale).partition("@")[0]))
        self.locale._Locale__data = self._babel.localedata.LocaleDataDict(data)
        # Copied, because Babel resolves inheritance at each look-up.
        self.territories: dict[str, str] = dict(self.locale.territories)
        self.languages: dict[str, str] = dict(self.locale.languages)
        self.currencies: dict[str, str] = dict(self.locale.currencies)
        self.weekdays: dict[int, str] = dict(self.locale.days["stand-alone"]["wide"])
        self.months: dict[int, str] = dict(self.locale.months["stand-alone"]["wide"])
        if self.months[1] == "M01":
            raise ValueError(
                f"{argument}: the CLDR has too few words of language {name!r} yet; expected a translated language"
            )

    def day(self, day: date, width: str) -> str:
        return str(self._babel.dates.format_date(day, width, self.locale))

    def clock(self, clock: time, width: str) -> str:
        return str(self._babel.dates.format_time(clock, width, locale=self.locale))

    def date_and_time(self, moment: datetime, width: str) -> str:
        pattern = str(self._babel.dates.get_datetime_format(width, self.locale)).replace("'", "")
        return pattern.format(self.clock(moment.time(), "short"), self.day(moment.date(), width))

    def skeleton(self, day: date, fields: str) -> str:
        """Date with the given fields (UTS #35, part 4, "Date Field Symbol Table")."""
        return str(self._babel.dates.format_skeleton(fields, day, locale=self.locale))

    def interval(self, span: tuple[date, date], fields: str) -> str:
        return str(self._babel.dates.format_interval(*span, fields, locale=self.locale))

    def relative(self, offset: tuple[str, int], width: str) -> str:
        """Relative time: before now if negative, else after."""
        unit, number = offset
        seconds = number * _SECONDS[unit]
        # The threshold keeps Babel from rounding to a larger unit.
        return str(
            self._babel.dates.format_timedelta(
                seconds, unit, threshold=float("inf"), add_direction=True, format=width, locale=self.locale
            )
        )

    def measure(self, measure: tuple[int | Decimal, str]) -> str:
        number, unit = measure
        for width in ("long", "short"):  # long names default to short ones (UTS #35, part 2, "Unit Elements")
            try:
                text = str(self._babel.units.format_unit(number, unit, width, locale=self.locale))
            except self._babel.units.UnknownUnitError:
                continue
            if unit not in text:
                return text
        raise LookupError(unit)

    def price(self, price: tuple[int | Decimal, str]) -> str:
        """Price: whole amounts without decimals, others with those of the currency."""
        number, currency = price
        # Rounded first, since the plural form depends on the digits shown: 1.49 won is "1 won".
        number = round(number, self._babel.numbers.get_currency_precision(currency))
        return str(
            self._babel.numbers.format_currency(
                number,
                currency,
                locale=self.locale,
                format_type="name",
                currency_digits=not isinstance(number, int),
            )
        )

    def magnitude(self, number: int) -> str:
        return str(
            self._babel.numbers.format_compact_decimal(
                number, format_type="long", fraction_digits=1, locale=self.locale
            )
        )

    def variety(self, variety: tuple[str, str]) -> str:
        language, territory = variety
        return f"{self.languages[language]} ({self.territories[territory]})"

    def listing(self, texts: Sequence[str], style: str = "standard") -> str:
        return str(self._babel.lists.format_list(texts, style, self.locale))

    def spoken_languages(self) -> list[tuple[str, str]]:
        """Spoken languages: each state's and those of a fifth of its people, as (language, territory), sorted."""
        states: dict[str, dict[str, Any]] = self._babel.core.get_global("territory_languages")
        return sorted(
            (language, territory)
            for territory, languages in states.items()
            for language, use in languages.items()
            if use["official_status"] in ("official", "de_facto_official") or use["population_percent"] >= 20
        )


def _import_babel() -> ModuleType:
    """Import Babel with the modules used here."""
    for part in ("dates", "lists", "localedata", "numbers", "units"):
        require(f"babel.{part}", "text")
    return require("babel", "text")


def _parse_locale(babel: ModuleType, argument: str, name: str) -> Any:
    try:
        locale = babel.core.Locale.parse(name.replace("-", "_"))
        if locale.language != "root":
            return copy(locale)
    except (ValueError, babel.core.UnknownLocaleError):
        pass
    codes: dict[str, str] = {}
    english = babel.core.Locale("en").languages
    for code in babel.localedata.locale_identifiers():
        codes[code.lower()] = code
        if code in english:
            codes.setdefault(english[code].lower(), code)
    close = [codes[word] for word in difflib.get_close_matches(name.lower(), codes, n=3)]
    hint = f"did you mean {', '.join(map(repr, dict.fromkeys(close)))}? " if close else ""
    raise ValueError(
        f"{argument}: unknown language {name!r}; {hint}"
        "any locale of the Unicode CLDR is allowed, such as 'de', 'fr', 'es', 'ja' or 'pt_BR'"
    )
