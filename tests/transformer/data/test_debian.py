from __future__ import annotations

import os
from pathlib import Path

import pytest

from transformer.data import debian
from transformer.data.debian import Description, aligned, parse, summaries, summarized, translations

ENGLISH = """\
Package: tea
Description-md5: 01
Description-en: hot drink of leaves
 Tea is made of leaves and
 of hot water.
 .
 It comes in several kinds:
  * black tea, which is
    fermented
  * green tea
 .
 Milk is optional.

Package: tea-data
Description-md5: 02
Description-en: hot drink of leaves (leaves)
 These are the leaves, which you need for drinking tea.

Package: cup
Description-md5: 03
Description-en: vessel
"""

FRENCH = """\
Package: tea
Description-md5: 01
Description-fr: boisson chaude à base de feuilles
 Le thé est fait de feuilles et d'eau chaude.
 .
 Il en existe plusieurs sortes :
 * le thé noir, fermenté
 * le thé vert
 .
 Milk is optional.

Package: tea-data
Description-md5: 02
Description-fr: boisson chaude (feuilles)
 Voici les feuilles.
 .
 Il en faut pour boire du thé.

Package: saucer
Description-md5: 99
Description-fr: soucoupe
"""

PAIRS = [
    ("hot drink of leaves", "boisson chaude à base de feuilles"),
    ("Tea is made of leaves and of hot water.", "Le thé est fait de feuilles et d'eau chaude."),
    ("It comes in several kinds:", "Il en existe plusieurs sortes :"),
    ("black tea, which is fermented", "le thé noir, fermenté"),
    ("green tea", "le thé vert"),
    ("hot drink of leaves (leaves)", "boisson chaude (feuilles)"),
]


def test_descriptions_lose_debian_s_formatting() -> None:
    paragraphs = [english for english, _ in PAIRS[1:5]]
    assert parse(ENGLISH)["01"] == Description("hot drink of leaves", [*paragraphs, "Milk is optional."])


def test_a_synopsis_may_stand_alone() -> None:
    assert parse(ENGLISH)["03"] == Description("vessel", [])


@pytest.mark.parametrize("stanza", ["", "Package: x\n", "Description-md5: 01\n", "Description-en: a\n b\n"])
def test_stanzas_without_a_description_or_its_sum_are_left_out(stanza: str) -> None:
    assert parse(stanza + "\n\nDescription-md5: 0f\nDescription-pt_BR: b\n") == {"0f": Description("b", [])}


def test_a_description_that_was_not_utf8_is_left_out() -> None:
    assert parse("Description-md5: 0f\nDescription-de: gr\ufffdn\n") == {}


def test_paragraphs_are_paired_where_both_sides_have_as_many_and_the_translation_is_one() -> None:
    assert aligned(parse(ENGLISH), parse(FRENCH)) == PAIRS


def test_a_pair_comes_once() -> None:
    twice = {md5: Description("hot drink", []) for md5 in ("1", "2")}
    assert aligned(twice, {md5: Description("boisson", []) for md5 in twice}) == [("hot drink", "boisson")]


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [
        ("a" * 20, "b" * 80, True),
        ("a" * 20, "b" * 81, False),
        ("a" * 81, "b" * 20, False),
        ("a" * 500, "b" * 500, True),
        ("a" * 501, "b" * 500, False),
        ("a" * 3, "b" * 4, False),
    ],
)
def test_pairs_of_unlikely_lengths_are_left_out(source: str, target: str, kept: bool) -> None:
    assert bool(aligned({"1": Description(source, [])}, {"1": Description(target, [])})) == kept


def test_summaries_pair_a_description_in_one_line_with_its_synopsis() -> None:
    ours, leaves = summarized(parse(ENGLISH))
    assert ours[0].startswith("Tea is made of leaves and of hot water. It comes in several kinds: black tea, which")
    assert ours[1] == "hot drink of leaves"
    assert leaves == ("These are the leaves, which you need for drinking tea.", "hot drink of leaves (leaves)")


@pytest.mark.parametrize(("length", "kept"), [(39, False), (40, True), (1000, True), (1001, False)])
def test_descriptions_too_short_or_too_long_to_summarize_are_left_out(length: int, kept: bool) -> None:
    assert bool(summarized({"1": Description("synopsis", ["x" * length])})) == kept


def test_a_description_is_summarized_once() -> None:
    body = ["Tea is made of leaves and of hot water."] * 2
    pairs = summarized({"1": Description("first", body), "2": Description("second", body)})
    assert pairs == [(" ".join(body), "first")]


class FakeApt:
    """An `apt-get` on the PATH that copies files to where it is told to keep its lists."""

    def __init__(self, folder: Path) -> None:
        self.served, self.log, self.complaint = folder / "served", folder / "log", folder / "complaint"
        self.served.mkdir()
        self.complaint.write_text("")
        (folder / "bin").mkdir()
        program = folder / "bin" / "apt-get"
        program.write_text(
            f"""#!/bin/sh
echo run "$@" >> '{self.log}'
for argument in "$@"; do
    case "$argument" in
        --option=Dir::State::lists=*) lists="${{argument#--option=Dir::State::lists=}}" ;;
        --config-file=*) cat "${{argument#--config-file=}}" >> '{self.log}' ;;
    esac
done
cp '{self.served}'/* "$lists" 2>/dev/null
cat '{self.complaint}' >&2
exit 100
"""
        )
        program.chmod(0o755)
        self.path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"

    def serve(self, **texts: str) -> None:
        release = "".join(f" 0f 12 main/i18n/Translation-{language}\n" for language in texts)
        (self.served / "debian.org_dists_stable_InRelease").write_text(release)
        for language, text in texts.items():
            name = f"debian.org_dists_stable_main_i18n_Translation-{language.replace('_', '%5f')}"
            (self.served / name).write_bytes(text.encode())

    @property
    def runs(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith("run ")]


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    fake = FakeApt(tmp_path)
    monkeypatch.setenv("PATH", fake.path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MINIGRAD_CACHE_DIR", raising=False)
    return fake


def test_cached_files_are_read_without_apt(apt: FakeApt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt.serve(en=ENGLISH, fr=FRENCH)
    assert translations("fr") == PAIRS
    monkeypatch.setenv("PATH", str(tmp_path))
    assert translations("fr") == PAIRS
    assert len(summaries()) == 2
    assert len(apt.runs) == 1


def test_only_what_is_missing_is_fetched(apt: FakeApt) -> None:
    apt.serve(en=ENGLISH, fr=FRENCH, pt_BR=FRENCH.replace("-fr:", "-pt_BR:"))
    translations("fr")
    assert translations("pt_BR") == PAIRS
    assert [line for line in apt.log.read_text().splitlines() if line.startswith("Acquire::Languages")] == [
        'Acquire::Languages { "en"; "fr"; };',
        'Acquire::Languages { "pt_BR"; };',
    ]


def test_every_place_that_apt_writes_to_is_the_user_s_own(apt: FakeApt, tmp_path: Path) -> None:
    apt.serve(en=ENGLISH)
    summaries()
    options = [word.removeprefix("--option=") for word in apt.runs[0].split() if word.startswith("--option=")]
    places = dict(option.split("=", 1) for option in options)
    assert set(places) == {"Dir::State", "Dir::State::lists", "Dir::Cache"}
    assert all(Path(place).is_relative_to(debian.folder()) for place in places.values())
    for hook in ("APT::Update::Post-Invoke;", "APT::Update::Post-Invoke-Success;", "APT::Update::Pre-Invoke;"):
        assert f"#clear {hook}" in apt.log.read_text()


def test_nothing_but_the_fetched_files_stays_in_the_cache(apt: FakeApt, tmp_path: Path) -> None:
    apt.serve(en=ENGLISH, fr=FRENCH)
    translations("fr")
    assert debian.folder() == tmp_path / "cache" / "minigrad" / "debian"
    assert {path.name for path in debian.folder().iterdir()} == {"Translation-en.gz", "Translation-fr.gz"}


def test_the_cache_is_where_the_environment_says(apt: FakeApt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGRAD_CACHE_DIR", str(tmp_path / "own"))
    assert debian.folder() == tmp_path / "own" / "debian"


def test_text_is_normalised_and_what_is_not_utf8_left_out_and_counted(apt: FakeApt) -> None:
    apt.serve(en="Description-md5: 1\nDescription-en: drink for you\n", fr="")
    french = "Description-md5: 1\nDescription-fr: e\u0301tonnante boisson\n".encode()
    latin1 = "Description-md5: 1\nDescription-fr: thé\n".encode("latin-1")
    (apt.served / "debian.org_dists_stable_main_i18n_Translation-fr").write_bytes(french + b"\n" + latin1)
    pairs = translations("fr")
    assert pairs == [("drink for you", "\u00e9tonnante boisson")]
    assert str(pairs.faults) == "Translation-fr: 1 line not in UTF-8 (5)"


def test_without_apt_the_error_names_the_alternatives(
    apt: FakeApt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"^apt-get: not found; .*copy Translation-en\.gz and Translation-fr"):
        translations("fr")


@pytest.mark.parametrize("complaint", ["W: Failed to fetch http://debian.org", ""])
def test_an_update_that_fetches_nothing_says_why(apt: FakeApt, complaint: str) -> None:
    apt.complaint.write_text(f"noise\n{complaint}\nE: and so on\n" if complaint else "")
    with pytest.raises(OSError, match=r"^apt-get fetched no package descriptions ") as error:
        summaries()
    assert (complaint or "it has no sources") in str(error.value)
    assert "\n" not in str(error.value)
    assert list(debian.folder().iterdir()) == []


def test_a_language_that_the_sources_do_not_have_is_refused_with_those_they_have(apt: FakeApt) -> None:
    apt.serve(en=ENGLISH, fr=FRENCH)
    with pytest.raises(ValueError, match=r"^language: .* no descriptions in eo; they have en, fr$"):
        translations("eo")


def test_a_language_that_the_network_lost_keeps_nothing(apt: FakeApt) -> None:
    apt.serve(en=ENGLISH, fr=FRENCH)
    (apt.served / "debian.org_dists_stable_main_i18n_Translation-fr").unlink()
    apt.complaint.write_text("W: Failed to fetch Translation-fr\n")
    with pytest.raises(OSError, match=r"could not fetch all package descriptions \(W: Failed to fetch Translation-fr"):
        translations("fr")
    assert list(debian.folder().iterdir()) == []


@pytest.mark.parametrize("language", ["en", "French", "", "fr; rm", '"', "../fr"])
def test_invalid_language_codes_are_refused(apt: FakeApt, language: str) -> None:
    with pytest.raises(ValueError, match=r"^language: expected a code such as 'fr'"):
        translations(language)
    assert not apt.log.exists()


def test_a_damaged_cache_is_named(apt: FakeApt) -> None:
    apt.serve(en=ENGLISH)
    summaries()
    path = debian.folder() / "Translation-en.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"Translation-en\.gz: damaged .*; delete it to fetch it again"):
        summaries()
