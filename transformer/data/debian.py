"""Debian package descriptions: reviewed translations, and summaries.

Each package has a synopsis of some words and a description of some paragraphs. Volunteers translate both; English text
and translation are joined by `Description-md5`. Nothing of it ships here: the ordinary `apt-get` fetches it, from the
sources that the system is set up with, into a folder of the user's. It needs no root, and the system's own lists stay
as they are. What has been fetched is read again without a network.

Source: the Debian Description Translation Project, https://www.debian.org/international/l10n/ddtp. The descriptions are
under the licences of their packages.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from minigrad.io import replace_file
from transformer.data.normalization import characters
from transformer.data.parallel import Pair
from transformer.data.validation import Corpus, Fault, Faults

SENTENCE_LENGTHS = range(4, 501)
"""Characters of a synopsis or paragraph to translate, on both sides."""

BODY_LENGTHS = range(40, 1001)
"""Characters of a description to summarize."""

MAX_RATIO = 4
"""One side of a translation may be this many times as long as the other (Chinese is short): more is another text."""

# Settings that the command line cannot clear: excluded languages, and the system's hooks after an update.
_CONFIGURATION = """\
#clear Acquire::Languages;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages {{ {languages} }};
Acquire::GzipIndexes "false";
Acquire::IndexTargets::deb::Packages::DefaultEnabled "false";
APT::Sandbox::User "root";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?")
_BULLET = re.compile(r"^\s+[-*+•]\s+")


class Description(NamedTuple):
    """Package description, or a translation of it."""

    synopsis: str
    paragraphs: list[str]  # and items of lists, one each


def translations(language: str) -> Corpus[Pair]:
    """Translation pairs: synopses and paragraphs in English, each with its translation.

    Paragraphs count where a translation has as many of them as the original. Those left in English, or of other lengths
    than `SENTENCE_LENGTHS` and `MAX_RATIO` allow, are left out; no pair comes twice.

    Args:
        language: as in Debian's files: `"fr"`, `"de"`, `"es"`, `"pt_BR"`, …

    Raises:
        FileNotFoundError: there is no apt-get here.
        OSError: it could fetch nothing.
        ValueError: `language` is no such language, or the system's sources have nothing in it.
    """
    if not _LANGUAGE.fullmatch(language) or language == "en":
        raise ValueError(f"language: expected a code such as 'fr', 'de' or 'pt_BR', got {language!r}")
    texts = _texts("en", language)
    return Corpus(aligned(*map(parse, texts.values())), _damage(texts))


def summaries() -> Corpus[Pair]:
    """Summarization pairs: English descriptions, each in one line, with their synopses.

    Descriptions of other lengths than `BODY_LENGTHS` are left out; none comes twice. Packages built from one source
    often begin alike: for a split without leakage, group them by their first sentences.

    Raises:
        FileNotFoundError: there is no apt-get here.
        OSError: it could fetch nothing.
    """
    texts = _texts("en")
    return Corpus(summarized(parse(texts["en"])), _damage(texts))


def parse(text: str) -> dict[str, Description]:
    """Parse a `Translation-xx` file: descriptions by `Description-md5`, that of the English original.

    >>> parse("Description-md5: 0f\\nDescription-en: Purring\\n It purrs\\n softly.\\n .\\n It\\n  * sleeps\\n")
    {'0f': Description(synopsis='Purring', paragraphs=['It purrs softly.', 'It', 'sleeps'])}
    """
    descriptions = {}
    for stanza in text.split("\n\n"):
        md5 = re.search(r"^Description-md5: *(\w+)", stanza, re.MULTILINE)
        field = re.search(r"^Description(?!-md5)[-\w]*: *(.*)((?:\n .*)*)", stanza, re.MULTILINE)
        if md5 and field and "\ufffd" not in field[0]:  # the replacement of bytes that are not UTF-8
            descriptions[md5[1]] = Description(_line(field[1]), list(_paragraphs(field[2])))
    return descriptions


def aligned(english: dict[str, Description], translated: dict[str, Description]) -> list[Pair]:
    """Translation pairs of parsed descriptions: see :func:`translations`."""
    pairs: dict[Pair, None] = {}
    for md5, translation in translated.items():
        if (original := english.get(md5)) is None:
            continue
        candidates = [(original.synopsis, translation.synopsis)]
        if len(original.paragraphs) == len(translation.paragraphs):
            candidates += zip(original.paragraphs, translation.paragraphs, strict=True)
        pairs.update((pair, None) for pair in candidates if _is_translation(*pair))
    return list(pairs)


def summarized(english: dict[str, Description]) -> list[Pair]:
    """Summarization pairs of parsed descriptions: see :func:`summaries`."""
    pairs: dict[str, Pair] = {}
    for synopsis, paragraphs in english.values():
        body = " ".join(paragraphs)
        if synopsis and len(body) in BODY_LENGTHS:
            pairs.setdefault(body, (body, synopsis))
    return list(pairs.values())


def folder() -> Path:
    """Cache directory of fetched descriptions: `debian` in `MINIGRAD_CACHE_DIR`, else in the user's cache."""
    own, user = os.environ.get("MINIGRAD_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    return (Path(own) if own else Path(user or Path.home() / ".cache", "minigrad")).absolute() / "debian"


def _is_translation(source: str, target: str) -> bool:
    lengths = sorted((len(source), len(target)))
    fits = all(length in SENTENCE_LENGTHS for length in lengths) and lengths[1] <= MAX_RATIO * lengths[0]
    return fits and source != target


def _line(text: str) -> str:
    return " ".join(text.split())


def _paragraphs(field: str) -> Iterator[str]:
    """Paragraphs of a description (Debian Policy, section 5.6.13): separated by " .", lists indented."""
    lines: list[str] = []
    for line in [*field.split("\n"), " ."]:
        if (line == " ." or _BULLET.match(line)) and (paragraph := _line(" ".join(lines))):
            yield paragraph
            lines = []
        if line != " .":
            lines.append(_BULLET.sub("", line))


def _damage(texts: Mapping[str, str]) -> Faults:
    """Damaged lines, for which :func:`parse` leaves out a description."""
    faults = Faults()
    for language, text in texts.items():
        for number, line in enumerate(text.split("\n"), start=1):
            if "\ufffd" in line:
                faults.add(f"Translation-{language}", number, Fault.NOT_UTF8)
    return faults


def _texts(*languages: str) -> dict[str, str]:
    """Texts of the `Translation-xx` files by language, fetched if not cached."""
    kept = {language: folder() / f"Translation-{language}.gz" for language in languages}
    missing = [language for language, path in kept.items() if not path.exists()]
    if missing:
        folder().mkdir(parents=True, exist_ok=True)
        for language, content in _fetch(missing).items():
            replace_file(kept[language], gzip.compress(content, mtime=0))
    return {language: _unpacked(path) for language, path in kept.items()}


def _unpacked(path: Path) -> str:
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path}: damaged ({error}); delete it to fetch it again") from None
    return characters(text)


def _fetch(languages: Sequence[str]) -> dict[str, bytes]:
    """Fetch the text of each language's files by apt-get."""
    apt = shutil.which("apt-get")
    if apt is None:
        files = " and ".join(f"Translation-{language}.gz" for language in languages)
        raise FileNotFoundError(
            "apt-get: not found; it fetches Debian's descriptions on Debian, Ubuntu and derivatives. Elsewhere, copy "
            f"{files} from such a machine's cache to {folder()}, or train on another corpus"
        )
    with tempfile.TemporaryDirectory(dir=folder()) as temporary:
        lists = Path(temporary, "lists")
        complaints = _update(apt, languages, lists)
        releases = "".join(path.read_text("utf-8", errors="replace") for path in lists.glob("*Release"))
        offered = sorted(set(re.findall(r"i18n/Translation-(\w+)", releases)))
        if not offered:
            raise OSError(
                f"apt-get fetched no package descriptions ({complaints or 'it has no sources'}); "
                "check the network and the sources in /etc/apt"
            )
        if unknown := set(languages) - set(offered):
            raise ValueError(
                f"language: the system's package sources have no descriptions in {', '.join(sorted(unknown))}; "
                f"they have {', '.join(offered)}"
            )
        names = {language: language.replace("_", "%5f") for language in languages}  # as apt writes file names
        files_of = {language: sorted(lists.glob(f"*_i18n_Translation-{name}")) for language, name in names.items()}
        if not all(files_of.values()):
            raise OSError(f"apt-get could not fetch all package descriptions ({complaints}); check the network")
        return {language: b"\n".join(path.read_bytes() for path in files) for language, files in files_of.items()}


def _update(apt: str, languages: Sequence[str], lists: Path) -> str:
    """Run apt-get update into a folder; returns its first warnings, if any."""
    (lists / "partial").mkdir(parents=True)
    configuration = lists.with_name("apt.conf")
    configuration.write_text(_CONFIGURATION.format(languages=" ".join(f'"{language}";' for language in languages)))
    places = {"Dir::State": lists.parent, "Dir::State::lists": lists, "Dir::Cache": lists.parent}
    options = [f"--option={name}={path}" for name, path in places.items()]
    done = subprocess.run(
        [apt, f"--config-file={configuration}", *options, "update"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},
    )
    return next((line for line in done.stderr.splitlines() if line.startswith(("E:", "W:", "Err:"))), "")
